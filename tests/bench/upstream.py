"""A quick TLS upstream in a process of its own: small answers, large ones, and events with the time they were sent."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

from tests.fake_upstream import make_ca, make_leaf

ADDRESS = "203.0.113.10"
BIG = 100 * 1000 * 1000  # bytes of /big
EVENTS, PAUSE = 30, 0.01  # of /sse: how many, and seconds between two
_BLOCK = b"0123456789abcdef" * 15625
_SMALL = b'{"object": "list", "data": ["' + b"x" * 256 + b'"]}'
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def prepare(folder: Path, *hosts: str) -> Path:
    """Makes a CA and a certificate for `hosts` in `folder`; the CA's path."""
    ca = make_ca(folder)
    for made, name in zip(make_leaf(folder, *hosts), ("leaf.pem", "leaf.key"), strict=True):
        made.rename(folder / name)
    return ca


def _answer(sock: socket.socket, target: bytes) -> None:
    if target == b"/big":
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG)
        for _ in range(BIG // len(_BLOCK)):
            sock.sendall(_BLOCK)
    elif target == b"/sse":
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(EVENTS):
            time.sleep(PAUSE)
            event = b"data: %d\n\n" % time.monotonic_ns()
            sock.sendall(b"%x\r\n%s\r\n" % (len(event), event))
        sock.sendall(b"0\r\n\r\n")
    else:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_SMALL)
        sock.sendall(head + _SMALL)


def _serve(raw: socket.socket, context: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError), raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock = context.wrap_socket(raw, server_side=True) if context else raw
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                if not (more := sock.recv(65536)):
                    return
                data += more
            head, _, rest = data.partition(b"\r\n\r\n")
            found = _LENGTH.search(head)
            left = (int(found[1]) if found else 0) - len(rest)
            while left > 0:
                left -= len(sock.recv(min(left, 1 << 20)))
            data = b""
            target = head.split(b" ", 2)[1]
            _answer(sock, b"/" + target.split(b"/", 3)[3] if target.startswith(b"http") else target)


def _accept(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    while True:
        threading.Thread(target=_serve, args=(listener.accept()[0], context), daemon=True).start()


def main(folder: Path) -> None:
    """Serves until it is killed. As the first process of its namespace it lets the kernel bury orphans."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem", folder / "leaf.key")
    for port, tls in ((443, context), (80, None)):
        listener = socket.create_server((ADDRESS, port), backlog=64)
        threading.Thread(target=_accept, args=(listener, tls), daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
