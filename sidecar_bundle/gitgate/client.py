"""The line to a git client before git has it: its request, which stays there to read, and refusals."""

from __future__ import annotations

import contextlib
import select
import socket
import time

from sidecar_bundle.gitgate import request

REQUEST_SECONDS = 10.0


def peek(client: socket.socket) -> bytes:
    """The request, which stays for git to read. Raises `Refused` when none comes in time."""
    until = time.monotonic() + REQUEST_SECONDS

    def ready(size: int) -> bytes:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
        poll = select.poll()
        poll.register(client, select.POLLIN)
        while len(data := client.recv(size, socket.MSG_PEEK) if poll.poll(50) else b"") < size:
            if time.monotonic() > until:
                raise request.Refused("no request came")
            if poll.poll(0) and not client.recv(1, socket.MSG_PEEK):
                raise request.Refused("no request came")
        return data

    try:
        return ready(request.length(ready(4)))
    finally:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


def refuse(client: socket.socket, reason: str) -> None:
    """Tells the client why, in a way that it shows."""
    with contextlib.suppress(OSError):
        client.settimeout(2.0)
        client.sendall(request.error_packet(reason))
        client.shutdown(socket.SHUT_WR)
        # What was sent and not read would turn the end into a reset, which swallows the reason.
        for _ in range(64):
            if not client.recv(65536):
                break
