"""Bodies, streams and protocols through a bundle, with real traffic.

Run inside a namespace by `test_bundle.py`, never collected by itself.
"""

from __future__ import annotations

import itertools
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bundle import h2_client as h2
from tests.e2e.bundle.rig import AGENT, API, OPEN, ROOT, TOKEN, Bundle
from tests.fake_upstream import digest, make_leaf, wait_listening


def test_an_upstream_that_speaks_http_2(python: str, b: Bundle, pki: Path, tmp_path: Path) -> None:
    leaf = make_leaf(pki, "h2.example")
    script = str(ROOT / "tests" / "e2e" / "bundle" / "h2_upstream.py")
    server = subprocess.Popen([python, "-I", script, "203.0.113.11", str(leaf[0]), str(leaf[1])])
    try:
        wait_listening("203.0.113.11", 443)
        b.configure({**API, "host": "h2.example"}, secrets={"EGRESS_TOKEN_0": TOKEN})
        body = tmp_path / "body"
        body.write_bytes(b"x" * 300_000)
        for http in ("--http2", "--http1.1"):
            answer = b.curl("https://h2.example/v1", http, "-T", str(body), "-H", f"Authorization: {AGENT}")
            assert answer.json["received"] == 300_000
            assert answer.json["headers"].get("authorization") == digest(f"Bearer {TOKEN}")
            assert answer.json["http2"] is (http == "--http2")
        assert "Lowercased" not in b.log
    finally:
        server.kill()
        server.wait(5)


def test_a_body_without_a_length_is_not_the_next_request(b: Bundle, web: Any, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.write_text(f"GET /v2 HTTP/1.1\r\nHost: api.example\r\nAuthorization: {AGENT}\r\n\r\n")
    with hidden.open() as body:
        answer = b.curl("https://api.example/v1", "--http2", "-X", "POST", "-T", "-", stdin=body)
    assert answer.json["received"] == hidden.stat().st_size
    assert [r["path"] for r in web[0].seen] == ["/v1"]


def test_server_sent_events_arrive_one_by_one(b: Bundle, web: Any) -> None:
    with socket.create_connection(("127.0.0.1", b.port), 10) as sock:
        sock.sendall(b"GET http://open.example/sse HTTP/1.1\r\nHost: open.example\r\n\r\n")
        times: list[float] = []
        seen = b""
        while seen.count(b"data: ") < 5:
            part = sock.recv(4096)
            assert part
            seen += part
            times += [time.monotonic()] * part.count(b"data: ")
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert all(0.1 < gap < 0.6 for gap in gaps), gaps


def test_bodies_stream_and_memory_stays_bounded(b: Bundle, web: Any, tmp_path: Path) -> None:
    b.configure({**OPEN, "dlp": "off"})
    b.curl("https://open.example/")
    before = b.peak_rss()
    for http in ("--http1.1", "--http2"):
        args = ["-o", "/dev/null", "-D", "/dev/stdout", "-w", "%{size_download}"]
        assert b.curl("https://open.example/big?100", http, *args, timeout=60).body == str(100 * 1024 * 1024)
    body = tmp_path / "body"
    with body.open("wb") as file:
        file.truncate(60 * 1024 * 1024)
    for args in (["-T", str(body)], ["-T", str(body), "-H", "Transfer-Encoding: chunked"]):
        assert b.curl("https://open.example/up", *args).json["received"] == body.stat().st_size
        refused = b.curl("https://evil.example/up", *args)
        assert refused.status == 403
    assert b.peak_rss() - before < 60


def test_a_refused_upload_is_answered_before_its_body(b: Bundle) -> None:
    with socket.create_connection(("127.0.0.1", b.port), 10) as sock:
        sock.sendall(b"POST http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000000\r\n\r\n")
        sock.settimeout(5)
        seen = b""
        while b"egress: host evil.example" not in seen:
            part = sock.recv(65536)
            assert part, seen
            seen += part


def test_a_body_that_ends_short_after_its_answer_ends_no_connection(b: Bundle) -> None:
    with h2.connect(b, "evil.example") as conn:
        for stream in (1, 3):
            block = h2.head("evil.example", "/", b"\x83") + h2.field("content-length", "1")
            conn.sendall(h2.frame(h2.HEADERS, h2.END_HEADERS, stream, block))
            seen = (0, 0, 0, b"")
            while seen[:3] != (h2.DATA, h2.END_STREAM, stream):
                seen = h2.read_frame(conn)
                assert seen[0] != h2.GOAWAY, seen
            conn.sendall(h2.frame(h2.DATA, h2.END_STREAM, stream))
    assert all("no route" in line["reason"] for line in b.activity()[-2:])


def test_websockets_pass(b: Bundle, web: Any) -> None:
    upgrade = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    mask, text = b"abcd", b"over the wall"
    frame = bytes([0x81, 0x80 | len(text)]) + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(text))
    with socket.create_connection(("127.0.0.1", b.port), 10) as sock:
        sock.sendall(f"GET http://open.example/ws HTTP/1.1\r\nHost: open.example\r\n{upgrade}{key}\r\n".encode())
        reader = sock.makefile("rb")
        assert b" 101 " in reader.readline()
        while reader.readline().strip():
            pass
        for _ in range(2):
            sock.sendall(frame)
            assert reader.read(2 + len(text)) == bytes([0x81, len(text)]) + text
    assert b.activity()[-1]["status"] == 101


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
@pytest.mark.parametrize(
    ("host", "word"),
    [("dead.example", "refused"), ("unknown.example", "cannot be resolved"), ("wrong.example", "verify")],
)
def test_an_upstream_that_cannot_be_reached(b: Bundle, web: Any, host: str, word: str, http: str) -> None:
    b.configure({"host": host})
    answer = b.curl(f"https://{host}/", http)
    assert answer.status == 502
    assert answer.body.startswith(f"egress: host {host} cannot be reached")
    assert word in answer.body
    assert answer.body.count("\n") == 1
    assert web[0].seen == []
    assert b.activity()[-1]["verdict"] == "error"


def test_head_and_reuse_of_a_connection(b: Bundle) -> None:
    assert b.curl("https://evil.example/", "-I").body == ""
    one = "HEAD http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    two = "GET http://_egress.local/allowlist HTTP/1.1\r\nHost: _egress.local\r\nConnection: close\r\n\r\n"
    first, second = b.raw((one + two).encode()).split("HTTP/1.1 ")[1:]
    assert (first[:3], second[:3]) == ("403", "200")
