"""Resolves `extends`: merges each bottle with its ancestors, and names what is missing, circular or broken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agent_image.providers import Provider
from manifests.bottle import Declared, with_slots
from manifests.remotes import conflict
from manifests.schema import close
from manifests.values import Bottle, ManifestError

MAX_CHAIN = 32

_DEFAULT_PROVIDER = ("claude", "")


def resolve(
    files: Mapping[str, Declared | ManifestError], providers: Mapping[str, Provider]
) -> dict[str, Bottle | ManifestError]:
    """Every bottle by name after `extends`, or the reason why it cannot be used."""
    merged: dict[str, tuple[Declared, tuple[str, ...]] | ManifestError] = {}
    found: dict[str, Bottle | ManifestError] = {}
    for name in files:
        for link in _unresolved(name, files, merged):
            one = _merge_link(link, files, merged)
            bottle = one if isinstance(one, ManifestError) else _bottle(link, *one, providers)
            found[link] = bottle
            merged[link] = bottle if isinstance(bottle, ManifestError) else one
    return found


def _unresolved(name: str, files: Mapping[str, Declared | ManifestError], done: Mapping[str, object]) -> list[str]:
    """A bottle and its ancestors that are not resolved yet, the oldest first; a cycle is walked once."""
    walk: dict[str, None] = {}
    current: str | None = name
    while current is not None and current in files and current not in done and current not in walk:
        walk[current] = None
        one = files[current]
        current = None if isinstance(one, ManifestError) else one.extends
    return list(walk)[::-1]


def _merge_link(
    name: str,
    files: Mapping[str, Declared | ManifestError],
    merged: Mapping[str, tuple[Declared, tuple[str, ...]] | ManifestError],
) -> tuple[Declared, tuple[str, ...]] | ManifestError:
    own = files[name]
    if isinstance(own, ManifestError):
        return own
    parent = own.extends
    if parent is None:
        return own, (name,)

    def fail(message: str) -> ManifestError:
        return ManifestError(own.path, own.extends_line, "extends", message)

    if parent == name:
        return fail(f"bottle {name} extends itself")
    if parent not in files:
        known = ", ".join(sorted(set(files) - {name})) or "none"
        return fail(f"no bottle is named {parent}{close(parent, set(files) - {name})} (bottles: {known})")
    above = merged.get(parent)
    if (above is None or isinstance(above, ManifestError)) and (circle := _circle(name, files)):
        return fail(f"goes in a circle: {' -> '.join(circle)}")
    assert above is not None  # ancestors come first, except in a circle
    if isinstance(above, ManifestError):
        # Along a chain of broken bottles each message tells the mistake that is to be mended, and where.
        root = above.__cause__ or above
        error = fail(f"parent {parent}{'' if root is above else f' ({above.path})'} is broken: {root}")
        error.__cause__ = root
        return error
    declared, chain = above
    if len(chain) >= MAX_CHAIN:
        return fail(f"the chain is longer than {MAX_CHAIN} bottles")
    return _merge(declared, own), (name, *chain)


def _circle(name: str, files: Mapping[str, Declared | ManifestError]) -> list[str]:
    """The chain from a bottle back to itself, or nothing when it does not come back."""
    walk = {name: None}
    current = files[name]
    while isinstance(current, Declared) and (above := current.extends) is not None and above in files:
        if above in walk:
            return [*walk, name] if above == name else []
        walk[above] = None
        current = files[above]
    return []


def _merge(parent: Declared, own: Declared) -> Declared:
    """The merge table: maps by key, git user by field, everything else as a whole by who declares it last."""
    remotes = own.remotes
    # An empty mapping clears; a mapping that is not there inherits.
    if remotes is None:
        remotes = parent.remotes
    elif remotes:
        remotes = {**(parent.remotes or {}), **remotes}
    routes = parent if own.routes is None else own
    return replace(
        own,
        env={**parent.env, **own.env},
        provider=own.provider or parent.provider,
        user_name=own.user_name or parent.user_name,
        user_email=own.user_email or parent.user_email,
        remotes=remotes,
        routes=routes.routes,
        routes_path=routes.routes_path,
        role_lines=routes.role_lines,
        supervise=parent.supervise if own.supervise is None else own.supervise,
        isolation=own.isolation or parent.isolation,
        pipelock=own.pipelock or parent.pipelock,
    )


def _bottle(
    name: str, one: Declared, chain: tuple[str, ...], providers: Mapping[str, Provider]
) -> Bottle | ManifestError:
    template, dockerfile = one.provider or _DEFAULT_PROVIDER
    if error := _role_error(one, template, providers):
        return error
    remotes = dict(one.remotes or {})
    if error := conflict(remotes, one.path, one.extends_line):
        return error
    required, seed_phrases = one.pipelock or (False, False)
    return Bottle(
        name=name,
        path=one.path,
        chain=chain,
        env=tuple(one.env.values()),
        provider=template,
        dockerfile=dockerfile,
        git_user_name=one.user_name,
        git_user_email=one.user_email,
        remotes=tuple(r.remote for r in remotes.values()),
        routes=with_slots(one.routes or ()),
        supervise=True if one.supervise is None else one.supervise,
        isolation=one.isolation or "auto",
        pipelock_required=required,
        pipelock_seed_phrases=seed_phrases,
    )


def _role_error(one: Declared, template: str, providers: Mapping[str, Provider]) -> ManifestError | None:
    """A role that the provider does not have, told where the child can mend it."""
    roles = providers[template].roles if template in providers else ()
    allowed = f"roles of provider {template}: {', '.join(roles) or 'none'}"
    for i, route in enumerate(one.routes or ()):
        if not route.role or route.role in roles:
            continue
        if one.routes_path == one.path:
            message = f"{route.role!r} is not a role here{close(route.role, roles)} ({allowed})"
            return ManifestError(one.path, one.role_lines[i], f"egress.routes[{i}].role", message)
        message = f"the route to {route.route.host}, from {one.routes_path}, has role {route.role!r} ({allowed})"
        return ManifestError(one.path, one.provider_line, "agent_provider.template", message)
    return None
