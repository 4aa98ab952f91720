"""Asks the dialer for a connected socket: for daemons in a bundle that has no network of its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from sidecar_bundle.shared import wire

ATTEMPTS = 3
SECONDS = 45.0  # resolving and connecting are bounded by the dialer; this is for one that does not answer


class DialError(OSError):
    """No connection: `reason` is one line, `kind` is `refused`, `unresolved` or `unreachable`."""

    def __init__(self, reason: str, kind: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind


def dial(path: str, host: str, port: int, nets: Sequence[str], who: str) -> tuple[socket.socket, str]:
    """A connected, blocking socket and the address at its other end.

    `path` is the dialer's socket, `nets` the networks that are allowed for this host though not public, `who` the
    daemon that asks. Raises `DialError`. A dialer that dies over the request is asked again: it comes back.
    """
    request = {"host": host, "port": port, "nets": list(nets), "who": who}
    for left in reversed(range(ATTEMPTS)):
        try:
            answer, fds = _ask(path, request)
        except (OSError, wire.WireError) as error:
            if left and isinstance(error, ConnectionError):
                continue
            raise DialError(f"the dialer does not answer ({error})", "unreachable") from None
        if answer.get("ok") and fds:
            return socket.socket(fileno=fds[0]), str(answer.get("address", ""))
        reason = str(answer.get("error", "the dialer gave no connection"))
        raise DialError(reason[:500], str(answer.get("kind", "unreachable")))
    raise AssertionError


def _ask(path: str, request: Mapping[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """The answer, and the descriptor that came along with it, if any."""
    fds: list[int] = []
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(SECONDS)
            line.connect(path)
            wire.send(line, request)
            decoder = wire.Decoder()
            while True:
                data, more = wire.receive(line)
                fds += more
                if not data:
                    raise ConnectionResetError("it ended the request")
                if answers := decoder.feed(data):
                    kept, fds = fds[:1], fds[1:]
                    return answers[0], kept
    finally:
        for fd in fds:
            os.close(fd)
