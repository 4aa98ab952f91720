"""What an approval or an edit really changes: the configuration before and after, as values and as a diff. Pure."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from sidecar_bundle.shared.config import BundleConfig, ConfigError, Pipelock, dump_config, parse_config
from sidecar_bundle.shared.layout import PIPELOCK
from sidecar_bundle.shared.proposal import (
    CapabilityRequest,
    Payload,
    PipelockRequest,
    Proposal,
    ProposalError,
    RouteRequest,
    parse_call,
)
from sidecar_bundle.shared.routes import Route, RouteError, dump_routes, find_route, parse_routes

What = Literal["routes", "pipelock"]


class Refused(Exception):
    """A change that cannot be made; the text is one line."""


def digest(*parts: str) -> str:
    """A short name of these texts together."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def config_digest(config: BundleConfig) -> str:
    """A name of everything in the configuration."""
    return digest(json.dumps(dump_config(config), sort_keys=True))


def changed(config: BundleConfig, payload: Payload) -> BundleConfig:
    """The configuration with a request granted; the same when it asks for no rule. Raises `Refused`."""
    match payload:
        case RouteRequest(host=host, paths=paths):
            return replace(config, routes=with_paths(config.routes, host, paths))
        case PipelockRequest(host=host):
            if PIPELOCK not in config.daemons:
                raise Refused("pipelock does not run in this bottle")
            return replace(config, routes=passed_over(config.routes, host))
        case _:
            return config


def with_paths(routes: tuple[Route, ...], host: str, paths: tuple[str, ...]) -> tuple[Route, ...]:
    """The routes with these paths of a host allowed too (none: all paths); what else they say stays the operator's."""
    found = find_route(routes, host)
    if found is None:
        return (*routes, Route(host, paths))
    both = tuple(dict.fromkeys((*found.path_allowlist, *paths))) if found.path_allowlist and paths else ()
    return _put(routes, found, replace(found, host=host, path_allowlist=both))


def passed_over(routes: tuple[Route, ...], host: str) -> tuple[Route, ...]:
    """The routes with the content of one host out of pipelock's sight."""
    found = find_route(routes, host)
    if found is None:
        raise Refused(f"there is no route to {host}: pipelock is not what stops it")
    return _put(routes, found, replace(found, host=host, tls_passthrough=True))


def _put(routes: tuple[Route, ...], found: Route, wanted: Route) -> tuple[Route, ...]:
    if replace(wanted, host=found.host) == found:
        return routes
    if wanted.host == found.host:
        return tuple(wanted if r is found else r for r in routes)
    # The route was a wildcard: only this one host gets more, with all that the wildcard says.
    return (*routes, wanted)


def lines(config: BundleConfig) -> list[str]:
    """The rules as lines that a diff compares: every field of every route has its own."""
    return [line for block in _blocks(config) for line in block]


def _blocks(config: BundleConfig) -> list[tuple[str, ...]]:
    """Those lines, by route."""
    out: list[tuple[str, ...]] = []
    for route in config.routes:
        auth = route.auth
        block = [f"route {route.host}"]
        block += [f"  path {path}" for path in route.path_allowlist] or ["  every path"]
        block.append(f"  credential {auth.scheme} {auth.slot}" if auth else "  no credential of yours")
        block += ["  content not seen by pipelock"] if route.tls_passthrough else []
        block += [f"  private network {net}" for net in route.ssrf_ip_allowlist]
        block += [f"  dlp {route.dlp}"] if route.dlp != "block" else []
        block += [f"  prompt injection {route.prompt_injection}"] if route.prompt_injection != "off" else []
        out.append(tuple(block))
    return [*out, (f"pipelock seed phrases {'refused' if config.pipelock.seed_phrases else 'let through'}",)]


def diff(before: Sequence[str], after: Sequence[str], name: str = "", context: int = 3) -> str:
    """A unified diff, "" when nothing differs."""
    found = difflib.unified_diff(before, after, f"{name} now", f"{name} then", n=context, lineterm="")
    return "\n".join(found)


def config_diff(before: BundleConfig, after: BundleConfig) -> str:
    """What the rules of a bottle gain and lose: of a route that changes every line, so that its host is in sight."""
    old, new = _blocks(before), _blocks(after)
    out: list[str] = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            was, then = (tuple(line for block in side for line in block) for side in (old[a:b], new[c:d]))
            out += diff(was, then, "rules", len(was) + len(then)).split("\n")[2 if out else 0 :]
    return "\n".join(out)


def note(payload: Payload, before: BundleConfig, after: BundleConfig) -> str:
    """A word on what the diff alone does not say."""
    match payload:
        case RouteRequest(host=host) | PipelockRequest(host=host):
            if before == after:
                return "nothing changes: that is allowed already"
            route = find_route(after.routes, host)
            said = [f"every subdomain of {host[2:]}"] if host.startswith("*.") else []
            if isinstance(payload, RouteRequest) and not payload.paths:
                said.append("every path of the host")
            if route and route.auth:
                said.append(f"requests carry your credential ({route.auth.scheme} {route.auth.slot})")
            if route and route.dlp == "off":
                said.append("not scanned: this route has dlp: off")
            return "; ".join(said)
        case _:
            return ""


def request_text(payload: Payload) -> str:
    """A request as text to edit; raises `Refused` where there is nothing to edit."""
    about = {
        RouteRequest: "# What to allow; no paths: every path of the host.\n",
        PipelockRequest: "# Whose content pipelock shall not judge any more.\n",
    }
    return f"{about.get(type(payload), '')}{granted_text(payload)}\n"


def granted_text(payload: Payload) -> str:
    """What a request grants, without a word to whoever edits it; raises `Refused` as `request_text` does."""
    match payload:
        case RouteRequest(host=host, paths=paths):
            return json.dumps({"host": host, "paths": list(paths)}, indent=2)
        case PipelockRequest(host=host):
            return json.dumps({"host": host}, indent=2)
        case CapabilityRequest(dockerfile=dockerfile):
            return dockerfile
        case _:
            raise Refused("there is nothing to change in it: answer it, or reject it")


def edited(proposal: Proposal, text: str) -> Payload:
    """The request as the operator changed it; raises `Refused` with the mistake."""
    payload = proposal.payload
    try:
        match payload:
            case RouteRequest(justification=why):
                return parse_call(proposal.kind, {**_mapping(text, "host", "paths"), "justification": why})
            case PipelockRequest(justification=why):
                host = str(_mapping(text, "host").get("host", ""))
                return parse_call(proposal.kind, {"url": f"https://{host}/", "host": host, "justification": why})
            case CapabilityRequest(justification=why):
                return parse_call(proposal.kind, {"dockerfile": text, "justification": why})
            case _:
                raise Refused("there is nothing to change in it")
    except ProposalError as error:
        raise Refused(str(error)) from None


def rules_text(config: BundleConfig, what: What) -> str:
    """The routes or the pipelock policy of a bottle, as text to edit."""
    if what == "routes":
        slots = ", ".join(sorted(_slots(config))) or "none"
        about = f"Routes of {config.slug}: JSON; lines that begin with # are left out. Credentials there are: {slots}."
        return _told(dump_routes(config.routes), about)
    policy = {
        "seed_phrases": config.pipelock.seed_phrases,
        "tls_passthrough": [r.host for r in config.routes if r.tls_passthrough],
    }
    about = "seed_phrases: refuse wallet seed phrases. tls_passthrough: hosts whose content pipelock does not judge."
    return _told(policy, about)


def edited_rules(config: BundleConfig, what: What, text: str) -> BundleConfig:
    """The configuration with edited rules, checked by the parser that egress runs; raises `Refused`."""
    try:
        if what == "routes":
            # `schema` stands in what `bottle-dash routes --json` prints.
            routes = parse_routes({"routes": _mapping(text, "routes", "schema").get("routes")})
            after = replace(config, routes=routes)
        else:
            after = _policy(config, _mapping(text, "seed_phrases", "tls_passthrough"))
        after = parse_config(dump_config(after))
    except (RouteError, ConfigError) as error:
        raise Refused(str(error)) from None
    unknown = sorted(_slots(after) - _slots(config))
    if unknown:
        raise Refused(f"{unknown[0]} is no credential of this bottle; declare it in the manifest and start anew")
    return after


def _policy(config: BundleConfig, raw: dict[str, Any]) -> BundleConfig:
    phrases, hosts = raw.get("seed_phrases", False), raw.get("tls_passthrough", [])
    if not isinstance(phrases, bool):
        raise Refused("seed_phrases: must be true or false")
    if not isinstance(hosts, list) or not all(isinstance(h, str) for h in hosts):
        raise Refused("tls_passthrough: must be a list of hosts")
    strange = sorted(set(hosts) - {r.host for r in config.routes})
    if strange:
        raise Refused(f"tls_passthrough: there is no route to {strange[0]}")
    routes = tuple(replace(r, tls_passthrough=r.host in hosts) for r in config.routes)
    return replace(config, routes=routes, pipelock=Pipelock(config.pipelock.required, phrases))


def _slots(config: BundleConfig) -> set[str]:
    return {r.auth.slot for r in config.routes if r.auth}


def _told(value: Any, about: str) -> str:
    return f"# {about}\n{json.dumps(value, indent=2)}\n"


def _mapping(text: str, *keys: str) -> dict[str, Any]:
    kept = "\n".join("" if one.lstrip().startswith("#") else one for one in text.split("\n"))
    try:
        raw = json.loads(kept)
    except ValueError as error:
        where = f" in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise Refused(f"not JSON{where}: {getattr(error, 'msg', 'cannot be read')}") from None
    except RecursionError:
        raise Refused("not JSON: nested too deeply") from None
    if not isinstance(raw, dict):
        raise Refused(f"must be one mapping with {', '.join(keys)}")
    if strange := sorted(set(raw) - set(keys)):
        raise Refused(f"{strange[0]}: unknown key (allowed: {', '.join(keys)})")
    return raw
