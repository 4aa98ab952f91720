"""The outlets in a running egress: a name is looked up there, its address dialled, and the real host answers.

Run inside a namespace by `test_bundle.py`, never collected by itself.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
from typing import Any

from tests.e2e.bundle.rig import API, OPEN, Bundle, until


def look_up(name: str) -> tuple[int, str]:
    """The code of the answer for an A record, and its address or ""."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(
            struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1), ("127.0.0.1", 53)
        )
        answer = sock.recv(4096)
    return answer[3] & 15, socket.inet_ntoa(answer[-4:]) if answer[7] else ""


def test_a_name_leads_to_its_host_and_nothing_else_does(f: Bundle, web: Any) -> None:
    def configure(names: list[str], socks: list[socket.socket], *routes: Any) -> None:
        config = {"slug": "b-1", "routes": list(routes)}
        assert f.ask(op="configure", config=config, listeners=names, sockets=socks) == {"ok": True}
        assert f.settle() in ("ready", "needs-credentials")

    with contextlib.ExitStack() as stack:
        dns = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        dns.bind(("127.0.0.1", 53))
        # Only to know the address before anything listens there: an upstream of the tests has the port on another.
        address = "203.0.113.2"
        subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True)
        http = stack.enter_context(socket.create_server((address, 80)))
        configure(["outlet-dns", "outlet-http"], [dns, http], OPEN, API)
        assert look_up("evil.example") == (3, "")
        assert until(lambda: look_up("open.example")) == (0, address)
        sock = stack.enter_context(socket.create_connection((address, 80), 5))
        sock.sendall(b"GET /by-outlet HTTP/1.1\r\nHost: open.example\r\n\r\n")
        assert b" 200 " in sock.recv(4096)
        assert [request["path"] for request in web[1].seen] == ["/by-outlet"]
        # The route goes, and with it the connection and the name.
        configure([], [], API)
        assert sock.makefile("rb").read().count(b"HTTP/1.1") == 0
        assert look_up("open.example") == (3, "")
        again = stack.enter_context(socket.create_connection((address, 80), 5))
        with contextlib.suppress(ConnectionResetError):
            assert again.recv(100) == b""
