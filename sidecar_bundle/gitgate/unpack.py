"""What is inside compressed files, as far as that can be told in bounded memory."""

from __future__ import annotations

import bz2
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from sidecar_bundle.gitgate.run import Failed

MAX_UNPACKED = 64 * 1024 * 1024
# Archives in archives that are opened.
DEPTH = 3
# Broken, encrypted or of an unknown method: bytes as any other.
_BROKEN = (
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile),
    *(OSError, EOFError, ValueError, RuntimeError, NotImplementedError),
)


def unpacked(data: bytes) -> list[bytes]:
    """The contents of a gzip, bzip2, xz or zip file, and of those within; nothing for any other.

    `Failed` when they are too large to scan.
    """
    room, found, level = _Room(), list[bytes](), [data]
    for _ in range(DEPTH):
        level = [inner for one in level for inner in _opened(one, room)]
        found += level
    return found


class _Room:
    """What may yet be unpacked of one file, in bytes."""

    def __init__(self) -> None:
        self.left = MAX_UNPACKED

    def take(self, data: bytes) -> bytes:
        """`data`, if there is room for it."""
        self.left -= len(data)
        if self.left < 0:
            raise Failed(f"a compressed file of more than {MAX_UNPACKED >> 20} MB inside cannot be scanned")
        return data


def _opened(data: bytes, room: _Room) -> Iterator[bytes]:
    for magic, make in _STREAMS:
        if data.startswith(magic):
            yield from _streams(data, magic, make, room)
    # An archive may stand behind something else, such as a script that unpacks it.
    if b"PK\x03\x04" in data:
        yield from _members(data, room)


def _streams(data: bytes, magic: bytes, make: Callable[[], Any], room: _Room) -> Iterator[bytes]:
    """What one compressed stream after the other holds."""
    for _ in range(_MOST):
        stream = make()
        try:
            content = stream.decompress(data, room.left + 1)
        except _BROKEN:
            return
        yield room.take(content)
        data = stream.unused_data
        if not stream.eof or not data.startswith(magic):
            return


def _members(data: bytes, room: _Room) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist()[:_MOST]:
                try:
                    with archive.open(member) as opened:
                        content = opened.read(room.left + 1)
                except _BROKEN:
                    continue
                yield room.take(content)
    except _BROKEN:
        return


_MOST = 10_000
_STREAMS: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\0", lambda: lzma.LZMADecompressor(memlimit=1 << 28)),
)
