"""Requests on their way through pipelock: seen by it, refused in its words, and never past it when it is down.

Run inside a namespace by `test_bundle.py`, never collected by itself.
"""

from __future__ import annotations

import gzip
import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bundle.chain_proxy import MARK, Proxy, chain_proxy
from tests.e2e.bundle.rig import API, OPEN, TOKEN, Bundle, bundle, headers, until

HOSTS = ("open.example", "api.example")


def configure(b: Bundle, *routes: Any) -> None:
    config = {"slug": "b-1", "routes": list(routes), "daemons": ["egress", "pipelock"]}
    assert b.ask(op="configure", config=config, with_listener=True) == {"ok": True}
    assert b.ask(op="secrets", values={"EGRESS_TOKEN_0": TOKEN}) == {"ok": True}
    until(lambda: b.ask(op="health")["daemons"]["egress"]["state"] == "ready")


@pytest.fixture(scope="module")
def running(python: str, pki: Path, servers: Any) -> Iterator[Bundle]:
    # The program that its daemon runs ends at once: its port is the stand-in's.
    env = {"BOT_BOTTLE_UPSTREAM_CA": str(pki / "ca.pem"), "BOT_BOTTLE_PIPELOCK": "/bin/false"}
    with bundle(python, env, daemons="egress,pipelock") as one:
        yield one


@pytest.fixture
def c(running: Bundle) -> Bundle:
    configure(running, OPEN, API)
    return running


@pytest.fixture
def proxy(c: Bundle, pki: Path) -> Iterator[Proxy]:
    with chain_proxy(c.folder / "ca", pki / "ca.pem", HOSTS) as one:
        yield one


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_requests_go_through_pipelock(c: Bundle, proxy: Proxy, web: Any, http: str) -> None:
    answer = c.curl("https://api.example/v1/x", http, "-d", "hello")
    assert answer.json["received"] == 5
    assert proxy.connects == [b"api.example:443"]
    assert b"hello" in proxy.seen[0]
    assert f"Bearer {TOKEN}".encode() in proxy.seen[0]
    assert headers(web[0].seen[-1])["authorization"] == f"Bearer {TOKEN}"


def test_plain_http_goes_in_absolute_form(c: Bundle, proxy: Proxy, web: Any) -> None:
    assert c.curl("http://open.example/p?q=1", "-d", "x").json["path"] == "/p?q=1"
    assert proxy.seen[0].startswith(b"POST http://open.example/p?q=1 HTTP/1.1\r\n")
    assert proxy.connects == []


def test_bodies_go_without_their_encoding(c: Bundle, proxy: Proxy, web: Any, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(gzip.compress(b"text " * 100))
    answer = c.curl("https://open.example/", "-H", "Content-Encoding: gzip", "--data-binary", f"@{body}")
    assert answer.json["received"] == 500
    assert b"encoding: gzip" not in proxy.seen[0].lower()
    assert b"accept-encoding: identity" in proxy.seen[0].lower()


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_its_refusals_reach_the_agent_in_its_words(c: Bundle, proxy: Proxy, web: Any, http: str) -> None:
    answer = c.curl("https://open.example/x", http, "-d", MARK.decode())
    assert answer.status == 403
    said = "pipelock: blocked: request body contains secret: GitHub Token"
    assert answer.body == f"{said}; ask the operator to let pipelock pass it\n"
    assert c.activity()[-1] | {"time": 0} == {
        "time": 0,
        "source": "egress",
        "verdict": "refuse",
        "method": "POST",
        "host": "open.example",
        "target": "/x",
        "reason": said,
        "status": 403,
    }
    proxy.refused.add("api.example")
    answer = c.curl("https://api.example/v1", http)
    assert answer.status == 403
    assert answer.body.startswith("pipelock: CONNECT blocked: domain not in allowlist: api.example; ")
    assert (c.activity()[-1]["verdict"], c.activity()[-1]["status"]) == ("refuse", 403)
    assert web[0].seen == []


@pytest.mark.parametrize("url", ["https://open.example/", "http://open.example/"])
def test_without_it_nothing_passes(c: Bundle, web: Any, url: str) -> None:
    for http in ("--http1.1", "--http2"):
        answer = c.curl(url, http)
        assert answer.status == 502
        assert answer.body.startswith("pipelock: cannot be reached: connection refused; ")
    assert [s.seen for s in web[:2]] == [[], []]
    assert c.activity()[-1]["reason"].startswith("pipelock: cannot be reached")


def test_websockets_go_past_it_and_are_marked(c: Bundle, proxy: Proxy, web: Any) -> None:
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    with socket.create_connection(("127.0.0.1", c.port), 10) as sock:
        # On one connection with a request that goes by pipelock.
        reader = sock.makefile("rb")
        sock.sendall(b"HEAD http://open.example/ HTTP/1.1\r\nHost: open.example\r\n\r\n")
        assert b" 200 " in reader.readline()
        while reader.readline().strip():
            pass
        sock.sendall(f"GET http://open.example/ws HTTP/1.1\r\nHost: open.example\r\n{upgrade}\r\n".encode())
        assert b" 101 " in reader.readline()
    assert len(proxy.seen) == 1
    assert c.activity()[-1]["reason"] == "not seen by pipelock"


def test_the_agent_cannot_speak_to_it(c: Bundle, proxy: Proxy, web: Any) -> None:
    for target in ("http://127.0.0.1:8888/", "http://localhost:8888/"):
        assert c.raw(f"GET {target} HTTP/1.1\r\nHost: {target.split('/')[2]}\r\n\r\n".encode()).startswith(
            "HTTP/1.1 403"
        )
    assert (proxy.seen, proxy.connects) == ([], [])


def test_its_ca_is_its_own(c: Bundle) -> None:
    key, certificate = c.folder / "ca" / "pipelock-ca-key.pem", c.folder / "ca" / "pipelock-ca.pem"
    assert key.read_text().startswith("-----BEGIN EC PRIVATE KEY-----")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "PRIVATE" not in certificate.read_text()
    assert certificate.read_text() not in c.ca.read_text()


def test_a_lost_route_ends_tunnels_through_it(c: Bundle, proxy: Proxy, web: Any) -> None:
    assert c.curl("https://open.example/").status == 200
    with socket.create_connection(("127.0.0.1", c.port), 10) as sock:
        sock.sendall(b"GET http://open.example/big?200 HTTP/1.1\r\nHost: open.example\r\n\r\n")
        assert sock.recv(1000)
        configure(c, API)
        size = 0
        sock.settimeout(5)
        try:
            while data := sock.recv(1 << 20):
                size += len(data)
        except ConnectionResetError:
            pass
        assert size < 100 << 20
    assert json.loads(c.curl("http://_egress.local/allowlist").body)["routes"][0]["host"] == "api.example"
