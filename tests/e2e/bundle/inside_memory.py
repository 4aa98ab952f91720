"""What an agent does to fill the memory of egress: sources wait, the greedy are cut, and service goes on.

Run inside a namespace by `test_bundle.py`, never collected by itself.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bundle import h2_client as h2
from tests.e2e.bundle.rig import TOKEN, Bundle, until
from tests.e2e.bundle.servers import MIB, h2_upstream, pour, raw_upstream
from tests.fake_upstream import digest


def collect(sock: ssl.SSLSocket, streams: set[int]) -> dict[int, int]:
    """Opens the windows and reads all; the bytes of each stream."""
    sizes = dict.fromkeys(streams, 0)
    sock.sendall(h2.window(0, 2**31 - 1 - 65535) + b"".join(h2.window(i, 2**31 - 1) for i in streams))
    while streams:
        kind, flags, stream, payload = h2.read_frame(sock)
        if kind == h2.DATA:
            sizes[stream] += len(payload)
        if kind in (h2.DATA, h2.HEADERS) and flags & h2.END_STREAM:
            streams = streams - {stream}
    return sizes


@pytest.mark.parametrize("host", ["open.example", "h2.example"])
def test_a_client_that_opens_no_window_makes_the_upstream_wait(python: str, f: Bundle, pki: Path, host: str) -> None:
    with h2_upstream(python, pki), contextlib.ExitStack() as stack:
        f.configure({"host": host})
        assert f.curl(f"https://{host}/").status == 200
        before = f.peak_rss()
        sock = stack.enter_context(h2.connect(f, host, initial_window=0))
        for stream in (1, 3):
            sock.sendall(h2.frame(h2.HEADERS, h2.END_STREAM | h2.END_HEADERS, stream, h2.head(host, "/big?60")))
        # Another exchange of the same connection is not held up.
        sock.sendall(h2.frame(h2.HEADERS, h2.END_STREAM | h2.END_HEADERS, 5, h2.head(host, "/")) + h2.window(5, MIB))
        time.sleep(1.0)
        assert f.peak_rss() - before < 40
        while True:
            kind, flags, stream, _ = h2.read_frame(sock)
            if kind == h2.DATA and stream == 5 and flags & h2.END_STREAM:
                break
        # And what waited arrives whole when it is wanted.
        assert collect(sock, {1, 3}) == {1: 60 * MIB, 3: 60 * MIB}
        # A flush of what waited is copied a few times on its way.
        assert f.peak_rss() - before < 80


def test_too_much_unread_data_ends_the_connection_that_grows(f: Bundle) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(32):
            sock = stack.enter_context(h2.connect(f, "open.example", initial_window=0))
            for stream in (1, 3, 5, 7, 9):
                request = h2.head("open.example", "/big?2")
                sock.sendall(h2.frame(h2.HEADERS, h2.END_STREAM | h2.END_HEADERS, stream, request))
        until(lambda: any("too much unread data" in line["reason"] for line in f.activity()), 30)
        time.sleep(0.5)
        assert f.peak_rss() < 320
    assert f.curl("https://open.example/", "--http2").status == 200


def test_an_upload_waits_for_a_slow_http_2_upstream(python: str, f: Bundle, pki: Path, tmp_path: Path) -> None:
    body = tmp_path / "body"
    with body.open("wb") as file:
        file.truncate(20 * MIB)
    with h2_upstream(python, pki):
        f.configure({"host": "h2.example", "dlp": "off"})
        assert f.curl("https://h2.example/", "--http2").status == 200
        before = f.peak_rss()
        assert f.curl("https://h2.example/slow", "--http2", "-T", str(body)).json["received"] == 20 * MIB
        assert f.peak_rss() - before < 10
        # The connection is as good as new.
        assert f.curl("https://h2.example/", "--http2", "-T", str(body)).json["received"] == 20 * MIB


def test_an_upload_waits_for_its_connection(f: Bundle) -> None:
    f.configure({"host": "dead.example", "dlp": "off"})
    got = [0]

    def sink(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            while data := sock.recv(MIB):
                got[0] += len(data)

    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("203.0.113.12", 80), backlog=0))
        # A full queue: what connects now waits.
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("203.0.113.12", 80))
        sock = stack.enter_context(socket.create_connection(("127.0.0.1", f.port), 10))
        head = f"POST http://dead.example/ HTTP/1.1\r\nHost: dead.example\r\nContent-Length: {48 * MIB}\r\n\r\n"
        sock.sendall(head.encode())
        before = f.peak_rss()
        threading.Thread(target=lambda: pour(sock, b"x" * 65536), daemon=True).start()
        time.sleep(0.7)
        assert f.peak_rss() - before < 16
        for _ in range(4):
            listener.settimeout(12)
            with contextlib.suppress(TimeoutError):
                threading.Thread(target=sink, args=(listener.accept()[0],), daemon=True).start()
            if got[0]:
                break
        until(lambda: got[0] > 48 * MIB)
        assert f.peak_rss() - before < 16


def upgraded(b: Bundle) -> socket.socket:
    """A WebSocket to dead.example."""
    sock = socket.create_connection(("127.0.0.1", b.port), 10)
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    sock.sendall(f"GET http://dead.example/ HTTP/1.1\r\nHost: dead.example\r\n{upgrade}{key}\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += sock.recv(1)
    assert b" 101 " in answer
    return sock


def fragment(first: int) -> bytes:
    return bytes([first, 0x81, 0, 0, 0, 0]) + b"x"


def ws_frame(first: int, size: int) -> bytes:
    return bytes([first, 0xFF]) + size.to_bytes(8, "big") + bytes(4) + b"x" * size


def test_web_socket_messages_are_not_kept_and_an_endless_one_is_cut(f: Bundle) -> None:
    f.configure({"host": "dead.example", "dlp": "off"})
    got = [0]

    def sink(sock: socket.socket, reader: Any) -> None:
        accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        while data := sock.recv(MIB):
            got[0] += len(data)

    with raw_upstream(sink):
        with upgraded(f) as sock:
            before = f.peak_rss()
            assert pour(sock, ws_frame(0x82, MIB), 96 * MIB) >= 96 * MIB
            until(lambda: got[0] > 96 * MIB)
        assert f.peak_rss() - before < 32
        with upgraded(f) as sock:
            sock.sendall(fragment(0x02))
            assert pour(sock, ws_frame(0x00, MIB)) < 32 * MIB
        with upgraded(f) as sock:
            sock.sendall(fragment(0x02))
            assert pour(sock, fragment(0x00) * 1000) < 32 * MIB
    assert [line["reason"] for line in f.activity()].count(
        "the connection was ended: a WebSocket message of more than 16 MiB or 4096 fragments"
    ) == 2


def test_out_of_memory_ends_egress_and_a_fresh_one_serves(f: Bundle) -> None:
    pid = f.egress_pid
    status = Path(f"/proc/{pid}/status").read_text()
    used = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmData"))) * 1024
    resource.prlimit(pid, resource.RLIMIT_DATA, (used, used))
    with contextlib.ExitStack() as stack:
        for _ in range(120):
            with contextlib.suppress(OSError):
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", f.port), 2))
                sock.sendall(b"GET http://open.example/ HTTP/1.1\r\nX-A: " + b"x" * 200_000)
        until(lambda: f.egress_pid not in (0, pid))
    assert f.settle() == "ready"
    assert f.curl("https://api.example/v1").seen("authorization") == digest(f"Bearer {TOKEN}")
    assert "[egress] memory is used up" in f.log
    assert "[init] egress ended with 70" in f.log
