"""What is inside compressed files, damaged ones too, as far as that can be told in bounded memory and time."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from sidecar_bundle.gitgate.run import Failed

MAX_UNPACKED = 64 * 1024 * 1024
# Bytes of one file that are given to decompressors, whether anything comes of it or not.
MAX_WORK = 4 * MAX_UNPACKED
# Archives in archives that are opened.
DEPTH = 3
_CHUNK = 64 * 1024
# What an attempt costs of MAX_WORK at least, and each byte that is given by itself.
_ATTEMPT, _SINGLE = 1024, 16
_BROKEN = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)
_ANYWHERE = rb"\x1f\x8b\x08|BZh[1-9](?=1AY&SY|\x17rE8P\x90)|\xfd7zXZ\0|PK\x03\x04|PACK\0\0\0[\x02\x03]"
_BEGINS = re.compile(_ANYWHERE + rb"|\A(?:x[\x01\x5e\x9c\xda]|[\x5d-\x62]\0\0)", re.DOTALL)
# Behind the head of a pack, such as one in a bundle of git.
_IN_PACK = re.compile(_ANYWHERE + rb"|x[\x01\x5e\x9c\xda]", re.DOTALL)


def unpacked(data: bytes) -> list[bytes]:
    """The contents of gzip, bzip2, xz, lzma, zlib, zip and git packs wherever they begin, and of those within.

    `Failed` when they are too large to scan.
    """
    room, found, level = _Room(), list[bytes](), [data]
    for _ in range(DEPTH):
        level = [inner for one in level for inner in _opened(one, room)]
        found += level
    return found


class _Room:
    """What may yet be unpacked of one file, in bytes, and what may yet be tried."""

    def __init__(self) -> None:
        self.left = MAX_UNPACKED
        self._work = MAX_WORK

    def take(self, data: bytes) -> bytes:
        """`data`, if there is room for it."""
        self.left -= len(data)
        if self.left < 0:
            raise Failed(f"a compressed file of more than {MAX_UNPACKED >> 20} MB inside cannot be scanned")
        return data

    def work(self, amount: int) -> None:
        """So much is tried."""
        self._work -= amount
        if self._work < 0:
            raise Failed("a file with too much in it that looks compressed cannot be scanned")


def _opened(data: bytes, room: _Room) -> Iterator[bytes]:
    place, begins = 0, _BEGINS
    while match := begins.search(data, place):
        place = match.end()
        if match[0].startswith(b"PACK"):
            begins = _IN_PACK
            continue
        start, make = _stream(data, match)
        content, end = _content(data, start, make, room)
        if content:
            yield content
        place = max(place, end)


def _stream(data: bytes, match: re.Match[bytes]) -> tuple[int, Callable[[], Any]]:
    """Where the stream of this beginning has its data, and what undoes it: without its checksums, where that can be."""
    at, kind = match.start(), match[0][:2]
    if kind == b"\x1f\x8b":
        return _behind_gzip(data, at), _inflate
    if kind == b"BZ":
        return at, bz2.BZ2Decompressor
    if kind == b"\xfd7":
        return at, lambda: lzma.LZMADecompressor(memlimit=1 << 28)
    if kind == b"PK":
        name, extra = (int.from_bytes(data[at + n : at + n + 2], "little") for n in (26, 28))
        start = at + 30 + name + extra
        # What is only stored stands there to be read, and bzip2 to be found.
        method = int.from_bytes(data[at + 8 : at + 10], "little")
        return (start + 9, _lzma(data[start + 4 : start + 9])) if method == 14 else (start, _inflate)
    if kind[:1] == b"x":
        return at + 2, _inflate
    return at + 13, _lzma(data[at : at + 5])


def _inflate() -> Any:
    return zlib.decompressobj(-15)


def _lzma(properties: bytes) -> Callable[[], Any]:
    """Of lzma with these properties, whatever length its head says."""

    def make() -> Any:
        stream = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=1 << 28)
        stream.decompress(properties + b"\xff" * 8)
        return stream

    return make


def _behind_gzip(data: bytes, at: int) -> int:
    flags, place = data[at + 3 : at + 4] or b"\0", at + 10
    if flags[0] & 4:
        place += 2 + int.from_bytes(data[place : place + 2], "little")
    for flag in (8, 16):
        if flags[0] & flag:
            place = data.find(b"\0", place, place + _CHUNK) + 1 or len(data)
    return place + (2 if flags[0] & 2 else 0)


def _content(data: bytes, start: int, make: Callable[[], Any], room: _Room) -> tuple[bytes, int]:
    """What a stream holds up to its end or to where it is broken, and where that is (0: nowhere, it is broken)."""
    room.work(_ATTEMPT)
    out, place, view = list[bytes](), start, memoryview(data)
    try:
        stream = make()
        while place < len(data) and not stream.eof:
            given = view[place : place + _CHUNK]
            out.append(room.take(stream.decompress(given, room.left + 1)))
            place += len(given)
            room.work(len(given) - len(stream.unused_data))
        return b"".join(out), place - len(stream.unused_data)
    except _BROKEN:
        return b"".join([*out, *_singly(view, start, place, make, room)]), 0


def _singly(view: memoryview, start: int, place: int, make: Callable[[], Any], room: _Room) -> Iterator[bytes]:
    """What the chunk at `place` gives before it breaks: byte by byte, for a decompressor that fails gives nothing."""
    try:
        stream = make()
        for at in range(start, place, _CHUNK):
            room.work(_CHUNK)
            stream.decompress(view[at : at + _CHUNK])
        for at in range(place, min(place + _CHUNK, len(view))):
            room.work(_SINGLE)
            yield room.take(stream.decompress(view[at : at + 1], room.left + 1))
    except _BROKEN:
        return
