"""What a bundle lets through and what it refuses, with real traffic.

Run inside a namespace by `test_bundle.py`, never collected by itself.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bundle.rig import AGENT, API, OPEN, TOKEN, Bundle, headers


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_the_credential_is_injected_and_the_agent_s_own_never_arrives(b: Bundle, web: Any, http: str) -> None:
    own = ["-H", f"Authorization: Bearer {AGENT}", "-H", f"X-Api-Key: {AGENT}", "-H", f"Proxy-Authorization: {AGENT}"]
    answer = b.curl("https://api.example/v1/x?secret-query", http, *own, "-d", "body")
    assert answer.status == 200
    assert answer.json["received"] == 4
    (request,) = web[0].seen
    assert headers(request)["authorization"] == f"Bearer {TOKEN}"
    assert AGENT not in json.dumps(request)
    line = b.activity()[-1]
    assert (line["verdict"], line["host"], line["target"], line["status"]) == ("allow", "api.example", "/v1/x", 200)


def test_on_a_route_without_auth_the_agent_s_own_is_stripped_too(b: Bundle, web: Any) -> None:
    assert b.curl("https://open.example/", "-H", f"Authorization: {AGENT}").status == 200
    assert b.curl("http://open.example/", "-H", f"Authorization: {AGENT}").status == 200
    assert [AGENT in json.dumps(s.seen) for s in web[:2]] == [False, False]
    assert [len(s.seen) for s in web[:2]] == [1, 1]


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
@pytest.mark.parametrize(
    ("url", "args", "word"),
    [
        ("https://evil.example/x", [], "no route of bottle 'b-1' names it"),
        ("http://evil.example/x", [], "no route of bottle 'b-1' names it"),
        ("https://203.0.113.10/", [], "routes name hosts"),
        ("https://3405803786/", [], "routes name hosts"),
        ("https://open.example/", ["-H", "Host: evil.example"], "differs from the connected host"),
        ("https://evil.example/", ["-H", "Host: open.example"], "differs from the connected host"),
        ("https://api.example/v2", [], "the route allows /v1"),
        ("https://api.example/v1/../v2", ["--path-as-is"], "dot segment"),
        ("https://api.example/v1/%2e%2e/v2", ["--path-as-is"], "escaped dot"),
        ("http://api.example/v1", [], "never travels in clear"),
        ("https://open.example/r.git/info/refs?service=git-receive-pack", [], "git push"),
        ("https://open.example/r.git/git%2Dreceive-pack", ["-d", "x"], "git push"),
        ("https://open.example/", ["-X", "TRACE"], "TRACE"),
    ],
)
def test_refused_with_a_reason_and_never_sent(
    b: Bundle, web: Any, url: str, args: list[str], word: str, http: str
) -> None:
    answer = b.curl(url, http, *args)
    assert answer.status == 403
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.body.startswith("egress: ")
    assert word in answer.body
    assert [s.seen for s in web] == [[], [], [], []]
    assert b.activity()[-1]["verdict"] == "refuse"
    assert word in b.activity()[-1]["reason"]


def test_the_refused_host_is_alive_without_egress(b: Bundle, web: Any, pki: Path) -> None:
    argv = ["curl", "-sS", "--noproxy", "*", "--cacert", str(pki / "ca.pem"), "https://evil.example/x"]
    assert subprocess.run(argv, capture_output=True, timeout=10).returncode == 0
    assert len(web[0].seen) == 1


def test_a_tunnel_to_another_port_is_refused(b: Bundle) -> None:
    answer = b.raw(b"CONNECT open.example:22 HTTP/1.1\r\nHost: open.example:22\r\n\r\n")
    assert answer.startswith("HTTP/1.1 403")
    assert "egress: port 22" in answer
    assert b.activity()[-1]["method"] == "CONNECT"


@pytest.mark.parametrize("sni", ["evil.example", "api.example"])
def test_a_tls_name_of_another_host_is_refused(b: Bundle, web: Any, sni: str) -> None:
    request = b"GET /v1 HTTP/1.1\r\nHost: open.example\r\nConnection: close\r\n\r\n"
    assert "TLS name" in b.raw(request, "open.example", sni)
    fronted = request.replace(b"open.example", sni.encode())
    assert "differs from the connected host" in b.raw(fronted, "open.example", sni)
    assert web[0].seen == []


@pytest.mark.parametrize(
    "request_",
    [
        "GET /v1 HTTP/1.1\r\nHost: api.example\r\nHost: evil.example\r\n\r\n",
        "POST /v1 HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v1 HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /v1 HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5, 5\r\n\r\nhello",
        "GET /v1 HTTP/1.1\r\nHost: api.example\r\nX-A: b\x00c\r\n\r\n",
        "GET /v1 HTTP/1.1\r\nHost: api.example\r\nX-A: b\r\n folded\r\n\r\n",
        "GET /v1 HTTP/1.1\r\nHost : api.example\r\n\r\n",
        "GET https://evil.example/v1 HTTP/1.1\r\nHost: api.example\r\n\r\n",
        "GET /v1 HTTP/1.1\r\n\r\n",
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "nonsense\r\n\r\n",
        "GET /v1\r\n\r\n",
        "SSH-2.0-OpenSSH_9\r\n\r\n",
    ],
)
@pytest.mark.parametrize("tunnel", ["api.example", ""])
def test_smuggling_is_refused_in_plain_text(b: Bundle, web: Any, request_: str, tunnel: str) -> None:
    answer = b.raw(request_.encode("latin-1"), tunnel)
    if not tunnel and request_.startswith("CONNECT"):
        assert " 200 " in answer.split("\r\n")[0]
    else:
        assert answer.split(" ")[1] in ("400", "403"), answer
        assert "\r\n\r\negress: " in answer
        assert "<html" not in answer.lower()
    assert [s.seen for s in web] == [[], [], [], []]


def test_addresses_that_are_not_public(b: Bundle, web: Any) -> None:
    private, loop = {"host": "private.example"}, {"host": "loop.example"}
    b.configure(private, loop)
    for host, address in (("private.example", "10.9.9.9 (private)"), ("loop.example", "127.0.0.1 (loopback)")):
        answer = b.curl(f"https://{host}/")
        assert answer.status == 403
        assert address in answer.body
        assert b.activity()[-1]["verdict"] == "refuse"
    assert [s.seen for s in web] == [[], [], [], []]
    b.configure({**private, "ssrf_ip_allowlist": ["10.9.9.0/24"]}, loop)
    assert b.curl("https://private.example/").status == 200
    assert b.curl("https://loop.example/").status == 403
    assert [len(s.seen) for s in web] == [0, 0, 1, 0]


def test_introspection(b: Bundle) -> None:
    answer = b.curl("http://_egress.local/allowlist")
    assert answer.json == {"routes": [OPEN, API]}
    assert TOKEN not in answer.body
    assert b.curl("http://_egress.local/else").status == 404
