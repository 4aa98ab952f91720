"""The decision for one request: allow it on a route, refuse it with a reason, or answer it here. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sidecar_bundle.egress.credentials import in_body, in_path, in_protocols, in_query
from sidecar_bundle.egress.keyed import carries_header
from sidecar_bundle.egress.target import canonical, is_git_push, is_ip, path_allowed, path_trick, split_port
from sidecar_bundle.shared.layout import INTROSPECTION_HOST
from sidecar_bundle.shared.routes import Route, RouteAuth, dump_routes, find_route
from sidecar_bundle.shared.visible import visible

ASK = "ask the operator to {} under egress.routes"
PORTS = {"https": 443, "http": 80}

# The agent's own credentials, and what is meant for the proxy alone.
STRIPPED = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "x-goog-api-key", "proxy-connection", "proxy-authenticate"}
)
# What some servers and frameworks take for the path or method in place of the request line's.
REWRITING = frozenset(
    {
        "request-uri",
        "x-envoy-original-method",
        "x-envoy-original-path",
        "x-forwarded-method",
        "x-forwarded-path",
        "x-forwarded-prefix",
        "x-forwarded-uri",
        "x-forwarded-url",
        "x-http-method",
        "x-http-method-override",
        "x-method",
        "x-method-override",
        "x-original-method",
        "x-original-path",
        "x-original-uri",
        "x-original-url",
        "x-override-url",
        "x-request-uri",
        "x-rewrite-uri",
        "x-rewrite-url",
        "x-script-name",
        "x-waws-unencoded-url",
    }
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_CONNECTION = frozenset({"close", "keep-alive", "upgrade"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it stands: `host` and `port` are what egress would connect to, `path` holds the query.

    `authority` is HTTP/2's, `sni` the name in the agent's TLS handshake; both empty when there is none.
    """

    method: str
    scheme: str
    host: str
    port: int
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    authority: str = ""
    sni: str = ""

    def all(self, name: str) -> list[str]:
        """Every value of a header, by its lower-case name."""
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def bare_path(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Allow:
    """Pass it on: remove the headers named in `strip` (lower case), then write `auth` from its slot's value."""

    route: Route
    strip: frozenset[str]
    auth: RouteAuth | None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer `text` with `status`; `reason` says what and why, `how` what the agent can do about it."""

    reason: str
    how: str
    status: int = 403

    @property
    def text(self) -> str:
        """The body of the answer."""
        return f"egress: {self.reason}; {self.how}\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer it here, with this JSON."""

    body: str


Decision = Allow | Refuse | Answer


def shown(text: str, limit: int = 200) -> str:
    """Text of the agent as it may stand in a reason: hidden characters visible, bounded."""
    return visible(text[:limit], keep="") + ("..." if len(text) > limit else "")


def decide_connect(host: str, port: int) -> Refuse | None:
    """Whether a tunnel is refused outright. Its requests are judged one by one: there the agent sees the reason."""
    if port in PORTS.values():
        return None
    return Refuse(
        f"port {port} of {shown(host)} is not allowed: only https on 443 and http on 80 are", "use one of them"
    )


def decide(bottle: str, routes: Sequence[Route], slots: Collection[str], request: Request) -> Decision:
    """What to do with `request` of `bottle`; `slots` names the credentials whose values are at hand."""
    if bad := _malformed(request):
        return Refuse(f"the request is malformed: {bad}", "send a plain HTTP request")
    host = canonical(request.host)
    if not host:
        return Refuse(f"{shown(request.host)!r} is not a host name", "name the host as the route does")
    if is_ip(host):
        return Refuse(f"address {shown(host)} is not allowed: routes name hosts, not addresses", "use the host's name")
    if spoof := _spoofed(request, host):
        return Refuse(spoof, f"send requests for {host} under its own name alone")
    if host == INTROSPECTION_HOST:
        return _introspect(routes, request)
    path, _, query = request.path.partition("?")
    if is_git_push(path, query, " ".join(request.all("content-type"))):
        return Refuse(
            "git push over HTTPS is not allowed: it would pass by the secret scan",
            "push through the bottle's git remotes",
        )
    route = find_route(routes, host)
    if route is None:
        return Refuse(f"host {host} is not allowed: no route of bottle '{bottle}' names it", ASK.format("add it"))
    return _on_route(bottle, route, slots, request, host)


def _on_route(bottle: str, route: Route, slots: Collection[str], request: Request, host: str) -> Decision:
    if request.port != PORTS.get(request.scheme):
        return Refuse(
            f"{request.scheme} on port {request.port} of {host} is not allowed: only https on 443 and http on 80 are",
            "use one of them",
        )
    if route.path_allowlist:
        path = request.bare_path
        if trick := path_trick(path):
            return Refuse(f"path {shown(path)} of {host} is not allowed: it holds {trick}", "write the path plainly")
        if not path_allowed(path, route.path_allowlist):
            allowed = " ".join(route.path_allowlist)
            return Refuse(
                f"path {shown(path)} of {host} is not allowed: the route allows {allowed}", ASK.format("add the path")
            )
    if route.auth and request.scheme != "https":
        return Refuse(f"plain http to {host} is not allowed: its credential never travels in clear", "use https")
    if route.auth and route.auth.slot not in slots:
        return Refuse(
            f"host {host} needs credentials: bottle '{bottle}' has not been given the value of {route.auth.slot}",
            "ask the operator to supply it",
        )
    return _allow(route, request)


def _allow(route: Route, request: Request) -> Decision:
    unwanted = STRIPPED | REWRITING if route.path_allowlist else STRIPPED
    strip = {name.lower() for name, _ in request.headers if name.lower().replace("_", "-") in unwanted}
    if route.auth:
        if foreign := in_query(request.path.partition("?")[2]):
            return _foreign(route, f"query parameter {shown(foreign, 40)}")
        if foreign := in_path(request.bare_path):
            return _foreign(route, f"path parameter {shown(foreign, 40)}")
        if foreign := in_protocols(" ".join(request.all("sec-websocket-protocol"))):
            return _foreign(route, f"header {foreign}")
        strip |= {name.lower() for name, value in request.headers if carries_header(name, value)}
    tokens = {t.strip().lower() for value in request.all("connection") for t in value.split(",")} - {""}
    upgrade = [value.strip().lower() for value in request.all("upgrade")]
    # `Connection: Authorization` would make the next hop drop what egress wrote.
    if upgrade == ["websocket"]:
        if tokens - _CONNECTION:
            return Refuse(
                "the request is malformed: Connection names other headers", "send a plain WebSocket handshake"
            )
    elif upgrade or tokens - _CONNECTION:
        strip |= {"upgrade", "connection", "http2-settings"}
    return Allow(route, frozenset(strip), route.auth)


def decide_body(route: Route, content_type: str, body: bytes) -> Refuse | None:
    """Whether a whole and decoded body is refused: at a host with a credential of the bottle's only that one passes."""
    foreign = in_body(content_type, body) if route.auth else ""
    return _foreign(route, f"body field {shown(foreign, 40)}") if foreign else None


def _foreign(route: Route, where: str) -> Refuse:
    return Refuse(
        f"another key for {route.host} is not allowed ({where}): only the bottle's credential passes there",
        "leave the key out, egress adds the bottle's",
    )


def _malformed(request: Request) -> str:
    names = [name.lower() for name, _ in request.headers]
    if not _TOKEN.match(request.method):
        return "its method is not a word"
    if request.method.upper() in ("CONNECT", "TRACE", "TRACK"):
        return f"method {request.method.upper()} has no business here"
    if not request.path.startswith("/"):
        return "its target is not a path"
    if any(not "!" <= c <= "~" for c in request.path) or "#" in request.path:
        return "its target holds a character that must be escaped"
    if (bad := next((name for name, _ in request.headers if not _TOKEN.match(name)), None)) is not None:
        return f"header name {shown(bad, 60)!r}"
    if (bad := next((name for name, value in request.headers if _CONTROL.search(value)), None)) is not None:
        return f"header {shown(bad, 60)} holds a control character"
    if any(names.count(one) > 1 for one in ("host", "content-length", "transfer-encoding", "content-type")):
        return "a header that must stand once stands twice"
    if "content-length" in names and "transfer-encoding" in names:
        return "both Content-Length and Transfer-Encoding"
    if "host" not in names and not request.authority:
        return "no Host header"
    return ""


def _spoofed(request: Request, host: str) -> str:
    said = [("Host header", value) for value in request.all("host")]
    if request.authority:
        said.append(("authority", request.authority))
    for what, value in said:
        split = split_port(value)
        if split is None or canonical(split[0]) != host or (split[1] or request.port) != request.port:
            return f"{what} {shown(value)!r} differs from the connected host {host}:{request.port}"
    if request.sni and canonical(request.sni) != host:
        return f"TLS name {shown(request.sni)!r} differs from the connected host {host}"
    return ""


def _introspect(routes: Sequence[Route], request: Request) -> Decision:
    if (request.scheme, request.port, request.method, request.path) != ("http", 80, "GET", "/allowlist"):
        return Refuse("nothing else is here", f"ask for http://{INTROSPECTION_HOST}/allowlist", 404)
    return Answer(json.dumps(dump_routes(routes), indent=1) + "\n")
