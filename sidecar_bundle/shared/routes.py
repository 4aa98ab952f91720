"""Egress routes as one value: the parser that the proxy and the host both run.

`routes.json` (JSON, which is also valid YAML) is what the host writes and egress reads:

    {"routes": [{"host": "api.example.org", "path_allowlist": ["/v1"],
                 "auth": {"scheme": "Bearer", "slot": "EGRESS_TOKEN_0"},
                 "tls_passthrough": false, "ssrf_ip_allowlist": [], "dlp": "block",
                 "prompt_injection": "off"}]}

Values of secrets never stand here: `slot` names one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

DLP_MODES = ("block", "redact", "ask", "off")
INJECTION_MODES = ("off", "warn", "block")
SLOT = re.compile(r"EGRESS_TOKEN_[0-9]{1,3}\Z")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,31}\Z")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*\Z")

ROUTE_KEYS = ("host", "path_allowlist", "auth", "tls_passthrough", "ssrf_ip_allowlist", "dlp", "prompt_injection")


class RouteError(ValueError):
    """A route that cannot be used. `key` is the dotted key at fault, the text says what is allowed."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key
        self.message = message


@dataclass(frozen=True, slots=True)
class RouteAuth:
    """What egress writes into `Authorization: <scheme> <value of slot>`."""

    scheme: str
    slot: str


@dataclass(frozen=True, slots=True)
class Route:
    """One allowed destination. Hosts are lower case; a leading `*.` stands for any subdomain, not the name itself.

    `tls_passthrough` speaks of the hop egress -> pipelock alone: egress itself always sees the request.
    """

    host: str
    path_allowlist: tuple[str, ...] = ()
    auth: RouteAuth | None = None
    tls_passthrough: bool = False
    ssrf_ip_allowlist: tuple[str, ...] = ()
    dlp: str = "block"
    prompt_injection: str = "off"

    def matches_host(self, host: str) -> bool:
        """Whether `host` (any case, without port) is this route's."""
        host = host.lower().rstrip(".")
        if self.host.startswith("*."):
            return host.endswith(self.host[1:]) and host != self.host[2:]
        return host == self.host


def check_host(text: Any, key: str = "host") -> str:
    """The host name in canonical form, or `RouteError`. IP literals, ports and schemes are refused."""
    if not isinstance(text, str) or not text.strip():
        raise RouteError(key, "must be a host name such as api.example.org")
    host = text.strip().lower().rstrip(".")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        pass
    else:
        raise RouteError(key, f"{text!r} is an IP address; routes name hosts")
    if "://" in host or "/" in host or ":" in host:
        raise RouteError(key, f"{text!r} must be a bare host name, without scheme, port or path")
    if len(host) > 253 or not HOST.match(host) or (host.startswith("*.") and "." not in host[2:]):
        raise RouteError(key, f"{text!r} is not a host name (allowed: labels of a-z 0-9 -, or *.example.org)")
    if re.fullmatch(r"[0-9.]+", host) or re.fullmatch(r"0x[0-9a-f]+", host.rsplit(".", 1)[-1]):
        raise RouteError(key, f"{text!r} reads as an IP address; routes name hosts")
    return host


def check_path(text: Any, key: str = "path_allowlist") -> str:
    """An absolute path prefix without query, dot segments or escapes, or `RouteError`."""
    if not isinstance(text, str) or not text.startswith("/"):
        raise RouteError(key, f"{text!r} must be an absolute path such as /v1/")
    if any(c in text for c in "?#%\\") or any(ord(c) <= 32 or ord(c) == 127 for c in text):
        raise RouteError(key, f"{text!r} must hold no ?, #, %, backslash, blank or control character")
    if not text.isascii():
        raise RouteError(key, f"{text!r} must be ASCII, as the path of a request is")
    if any(part in (".", "..") for part in text.split("/")) or "//" in text:
        raise RouteError(key, f"{text!r} must hold no '.', '..' or empty segment")
    return text


def parse_route(raw: Any, key: str = "route") -> Route:
    """One route from decoded JSON; every error is a `RouteError` that names its key."""
    if not isinstance(raw, Mapping):
        raise RouteError(key, "must be a mapping")
    for name in raw:
        if name not in ROUTE_KEYS:
            raise RouteError(f"{key}.{name}", f"unknown key (allowed: {', '.join(ROUTE_KEYS)})")
    host = check_host(raw.get("host"), f"{key}.host")
    paths = raw.get("path_allowlist") or []
    if not isinstance(paths, list | tuple):
        raise RouteError(f"{key}.path_allowlist", "must be a list of absolute paths")
    auth = raw.get("auth")
    parsed_auth = None
    if auth is not None:
        if not isinstance(auth, Mapping) or set(auth) != {"scheme", "slot"}:
            raise RouteError(f"{key}.auth", "must hold exactly scheme and slot")
        scheme, slot = auth["scheme"], auth["slot"]
        if not isinstance(scheme, str) or not SCHEME.match(scheme):
            raise RouteError(
                f"{key}.auth.scheme", f"{scheme!r} is not an authentication scheme such as Bearer or token"
            )
        if not isinstance(slot, str) or not SLOT.match(slot):
            raise RouteError(f"{key}.auth.slot", f"{slot!r} is not EGRESS_TOKEN_<n>")
        parsed_auth = RouteAuth(scheme, slot)
    passthrough = raw.get("tls_passthrough", False)
    if not isinstance(passthrough, bool):
        raise RouteError(f"{key}.tls_passthrough", "must be true or false")
    nets = raw.get("ssrf_ip_allowlist") or []
    if not isinstance(nets, list | tuple):
        raise RouteError(f"{key}.ssrf_ip_allowlist", "must be a list of CIDR networks")
    cidrs = tuple(check_cidr(n, f"{key}.ssrf_ip_allowlist[{i}]") for i, n in enumerate(nets))
    dlp = raw.get("dlp", "block")
    if dlp not in DLP_MODES:
        raise RouteError(f"{key}.dlp", f"{dlp!r} is not one of {', '.join(DLP_MODES)}")
    injection = raw.get("prompt_injection", "off")
    if injection not in INJECTION_MODES:
        raise RouteError(f"{key}.prompt_injection", f"{injection!r} is not one of {', '.join(INJECTION_MODES)}")
    return Route(
        host=host,
        path_allowlist=tuple(check_path(p, f"{key}.path_allowlist[{i}]") for i, p in enumerate(paths)),
        auth=parsed_auth,
        tls_passthrough=passthrough,
        ssrf_ip_allowlist=cidrs,
        dlp=dlp,
        prompt_injection=injection,
    )


def check_cidr(text: Any, key: str) -> str:
    """A network in CIDR notation, canonical, or `RouteError`; the whole address space is refused."""
    try:
        net = ipaddress.ip_network(text, strict=True) if isinstance(text, str) else None
    except ValueError:
        net = None
    if net is None or net.prefixlen == 0:
        raise RouteError(key, f"{text!r} is not a network such as 10.1.2.0/24")
    return str(net)


def parse_routes(raw: Any) -> tuple[Route, ...]:
    """All routes of a decoded `routes.json`; a host named twice is refused."""
    if not isinstance(raw, Mapping) or set(raw) - {"routes"} or not isinstance(raw.get("routes"), list | tuple):
        raise RouteError("routes", "must be a mapping with one list, routes")
    routes = tuple(parse_route(r, f"routes[{i}]") for i, r in enumerate(raw["routes"]))
    seen: dict[str, int] = {}
    for i, route in enumerate(routes):
        if route.host in seen:
            raise RouteError(f"routes[{i}].host", f"{route.host} already stands at routes[{seen[route.host]}]")
        seen[route.host] = i
    return routes


def dump_routes(routes: Iterable[Route]) -> dict[str, Any]:
    """The inverse of `parse_routes`, ready for `json.dumps`."""
    out: list[dict[str, Any]] = []
    for route in routes:
        one: dict[str, Any] = {"host": route.host}
        if route.path_allowlist:
            one["path_allowlist"] = list(route.path_allowlist)
        if route.auth:
            one["auth"] = {"scheme": route.auth.scheme, "slot": route.auth.slot}
        if route.tls_passthrough:
            one["tls_passthrough"] = True
        if route.ssrf_ip_allowlist:
            one["ssrf_ip_allowlist"] = list(route.ssrf_ip_allowlist)
        if route.dlp != "block":
            one["dlp"] = route.dlp
        if route.prompt_injection != "off":
            one["prompt_injection"] = route.prompt_injection
        out.append(one)
    return {"routes": out}


def find_route(routes: Iterable[Route], host: str) -> Route | None:
    """The route of a host: the exact name wins over a wildcard, a longer wildcard over a shorter one."""
    hits = [r for r in routes if r.matches_host(host)]
    return max(hits, key=lambda r: (not r.host.startswith("*."), len(r.host)), default=None)
