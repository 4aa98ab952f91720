"""Follows the audit log that pipelock appends to, and keeps it from growing: what was read is cut off."""

from __future__ import annotations

import os
from pathlib import Path

LIMIT = 4 * 1024 * 1024
_PIECE = 1024 * 1024
_MAX_LINE = 64 * 1024


class Tail:
    """The lines of `path` from its beginning; a file that was there before is removed."""

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self._path = path
        self._limit = limit
        self._at = 0
        self._rest = b""
        path.unlink(missing_ok=True)

    def lines(self) -> list[bytes]:
        """Whole lines that are new, at most a piece's worth; one that is too long is cut."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return []
        try:
            data = os.pread(fd, _PIECE, self._at)
            self._at += len(data)
            if len(data) < _PIECE and self._at > self._limit:
                # Pipelock appends, wherever the end is. A line that it writes just now may be lost.
                os.ftruncate(fd, 0)
                self._at = 0
        finally:
            os.close(fd)
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:_MAX_LINE]
        return [line[:_MAX_LINE] for line in lines if line]
