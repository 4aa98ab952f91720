"""What one bottle file declares, checked but before `extends`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent_image.providers import Provider
from manifests import environment, remotes, schema
from manifests.frontmatter import Document, Node
from manifests.values import EnvEntry, ManifestError, ManifestRoute
from sidecar_bundle.shared.routes import RouteAuth, RouteError, parse_route

MAX_ROUTES = 100

_ISOLATION = re.compile(r"[a-z][a-z0-9._-]{0,31}\Z")


@dataclass(frozen=True, slots=True)
class Declared:
    """One file's own words; None where it says nothing. Routes have no slots yet."""

    path: Path
    extends: str | None = None
    extends_line: int = 1
    env: Mapping[str, EnvEntry] = field(default_factory=dict)
    provider: tuple[str, str] | None = None
    provider_line: int = 1
    user_name: str = ""
    user_email: str = ""
    remotes: Mapping[str, remotes.DeclaredRemote] | None = None
    routes: tuple[ManifestRoute, ...] | None = None
    routes_path: Path | None = None
    role_lines: tuple[int, ...] = ()
    supervise: bool | None = None
    isolation: str | None = None
    pipelock: tuple[bool, bool] | None = None


def read_bottle(doc: Document, providers: Mapping[str, Provider]) -> Declared:
    """The declarations of a bottle's file, or `ManifestError`."""
    root = doc.root
    schema.check(doc, schema.BOTTLE, {"agent_provider.template": tuple(providers)})
    extends, env, git, egress = (root.at(key) for key in ("extends", "env", "git", "egress"))
    supervise, isolation, pipelock = (root.at(key) for key in ("supervise", "isolation", "pipelock"))
    if extends and not schema.NAME.match(extends.text):
        raise doc.error(extends.line, "extends", f"{extends.text!r} is not a bottle's name (allowed: a-z, 0-9 and -)")
    if isolation and not _ISOLATION.match(isolation.text):
        raise doc.error(isolation.line, "isolation", f"{isolation.text!r} is not a runtime (allowed: auto, runsc, ...)")
    user_name, user_email = _user(doc, git)
    declared_remotes = root.at("git", "remotes")
    routes, role_lines = _routes(doc, egress.at("routes")) if egress else (None, ())
    provider = root.at("agent_provider")
    return Declared(
        path=doc.path,
        extends=extends.text if extends else None,
        extends_line=extends.line if extends else 1,
        env=environment.read_env(doc, env) if env else {},
        provider=(_text(provider, "template") or "claude", _text(provider, "dockerfile")) if provider else None,
        provider_line=root.keys.get("agent_provider", 1),
        user_name=user_name,
        user_email=user_email,
        remotes=remotes.read_remotes(doc, declared_remotes) if declared_remotes else None,
        routes=routes,
        routes_path=doc.path if egress else None,
        role_lines=role_lines,
        supervise=_true(supervise) if supervise else None,
        isolation=isolation.text if isolation else None,
        pipelock=(_true(pipelock.at("required")), _true(pipelock.at("seed_phrases"))) if pipelock else None,
    )


def _text(node: Node, key: str) -> str:
    child = node.at(key)
    return child.text if child else ""


def _true(node: Node | None) -> bool:
    return node is not None and node.text == "true"


def _user(doc: Document, git: Node | None) -> tuple[str, str]:
    user = git.at("user") if git else None
    if not git or not user:
        return "", ""
    name, email = _text(user, "name").strip(), _text(user, "email").strip()
    if not name and not email:
        raise doc.error(git.keys["user"], "git.user", "is empty: give a name, an email or both")
    return name, email


def _routes(doc: Document, node: Node | None) -> tuple[tuple[ManifestRoute, ...], tuple[int, ...]]:
    routes: list[ManifestRoute] = []
    first: dict[str, int] = {}
    items = node.items if node else ()
    if node and len(items) > MAX_ROUTES:
        raise doc.error(node.line, "egress.routes", f"holds {len(items)} routes (allowed: {MAX_ROUTES})")
    for i, item in enumerate(items):
        dotted = f"egress.routes[{i}]"
        one = _route(doc, item, dotted)
        host = one.route.host
        if host in first:
            line = _line(item, "host")
            raise doc.error(line, f"{dotted}.host", f"{host} stands twice (first in line {first[host]})")
        first[host] = _line(item, "host")
        routes.append(one)
    return tuple(routes), tuple(_line(item, "role") for item in items)


def _line(node: Node, key: str) -> int:
    child = node.at(key)
    return child.line if child else node.line


def _route(doc: Document, item: Node, dotted: str) -> ManifestRoute:
    auth = item.at("auth")
    raw: dict[str, Any] = {"host": _text(item, "host"), "dlp": _text(item, "dlp") or "block"}
    raw["prompt_injection"] = _text(item, "prompt_injection") or "off"
    raw["tls_passthrough"] = _true(item.at("pipelock", "tls_passthrough"))
    for key, node in (
        ("path_allowlist", item.at("path_allowlist")),
        ("ssrf_ip_allowlist", item.at("pipelock", "ssrf_ip_allowlist")),
    ):
        raw[key] = [one.text for one in node.items] if node else []
    if auth:
        # The slot is not known before `extends`; this one only satisfies the proxy's own parser.
        raw["auth"] = {"scheme": _text(auth, "scheme"), "slot": "EGRESS_TOKEN_0"}
    try:
        route = parse_route(raw, "")
    except RouteError as e:
        raise _at_key(doc, item, dotted, e) from None
    token_ref = _text(auth, "token_ref") if auth else ""
    if auth and not environment.NAME.match(token_ref):
        # What stands here may be the credential itself, pasted: it must not reach a screen or a log.
        message = "is not the name of a host variable; if it is the credential itself, take it out of the file"
        raise doc.error(_line(auth, "token_ref"), f"{dotted}.auth.token_ref", message)
    return ManifestRoute(route, token_ref, _text(item, "role"))


def _at_key(doc: Document, item: Node, dotted: str, e: RouteError) -> ManifestError:
    """The proxy's complaint about a route, at the manifest's own key and line."""
    words = re.findall(r"[a-z_]+|\d+", e.key)
    if words[:1] in (["tls_passthrough"], ["ssrf_ip_allowlist"]):
        words.insert(0, "pipelock")
    node, key = item, dotted
    for word in words:
        key += f"[{word}]" if word.isdigit() else f".{word}"
        child = node.items[int(word)] if word.isdigit() else node.at(word)
        if child is None:
            break
        node = child
    return doc.error(node.line, key, e.message)


def with_slots(routes: tuple[ManifestRoute, ...]) -> tuple[ManifestRoute, ...]:
    """The routes with `EGRESS_TOKEN_<n>` given to those with credentials, counted in their order."""
    slotted: list[ManifestRoute] = []
    count = 0
    for one in routes:
        route = one.route
        if route.auth:
            route = replace(route, auth=RouteAuth(route.auth.scheme, f"EGRESS_TOKEN_{count}"))
            count += 1
        slotted.append(replace(one, route=route))
    return tuple(slotted)
