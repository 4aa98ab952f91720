"""One connection to the control socket, and what it still waits for."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sidecar_bundle.shared import wire


@dataclass
class Peer:
    """`wait_until` is when a pending `wait` for the daemons `wait_for` is answered at the latest (monotonic clock)."""

    sock: socket.socket
    decoder: wire.Decoder = field(default_factory=wire.Decoder)
    fds: list[int] = field(default_factory=list)
    wait_until: float | None = None
    wait_for: tuple[str, ...] | None = None
    wants_hello: bool = False

    def answer(self, message: Mapping[str, Any]) -> None:
        """Sends a response."""
        # A peer that does not read its answers loses them; init never waits for it.
        with contextlib.suppress(OSError):
            wire.send(self.sock, message)
