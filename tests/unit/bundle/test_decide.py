"""The decision: allowed exactly what a route allows, and every refusal says what, why and how to ask."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sidecar_bundle.egress.decide import Allow, Answer, Decision, Refuse, Request, decide, decide_connect
from sidecar_bundle.shared.routes import RouteAuth, parse_routes

ROUTES = parse_routes(
    {
        "routes": [
            {"host": "open.example"},
            {"host": "*.wild.example"},
            {"host": "api.example", "path_allowlist": ["/v1"], "auth": {"scheme": "Bearer", "slot": "EGRESS_TOKEN_0"}},
            {"host": "bare.example", "auth": {"scheme": "token", "slot": "EGRESS_TOKEN_1"}},
        ]
    }
)
GET = Request("GET", "https", "open.example", 443, "/x?q=1", (("Host", "open.example"),), sni="open.example")


def judge(request: Request, slots: tuple[str, ...] = ("EGRESS_TOKEN_0",)) -> Decision:
    return decide("b-1", ROUTES, slots, request)


def to(host: str, path: str = "/", **more: object) -> Request:
    request = Request("GET", "https", host, 443, path, (("Host", host),), sni=host)
    return replace(request, **more)  # type: ignore[arg-type]


def refused(request: Request, word: str, **more: object) -> Refuse:
    decision = judge(request, **more)  # type: ignore[arg-type]
    assert isinstance(decision, Refuse), decision
    assert word in decision.reason
    assert decision.text.startswith("egress: ")
    assert decision.text.count("\n") == 1
    return decision


def test_allowed() -> None:
    assert judge(GET) == Allow(ROUTES[0], frozenset(), None)


def test_the_injected_credential_is_the_route_s() -> None:
    decision = judge(to("api.example", "/v1/messages"))
    assert isinstance(decision, Allow)
    assert decision.auth == RouteAuth("Bearer", "EGRESS_TOKEN_0")


def test_unknown_host_says_what_why_and_how() -> None:
    refusal = refused(to("evil.example"), "not allowed")
    assert refusal.status == 403
    assert refusal.text == (
        "egress: host evil.example is not allowed: no route of bottle 'b-1' names it; "
        "ask the operator to add it under egress.routes\n"
    )


def test_a_wildcard_is_not_its_own_parent() -> None:
    assert isinstance(judge(to("a.wild.example")), Allow)
    refused(to("wild.example"), "no route")
    refused(to("evilwild.example"), "no route")


@pytest.mark.parametrize("host", ["203.0.113.10", "2130706433", "0x7f.1", "0177.1", "::1", "::ffff:7f00:1"])
def test_addresses_are_refused_as_such(host: str) -> None:
    header = f"[{host}]" if ":" in host else host
    refused(to(host, headers=(("Host", header),), sni=""), "routes name hosts")


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"headers": (("Host", "evil.example"),)}, "Host header"),
        ({"headers": (("Host", "open.example:8443"),)}, "Host header"),
        ({"headers": (("Host", "open.example@evil.example"),)}, "Host header"),
        ({"headers": (("Host", "open.example, evil.example"),)}, "Host header"),
        ({"headers": (("Host", ""),)}, "Host header"),
        ({"headers": (), "authority": "evil.example"}, "authority"),
        ({"authority": "evil.example"}, "authority"),
        ({"sni": "evil.example"}, "TLS name"),
        ({"sni": "sub.open.example"}, "TLS name"),
    ],
)
def test_a_name_that_differs_from_the_connected_host(more: dict[str, object], word: str) -> None:
    refused(replace(GET, **more), word)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "more",
    [
        {"headers": (("host", "OPEN.example:443"),)},
        {"headers": (), "authority": "open.example"},
        {"authority": "open.example:443"},
        {"sni": ""},
        {"sni": "Open.Example"},
    ],
)
def test_the_same_name_spelled_otherwise(more: dict[str, object]) -> None:
    assert isinstance(judge(replace(GET, **more)), Allow)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scheme", "port"), [("https", 80), ("https", 8443), ("http", 443), ("http", 8080), ("ftp", 21)]
)
def test_other_ports_and_schemes(scheme: str, port: int) -> None:
    host = f"open.example:{port}"
    refused(replace(GET, scheme=scheme, port=port, headers=(("Host", host),), sni=""), "only https on 443")


def test_plain_http_without_a_credential_is_allowed_and_with_one_refused() -> None:
    assert isinstance(judge(to("open.example", scheme="http", port=80, sni="")), Allow)
    refused(to("api.example", "/v1", scheme="http", port=80, sni=""), "never travels in clear")


@pytest.mark.parametrize("path", ["/v1", "/v1/x", "/v1/x?y=/../z", "/v1?%2e%2e"])
def test_allowed_paths(path: str) -> None:
    assert isinstance(judge(to("api.example", path)), Allow)


@pytest.mark.parametrize(
    "path", ["/", "/v1x", "/v2", "/v1/../v2", "/v1/%2e%2e/v2", "/v1//x", "/v1%2fx", "/v1\\x", "/V1/x", "/v1/..;/v2"]
)
def test_refused_paths(path: str) -> None:
    refused(to("api.example", path), "api.example is not allowed")


def test_without_a_path_allowlist_escapes_are_the_upstream_s_business() -> None:
    assert isinstance(judge(to("open.example", "/a%2fb/..//c")), Allow)


def test_a_missing_credential_is_never_a_bare_request() -> None:
    refusal = refused(to("bare.example"), "needs credentials")
    assert "EGRESS_TOKEN_1" in refusal.reason


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/o/r/git-receive-pack", "open.example"),
        ("/o/r/info/refs?service=git-receive-pack", "open.example"),
        ("/o/r/info/refs?service=git%2dreceive-pack", "unknown.example"),
        ("/o/r/git%2Dreceive-pack", "api.example"),
    ],
)
def test_a_push_is_refused_before_the_route_is_looked_for(path: str, host: str) -> None:
    refused(to(host, path), "git push")


def test_a_fetch_passes() -> None:
    assert isinstance(judge(to("open.example", "/o/r/info/refs?service=git-upload-pack")), Allow)


def test_the_agent_s_own_credentials_are_stripped_on_every_route() -> None:
    names = ["Authorization", "Proxy-Authorization", "X-API-Key", "x_api_key", "x-goog-api-key", "Proxy-Connection"]
    extra = tuple((name, "v") for name in names)
    decision = judge(replace(GET, headers=(*GET.headers, *extra, ("Cookie", "c"), ("X-Other", "o"))))
    assert isinstance(decision, Allow)
    assert decision.strip == {name.lower() for name in names}


@pytest.mark.parametrize(
    "value", ["authorization", "close, Authorization", "X-Api-Key", "TE", "HTTP2-Settings, Upgrade"]
)
def test_connection_cannot_name_what_the_next_hop_drops(value: str) -> None:
    decision = judge(replace(GET, headers=(*GET.headers, ("Connection", value))))
    assert isinstance(decision, Allow)
    assert "connection" in decision.strip


def test_only_a_websocket_may_upgrade() -> None:
    plain = (*GET.headers, ("Connection", "keep-alive, Upgrade"))
    h2c = judge(replace(GET, headers=(*plain, ("Upgrade", "h2c"))))
    assert isinstance(h2c, Allow)
    assert {"upgrade", "connection"} <= h2c.strip
    assert judge(replace(GET, headers=(*plain, ("Upgrade", "websocket")))) == Allow(ROUTES[0], frozenset(), None)
    odd = (*GET.headers, ("Upgrade", "websocket"), ("Connection", "Upgrade, Authorization"))
    refused(replace(GET, headers=odd), "malformed")


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"headers": (("Host", "open.example"), ("host", "open.example"))}, "twice"),
        ({"headers": (*GET.headers, ("Content-Length", "1"), ("Transfer-Encoding", "chunked"))}, "both"),
        ({"headers": (*GET.headers, ("Content-Length", "1"), ("Content-Length", "1"))}, "twice"),
        ({"headers": (*GET.headers, ("Transfer-Encoding", "chunked"), ("transfer-encoding", "x"))}, "twice"),
        ({"headers": ()}, "no Host"),
        ({"headers": (*GET.headers, ("X-A", "a\r\n b"))}, "control character"),
        ({"headers": (*GET.headers, ("X-A", "a\x00"))}, "control character"),
        ({"headers": (*GET.headers, ("X A", "a"))}, "header name"),
        ({"headers": (*GET.headers, ("Content-Length ", "1"))}, "header name"),
        ({"headers": (*GET.headers, ("", "1"))}, "header name"),
        ({"path": "*"}, "not a path"),
        ({"path": ""}, "not a path"),
        ({"path": "https://evil.example/"}, "not a path"),
        ({"path": "/a b"}, "escaped"),
        ({"path": "/a\r\nX: y"}, "escaped"),
        ({"path": "/a#b"}, "escaped"),
        ({"path": "/é"}, "escaped"),
        ({"method": "GE T"}, "method"),
        ({"method": ""}, "method"),
        ({"method": "CONNECT"}, "CONNECT"),
        ({"method": "trace"}, "TRACE"),
    ],
)
def test_malformed(more: dict[str, object], word: str) -> None:
    assert "malformed" in refused(replace(GET, **more), word).reason  # type: ignore[arg-type]


def test_introspection_shows_routes_without_values() -> None:
    request = Request("GET", "http", "_egress.local", 80, "/allowlist", (("Host", "_egress.local"),))
    decision = judge(request)
    assert isinstance(decision, Answer)
    assert parse_routes(json.loads(decision.body)) == ROUTES
    for other in (
        replace(request, path="/"),
        replace(request, method="POST"),
        replace(request, scheme="https", port=443),
        replace(request, path="/allowlist?x"),
    ):
        assert refused(other, "nothing else").status == 404


def test_what_the_agent_wrote_is_shown_visible_and_bounded() -> None:
    refusal = refused(replace(GET, headers=(("Host", "evil\u202e" + "x" * 500),)), "Host header")
    assert "<U+202E>" in refusal.text
    assert len(refusal.text) < 500


@pytest.mark.parametrize(("port", "ok"), [(443, True), (80, True), (22, False), (53, False), (8443, False)])
def test_tunnels(port: int, ok: bool) -> None:
    assert (decide_connect("any.example", port) is None) is ok


@pytest.mark.parametrize(
    "name", ["X-Original-URL", "x_original_url", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Forwarded-Prefix"]
)
def test_what_rewrites_the_path_is_stripped_where_paths_are_listed(name: str) -> None:
    listed = judge(to("api.example", "/v1/x", headers=(("Host", "api.example"), (name, "/v2"), ("X-Kept", "1"))))
    assert isinstance(listed, Allow)
    assert listed.strip == {name.lower()}
    free = judge(to("open.example", "/x", headers=(("Host", "open.example"), (name, "/v2"))))
    assert isinstance(free, Allow)
    assert free.strip == frozenset()
