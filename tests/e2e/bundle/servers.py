"""Upstreams that misbehave, and a client that sends without end: for the tests inside the namespace."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.e2e.bundle.rig import ROOT
from tests.fake_upstream import make_leaf, wait_listening

MIB = 1024 * 1024


def pour(sock: socket.socket, piece: bytes, total: int = 48 * MIB) -> int:
    """Sends `piece` again and again until `total` or the end of the connection; how much went."""
    sent = 0
    sock.settimeout(5)
    with contextlib.suppress(OSError):
        while sent < total:
            sock.sendall(piece)
            sent += len(piece)
    return sent


@contextlib.contextmanager
def h2_upstream(python: str, pki: Path) -> Iterator[None]:
    leaf = make_leaf(pki, "h2.example")
    script = str(ROOT / "tests" / "e2e" / "bundle" / "h2_upstream.py")
    server = subprocess.Popen([python, "-I", script, "203.0.113.11", str(leaf[0]), str(leaf[1])])
    try:
        wait_listening("203.0.113.11", 443)
        yield
    finally:
        server.kill()
        server.wait(5)


@contextlib.contextmanager
def raw_upstream(talk: Callable[[socket.socket, Any], None]) -> Iterator[None]:
    """A plain server at dead.example that gets each connection after the request's head."""

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            reader = sock.makefile("rb")
            while reader.readline().strip():
                pass
            talk(sock, reader)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("203.0.113.12", 80)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
