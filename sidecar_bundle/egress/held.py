"""Bodies that wait for their scan: each bounded, and all together, by what they hold in memory."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from mitmproxy.proxy import commands

# Bytes. A body of `MAX_BODY` needs up to three times that while it is decoded, scanned and sent.
MAX_BODY = 64 * 1024 * 1024
MAX_HELD = 192 * 1024 * 1024
# A body above this goes upstream in pieces of this size, each when there is room for it.
PIECE = 256 * 1024

TOO_LARGE = f"its body is larger than {MAX_BODY >> 20} MB, which is the most that can be scanned"
TOO_MUCH = f"egress already holds {MAX_HELD >> 20} MB of requests that wait for their scan"


class Held:
    """Takes the place of mitmproxy's buffer of a request's body: one block of memory, however small the pieces."""

    total: ClassVar[int] = 0

    def __init__(self) -> None:
        self._data = bytearray()
        self._counted = 0

    def __iadd__(self, data: bytes) -> Held:
        self._data += data
        self._counted += len(data)
        Held.total += len(data)
        return self

    def __len__(self) -> int:
        return len(self._data)

    def __bytes__(self) -> bytes:
        return bytes(self._data)

    def clear(self) -> None:
        """Empties it; it stays counted until `release`, since what was made of it lives on."""
        self._data = bytearray()

    def release(self) -> None:
        """Its body is sent, refused or given up."""
        Held.total -= self._counted
        self._counted = 0

    def excess(self, more: int) -> int:
        """The status to refuse with when `more` bytes are too many (413, 503), else 0."""
        if len(self._data) + more > MAX_BODY:
            return 413
        return 503 if Held.total + more > MAX_HELD else 0


@dataclass
class RoomHook(commands.StartHook):
    """Waits until the upstream has taken most of what was sent to it. `stream` is the exchange that waits."""

    stream: Any
