"""Undoing compression within bounds: declared by a header, or seen in the data."""

from __future__ import annotations

import bz2
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

MAX_BODY = 64 * 2**20
MAX_MEMBERS = 2**14
_PIECE = 2**16
_ZIP = b"PK\x03\x04"
_PACK = b"PACK\0\0\0"
_ZLIB = re.compile(rb"x[\x01\x5e\x9c\xda]")


class Unscannable(Exception):
    """A request that cannot be scanned, and so must not pass; one line why."""


class _Readable(Protocol):
    def read(self, most: int) -> bytes: ...
    def taken(self) -> int: ...
    def end(self) -> int: ...


Opened = Callable[[bytes, int], _Readable]


def decoded(data: bytes, encodings: str) -> bytes:
    """The body without the codings that its Content-Encoding header names."""
    for name in reversed([part.strip().lower() for part in encodings.split(",") if part.strip()]):
        if name == "identity":
            continue
        if name not in _CODINGS:
            raise Unscannable(f"an unknown content encoding {name[:20]!a}")
        if data:
            data = _CODINGS[name](data, name)
    return data


def seen(data: bytes, most: int) -> Iterator[bytes]:
    """What is compressed in undeclared data: archives, packs and streams; of what is broken, all that comes before."""
    left = _Left(most, 8 * len(data) + 2**24)
    for first, opened in _AT_START.items():
        if first.match(data):
            yield _begun(opened, data, 0, left)[0]
    count = 0
    for magic, opened in _ANYWHERE.items():
        at = data.find(magic)
        while at >= 0:
            out, end = _begun(opened, data, at, left)
            yield out
            at, count = data.find(magic, max(at + 3, end)), count + 1
            if count > MAX_MEMBERS:
                raise Unscannable(f"more than {MAX_MEMBERS} compressed parts")
    yield from _zipped(data, left)
    yield from _packed(data, left)


@dataclass(slots=True)
class _Left:
    """How much may still come out, and how much may still be read: what begins again and again is read again, too."""

    out: int
    read: int


def _begun(opened: Opened, data: bytes, at: int, left: _Left) -> tuple[bytes, int]:
    """What a stream holds that begins at `at`, also when it breaks off, and where it ends if that is known.

    What a library has undone when it fails is lost with the failure: so read again up to there, in smaller steps.
    """
    done: list[bytes] = []
    for step in (_PIECE, 256, 1):
        stream = opened(data, at)
        try:
            for piece in done:
                stream.read(len(piece))
            while piece := stream.read(min(step, left.out + 1)):
                done.append(piece)
                left.out -= len(piece)
                if left.out < 0:
                    raise Unscannable("compressed data that expands too much")
        except Unscannable:
            raise
        except Exception as error:  # each library has its own
            if "memory" in str(error).lower():
                raise Unscannable("compressed data that takes too much memory") from error
        else:
            return b"".join(done), stream.end()
        finally:
            left.read -= stream.taken() - at
            if left.read < 0:
                raise Unscannable("compressed data that begins too often")
    return b"".join(done), 0


class _Stream:
    """A decompressor of `zlib`, `bz2`, `lzma` or this module, read a few bytes at a time."""

    def __init__(self, source: Any, data: bytes, at: int) -> None:
        self._source, self._data, self._at, self._rest = source, data, at, b""
        self._taken = 512  # at first: most streams are small, and what was taken too much is copied

    def read(self, most: int) -> bytes:
        """At most `most` bytes; nothing at the end, or where the data stops."""
        while not self._source.eof:
            piece = self._rest
            if not piece and getattr(self._source, "needs_input", True):
                self._taken = min(self._taken * 2, _PIECE)
                piece = self._data[self._at : self._at + self._taken]
                self._at += len(piece)
            out: bytes = self._source.decompress(piece, most)
            self._rest = getattr(self._source, "unconsumed_tail", b"")
            if out or (not piece and getattr(self._source, "needs_input", True)):
                return out
        return b""

    def taken(self) -> int:
        """Up to where the data was read."""
        return self._at

    def end(self) -> int:
        """Where the stream ended in the data; 0 when it did not."""
        return self._at - len(self._source.unused_data) if self._source.eof else 0


class _Zstd:
    """One frame of zstd, read like a `_Stream`."""

    def __init__(self, data: bytes, at: int) -> None:
        import zstandard

        self._begun = at
        source = zstandard.ZstdDecompressor(max_window_size=2**27)
        self._reader = source.stream_reader(memoryview(data)[at:], read_across_frames=False)

    def read(self, most: int) -> bytes:
        """At most `most` bytes."""
        return bytes(self._reader.read(most))

    def taken(self) -> int:
        """Where it begins: a frame without a right header is not read far."""
        return self._begun

    def end(self) -> int:
        """Where it ended is not known."""
        return 0


def _std(opened: Callable[[], Any]) -> Opened:
    return lambda data, at: _Stream(opened(), data, at)


def _limited(opened: Callable[[], Callable[[bytes, int], bytes]], data: bytes, name: str) -> bytes:
    try:
        result = opened()(data, MAX_BODY + 1)
    except Exception as error:
        raise Unscannable(f"a body with broken {name}") from error
    if len(result) > MAX_BODY:
        raise Unscannable(f"a compressed body that expands beyond {MAX_BODY >> 20} MB")
    return result


def _inflate(bits: int) -> Callable[[], Callable[[bytes, int], bytes]]:
    return lambda: lambda data, most: zlib.decompressobj(bits).decompress(data, most)


def _gzip(data: bytes, name: str) -> bytes:
    out, left = [], MAX_BODY
    for _ in range(MAX_MEMBERS):
        stream = zlib.decompressobj(31)
        try:
            out.append(stream.decompress(data, left + 1))
        except zlib.error as error:
            raise Unscannable(f"a body with broken {name}") from error
        left -= len(out[-1])
        if left < 0:
            raise Unscannable(f"a compressed body that expands beyond {MAX_BODY >> 20} MB")
        if not stream.eof:
            raise Unscannable(f"a body with broken {name}")
        data = stream.unused_data
        if not data.strip(b"\0"):
            return b"".join(out)
    raise Unscannable(f"a body with more than {MAX_MEMBERS} parts of {name}")


def _deflate(data: bytes, name: str) -> bytes:
    bits = 15 if data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0 else -15
    return _limited(_inflate(bits), data, name)


def _brotli(data: bytes, name: str) -> bytes:
    def read(source: bytes, most: int) -> bytes:
        import brotli

        stream, out, size = brotli.Decompressor(), [], 0
        for at in range(0, len(source), 32):  # so little at once, because a few bytes can become many megabytes
            out.append(stream.process(source[at : at + 32]))
            size += len(out[-1])
            if size > most:
                break
        return b"".join(out)[:most]

    return _limited(lambda: read, data, name)


def _zstd() -> Callable[[bytes, int], bytes]:
    import zstandard

    def read(data: bytes, most: int) -> bytes:
        reader = zstandard.ZstdDecompressor(max_window_size=2**27)
        return bytes(reader.stream_reader(io.BytesIO(data), read_across_frames=True).read(most))

    return read


_CODINGS: dict[str, Callable[[bytes, str], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": lambda data, name: _limited(_zstd, data, name),
}


def _zipped(data: bytes, left: _Left) -> Iterator[bytes]:
    """The compressed members of a zip archive, from where they begin to where they end; no size is believed."""
    at, count = data.find(_ZIP), 0
    while at >= 0:
        names = int.from_bytes(data[at + 26 : at + 28], "little") + int.from_bytes(data[at + 28 : at + 30], "little")
        start, method, end = at + 30 + names, data[at + 8 : at + 10], 0
        if method == b"\x08\0":
            out, end = _begun(_std(lambda: zlib.decompressobj(-15)), data, start, left)
            yield out
        elif method == b"\x0e\0":  # LZMA with a header of its own; those of bzip2, xz and zstd are found anywhere
            alone = data[start + 4 : start + 9] + b"\xff" * 8 + data[start + 9 :]
            yield _begun(_std(_lzma), alone, 0, left)[0]
        at, count = data.find(_ZIP, max(at + 4, end)), count + 1
        if count > MAX_MEMBERS:
            raise Unscannable(f"more than {MAX_MEMBERS} compressed parts")


def _packed(data: bytes, left: _Left) -> Iterator[bytes]:
    """The objects of git packs, also those that are deltas: zlib streams, whatever their headers say."""
    at = data.find(_PACK)
    if at < 0:
        return
    end, size = at + 12, 0
    objects: list[bytes] = []
    for match in _ZLIB.finditer(data, end):
        if match.start() < end:
            continue
        out, stop = _begun(_std(lambda: zlib.decompressobj(-15)), data, match.start() + 2, left)
        end = max(end, stop)
        if out:
            objects.append(out)
            size += len(out)
        if size > _PIECE:  # many objects are small, and a text takes its time however small it is
            yield b"\n".join(objects)
            objects, size = [], 0
    yield b"\n".join(objects)


def _lzma() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(memlimit=2**27)


_ANYWHERE: dict[bytes, Opened] = {
    b"\x1f\x8b\x08": _std(lambda: zlib.decompressobj(31)),
    b"\x28\xb5\x2f\xfd": _Zstd,
    b"BZh": _std(bz2.BZ2Decompressor),
    b"\xfd7zXZ": _std(_lzma),
}
_AT_START: dict[re.Pattern[bytes], Opened] = {
    re.compile(rb"[\x08\x18\x28\x38\x48\x58\x68\x78]"): _std(lambda: zlib.decompressobj(15)),
    re.compile(rb"]\0\0"): _std(_lzma),
}
