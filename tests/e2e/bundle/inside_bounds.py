"""What an agent sends that has no end, no form or no business in a request: cut, refused, and said once.

Run inside a namespace by `test_bundle.py`, never collected by itself.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from typing import Any

import pytest

from tests.e2e.bundle import h2_client as h2
from tests.e2e.bundle.rig import Bundle, headers, until
from tests.e2e.bundle.servers import MIB, pour, raw_upstream


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET http://open.example/", b"x" * 65536),
        (b"GET http://open.example/ HTTP/1.1\r\nHost: open.example\r\n", b"X-A: b\r\n" * 8192),
        (b"GET http://open.example/slow?20 HTTP/1.1\r\nHost: open.example\r\n\r\n", b"x" * 65536),
        (
            b"POST http://open.example/up HTTP/1.1\r\nHost: open.example\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            b"x" * 65536,
        ),
        (b"CONNECT open.example:443 HTTP/1.1\r\n\r\n\x16\x03\x01\xff\xff\x01\xff\xff\xff", b"\x16" * 65536),
    ],
    ids=["line", "headers", "behind a request", "chunk extension", "tls hello"],
)
def test_what_has_no_end_is_cut(f: Bundle, start: bytes, piece: bytes) -> None:
    before = f.peak_rss()
    with socket.create_connection(("127.0.0.1", f.port), 10) as sock:
        sock.sendall(start)
        assert pour(sock, piece) < 16 * MIB
    assert f.peak_rss() - before < 24
    assert [line["verdict"] for line in f.activity() if " KiB" in line["reason"]] == ["refuse"]
    assert f.curl("https://open.example/").status == 200


def test_a_head_that_is_too_large_is_answered(f: Bundle) -> None:
    with socket.create_connection(("127.0.0.1", f.port), 10) as sock:
        sock.sendall(b"GET http://open.example/ HTTP/1.1\r\nHost: open.example\r\nX-A: " + b"x" * (256 * 1024))
        answer = sock.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 431 ")
    assert answer.endswith("egress: the request is malformed: more than 256 KiB of head; send a plain HTTP request\n")


def test_a_large_head_below_the_bound_passes(f: Bundle, web: Any) -> None:
    args = [part for i in range(6) for part in ("-H", f"X-{i}: {'x' * 10000}")]
    assert f.curl("https://api.example/v1", "--http1.1", *args).status == 200
    assert len(headers(web[0].seen[-1])["x-5"]) == 10000


def test_an_endless_http_2_header_block_is_cut(f: Bundle) -> None:
    before = f.peak_rss()
    with h2.connect(f, "open.example") as sock:
        sock.sendall(h2.frame(h2.HEADERS, h2.END_STREAM, 1, h2.head("open.example", "/")))
        assert pour(sock, h2.frame(h2.CONTINUATION, 0, 1, b"x" * 16384)) < 16 * MIB
    with h2.connect(f, "open.example") as sock:
        sock.sendall(h2.frame(h2.HEADERS, h2.END_STREAM, 1, h2.head("open.example", "/")))
        # Few and large, so that no count of frames stops them.
        pour(sock, h2.frame(h2.CONTINUATION, 0, 1, b"x" * 131072), 4 * MIB)
    until(lambda: any("header block is larger" in line["reason"] for line in f.activity()))
    assert f.peak_rss() - before < 24


def test_failed_handshakes_leave_activity_and_no_log(f: Bundle) -> None:
    before = f.log
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", f.port), 10) as sock:
            sock.sendall(b"CONNECT open.example:443 HTTP/1.1\r\nHost: open.example:443\r\n\r\n")
            assert b" 200 " in sock.recv(4096)
            with pytest.raises(ssl.SSLError):
                ssl.create_default_context().wrap_socket(sock, server_hostname="open.example")
    until(lambda: sum("does it trust the CA" in line["reason"] for line in f.activity()) == 30)
    assert f.log == before


def test_many_refusals_do_not_slow_egress_down(f: Bundle) -> None:
    request = b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    with socket.create_connection(("127.0.0.1", f.port), 10) as sock:
        threading.Thread(target=lambda: pour(sock, request * 100, 2000 * len(request)), daemon=True).start()
        seen = 0
        while seen < 1000:
            seen += sock.recv(65536).count(b"HTTP/1.1 403")
        started = time.monotonic()
        assert f.curl("https://open.example/").status == 200
        assert time.monotonic() - started < 3


CHUNKED = "POST http://open.example/up HTTP/1.1\r\nHost: open.example\r\nTransfer-Encoding: chunked\r\n\r\n"
TRAILER = "3\r\nabc\r\n0\r\nAuthorization: smuggled\r\n\r\n"
REFUSED = "egress: the request is malformed: trailers are not supported; send a plain HTTP request\n"


@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_trailers_of_a_request_are_refused(f: Bundle, web: Any, pause: float) -> None:
    with socket.create_connection(("127.0.0.1", f.port), 10) as sock:
        sock.sendall(CHUNKED.encode())
        time.sleep(pause)
        sock.sendall(TRAILER.encode())
        answer = sock.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 400 ")
    assert answer.endswith(REFUSED)
    line = until(lambda: [line for line in f.activity() if line["target"] == "/up"])[-1]
    assert (line["verdict"], line["host"], line["status"]) == ("refuse", "open.example", 400)
    assert "trailers are not supported" in line["reason"]
    assert "crashed" not in f.log
    assert "smuggled" not in str([s.seen for s in web])


def test_trailers_over_http_2_are_refused(f: Bundle) -> None:
    with h2.connect(f, "open.example") as sock:
        post = h2.head("open.example", "/up", b"\x83")
        trailers = h2.field("authorization", "smuggled")
        sock.sendall(h2.frame(h2.HEADERS, h2.END_HEADERS, 1, post) + h2.frame(h2.DATA, 0, 1, b"abc"))
        sock.sendall(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, trailers))
        body = b""
        while True:
            kind, flags, stream, payload = h2.read_frame(sock)
            body += payload if kind == h2.DATA else b""
            if stream == 1 and flags & h2.END_STREAM:
                break
    assert body.decode() == REFUSED
    until(lambda: "trailers are not supported" in f.activity()[-1]["reason"])
    assert "crashed" not in f.log


def test_trailers_of_an_answer_are_left_out(f: Bundle) -> None:
    def answer(sock: socket.socket, _reader: Any) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n")

    with raw_upstream(answer):
        assert f.curl("http://dead.example/").body == "hi"
    assert "crashed" not in f.log


@pytest.mark.parametrize("request_", ["nonsense\r\n\r\n", "GET /v1\r\n\r\n", "GET / HTTP/1.1\r\nHost : x\r\n\r\n"])
@pytest.mark.parametrize("tunnel", ["api.example", ""])
def test_what_cannot_be_parsed_leaves_a_line(f: Bundle, request_: str, tunnel: str) -> None:
    f.raw(request_.encode(), tunnel)
    line = f.activity()[-1]
    assert (line["verdict"], line["status"]) == ("refuse", 400)
    assert re.search("malformed", line["reason"])
    assert line["host"] in (tunnel, "x", "")


def test_headers_that_rewrite_the_path_are_stripped(f: Bundle, web: Any) -> None:
    names = ("X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X_Original_URL", "X-Forwarded-Prefix")
    args = [part for name in names for part in ("-H", f"{name}: /v2")]
    for http in ("--http1.1", "--http2"):
        assert f.curl("https://api.example/v1", http, *args).status == 200
        assert "/v2" not in str(web[0].seen[-1])
    assert f.curl("https://open.example/", *args).status == 200
    assert headers(web[0].seen[-1])["x-original-url"] == "/v2"
