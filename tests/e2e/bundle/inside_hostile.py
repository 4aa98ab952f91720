"""Requests and answers that say something else than they seem to.

Run inside a namespace by `test_bundle.py`, never collected by itself.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
from typing import Any

import pytest

from tests.e2e.bundle import h2_client as h2
from tests.e2e.bundle.inside_dlp import token
from tests.e2e.bundle.rig import API, OPEN, TOKEN, Bundle, headers
from tests.e2e.bundle.servers import raw_upstream

OWN = "Zq7" + "wX3kLm9bT5vR2yHc8NdJ4sF6gPu"
FOREIGN = "пароль-" + "безопасность-ключ"


@pytest.fixture
def d(shared: Bundle) -> Bundle:
    protect = {"MY_KEY": OWN, "FOREIGN": FOREIGN}
    assert shared.ask(op="secrets", values={"EGRESS_TOKEN_0": TOKEN}, protect=protect) == {"ok": True}
    assert shared.configure(OPEN, API, {"host": "dead.example"}) == "ready"
    return shared


@pytest.mark.parametrize(
    "value", [FOREIGN, "".join(chr(ord(c) + 0xFEE0) for c in OWN)], ids=["cyrillic", "in wide letters"]
)
def test_headers_are_read_as_utf_8(d: Bundle, web: Any, value: str) -> None:
    answer = d.curl("https://open.example/", "-H", f"X-Note: {value}")
    assert (answer.status, "carries the value of" in answer.body) == (403, True), answer.body
    assert web[0].seen == []
    # What says nothing passes as it came, also where something else is cut out.
    assert d.configure({**OPEN, "dlp": "redact"}) == "ready"
    assert d.curl("https://open.example/", "-H", "X-Note: größer", "-H", f"X-Key: {FOREIGN}").status == 200
    (request,) = web[0].seen
    assert headers(request)["x-note"].encode("latin-1").decode() == "größer"
    assert headers(request)["x-key"] == "[redacted]"


def test_the_method_is_scanned_as_it_was_written(d: Bundle, web: Any) -> None:
    for method in (token(), OWN):
        assert "carries" in d.curl("https://open.example/", "-X", method).body
    assert web[0].seen == []


def test_one_content_type(d: Bundle, web: Any) -> None:
    two = ["-H", "Content-Type: text/plain; a=b", "-H", "Content-Type: application/x-www-form-urlencoded"]
    assert "stands twice" in d.curl("https://api.example/v1", *two, "-d", "api_key=other-1").body
    assert "subprotocol" not in d.curl("https://api.example/v1", "-H", "Sec-WebSocket-Protocol: chat").body
    answer = d.curl("https://api.example/v1", "-H", "Sec-WebSocket-Protocol: chat, x-api-key.other-1")
    assert (answer.status, "Sec-WebSocket-Protocol" in answer.body) == (403, True)
    assert len(web[0].seen) == 1


def test_a_refused_request_ends_only_itself(d: Bundle, web: Any) -> None:
    body = b"x" * 100
    post = f"POST http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nContent-Length: {len(body)}\r\n\r\n"
    assert "no route" in d.raw(post.encode() + body)
    with h2.connect(d, "api.example") as sock:
        # One is refused with its body right behind it, and another follows on the same connection.
        refused = h2.frame(h2.HEADERS, h2.END_HEADERS, 1, h2.head("api.example", "/else", b"\x83"))
        refused += h2.frame(h2.DATA, h2.END_STREAM, 1, body)
        served = h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 3, h2.head("api.example", "/v1"))
        sock.sendall(refused + served)
        sock.settimeout(3)
        with contextlib.suppress(OSError):
            while b'"path": "/v1"' not in (sock.recv(65536) or b'"path": "/v1"'):
                pass
    assert [request["path"] for request in web[0].seen] == ["/v1"]
    assert "crashed" not in d.log


@pytest.mark.parametrize("where", ["gzip", "br", "reason"])
def test_an_answer_that_brings_a_value_in_disguise(d: Bundle, where: str) -> None:
    packed = gzip.compress(f"your key is {OWN}".encode())

    def answer(sock: socket.socket, _reader: Any) -> None:
        if where == "reason":
            sock.sendall(f"HTTP/1.1 200 {OWN}\r\nContent-Length: 0\r\n\r\n".encode())
        else:
            head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {where}\r\nContent-Length: {len(packed)}\r\n\r\n"
            sock.sendall(head.encode() + packed)

    with raw_upstream(answer), socket.create_connection(("127.0.0.1", d.port), 10) as sock:
        sock.sendall(b"GET http://dead.example/ HTTP/1.1\r\nHost: dead.example\r\nConnection: close\r\n\r\n")
        got = sock.makefile("rb").read()
    assert got.split()[1] == b"502"
    assert packed not in got
    assert OWN.encode() not in got


def test_a_compressed_answer_with_nothing_in_it_passes_as_it_came(d: Bundle) -> None:
    packed = gzip.compress(b"nothing")

    def answer(sock: socket.socket, _reader: Any) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
        sock.sendall(head.encode() + packed)

    with raw_upstream(answer), socket.create_connection(("127.0.0.1", d.port), 10) as sock:
        sock.sendall(b"GET http://dead.example/ HTTP/1.1\r\nHost: dead.example\r\nConnection: close\r\n\r\n")
        assert sock.makefile("rb").read().endswith(packed)
