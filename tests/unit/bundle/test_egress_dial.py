"""Dialling by way of the process outside: the socket that it passes in is used, its refusals are told, nothing else."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar_bundle.egress.dial import AddressRefused, EgressLoop
from sidecar_bundle.shared.layout import PIPELOCK_PORT


class Dialer:
    """Answers each request with `reply`, and one end of a socket pair when that is ok."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.asked: list[dict[str, Any]] = []
        self.reply: bytes = b'{"ok": true, "address": "192.0.2.1"}\n'
        self.far, self.near = socket.socketpair()
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.path)
        self.server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self.server.accept()
            except OSError:
                return
            with sock:
                self.asked.append(json.loads(sock.makefile().readline()))
                good = b'"ok": true' in self.reply
                socket.send_fds(sock, [self.reply[:5]], [self.near.fileno()] if good else [])
                sock.sendall(self.reply[5:])


@pytest.fixture
def dialer(tmp_path: Path) -> Iterator[Dialer]:
    one = Dialer(tmp_path / "dialer")
    yield one
    one.server.shutdown(socket.SHUT_RDWR)
    for sock in (one.server, one.far, one.near):
        sock.close()


def run(dialer: Dialer | str, host: str, port: int = 443) -> bytes:
    """Sends a line to `host` through a fresh loop and reads one."""

    async def talk() -> bytes:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, EgressLoop)
        loop.dialer = dialer if isinstance(dialer, str) else dialer.path
        loop.allowlist = lambda name: ["10.0.0.0/8"] if name == "a.example" else None
        reader, writer = await asyncio.open_connection(host, port, local_addr=None)
        writer.write(b"ping\n")
        line = await reader.readline()
        writer.close()
        return line

    with asyncio.Runner(loop_factory=EgressLoop) as runner:
        return runner.run(asyncio.wait_for(talk(), 10))


def test_the_connected_socket_is_used(dialer: Dialer) -> None:
    dialer.far.sendall(b"pong\n")
    assert run(dialer, "a.example") == b"pong\n"
    assert dialer.far.recv(100) == b"ping\n"
    assert dialer.asked == [{"host": "a.example", "port": 443, "nets": ["10.0.0.0/8"], "who": "egress"}]


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        (
            b'{"ok": false, "kind": "refused", "error": "10.1.1.1 (private)"}',
            AddressRefused,
            "address of a.example refused: 10",
        ),
        (b'{"ok": false, "kind": "unresolved", "error": "its name cannot be resolved"}', OSError, "its name cannot"),
        (b'{"ok": "true"}', OSError, "no reason given"),
        (b"nonsense", OSError, "dialer does not answer"),
        (b"", OSError, "dialer does not answer"),
    ],
)
def test_its_refusals_are_told(dialer: Dialer, reply: bytes, error: type[OSError], text: str) -> None:
    dialer.reply = reply + b"\n" if reply else b""
    with pytest.raises(error, match=text) as caught:
        run(dialer, "a.example")
    assert isinstance(caught.value, AddressRefused) == (error is AddressRefused)


def test_without_it_or_without_a_route_nothing_is_dialled(dialer: Dialer, tmp_path: Path) -> None:
    with pytest.raises(AddressRefused, match="no route names the host"):
        run(dialer, "b.example")
    assert dialer.asked == []
    with pytest.raises(OSError, match="the bundle's dialer does not answer"):
        run(str(tmp_path / "gone"), "a.example")


def test_pipelock_is_dialled_here(dialer: Dialer) -> None:
    with socket.socket() as probe:
        if not probe.connect_ex(("127.0.0.1", PIPELOCK_PORT)):
            pytest.skip("something listens on pipelock's port here")
    with pytest.raises(OSError, match=r"^pipelock: cannot be reached: connection refused$"):
        run(dialer, "127.0.0.1", PIPELOCK_PORT)
    with pytest.raises(AddressRefused):
        run(dialer, "127.0.0.1", PIPELOCK_PORT + 1)
    assert dialer.asked == []
