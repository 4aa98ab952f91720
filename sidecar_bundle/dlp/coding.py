"""Undoing compression within bounds: declared by a header, or seen in the data."""

from __future__ import annotations

import bz2
import contextlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator

MAX_BODY = 64 * 2**20
MAX_MEMBERS = 4096
_PIECE = 2**16
_MAGIC = (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"PK\x03\x04", b"PACK\0\0\0")


class Unscannable(Exception):
    """A request that cannot be scanned, and so must not pass; one line why."""


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
    """What is compressed in undeclared data: archives, packs and streams; what is broken is passed over."""
    if data[:2] in (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda"):
        yield _tolerant(_inflate(15), data, most)
    if not any(magic in data for magic in _MAGIC):
        return
    for magic, opened in (
        (b"\x1f\x8b\x08", _inflate(31)),
        (b"\x28\xb5\x2f\xfd", _zstd),
        (b"BZh", lambda: bz2.BZ2Decompressor().decompress),
        (b"\xfd7zXZ", lambda: lzma.LZMADecompressor(memlimit=2**27).decompress),
    ):
        at, count = data.find(magic), 0
        while at >= 0 and count < 64:
            yield _tolerant(opened, data[at:] if at else data, most)
            at, count = data.find(magic, at + 4), count + 1
    yield from _zipped(data, most)
    yield from _packed(data, most)


def _limited(opened: Callable[[], Callable[[bytes, int], bytes]], data: bytes, name: str) -> bytes:
    try:
        result = opened()(data, MAX_BODY + 1)
    except Exception as error:
        raise Unscannable(f"a body with broken {name}") from error
    if len(result) > MAX_BODY:
        raise Unscannable(f"a compressed body that expands beyond {MAX_BODY >> 20} MB")
    return result


def _tolerant(opened: Callable[[], Callable[[bytes, int], bytes]], data: bytes, most: int) -> bytes:
    with contextlib.suppress(Exception):
        result = opened()(data, most + 1)
        if len(result) > most:
            raise Unscannable(f"compressed data that expands beyond {MAX_BODY >> 20} MB")
        return result
    return b""


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


def _zipped(data: bytes, most: int) -> Iterator[bytes]:
    """The deflated members of a zip archive, by their own headers."""
    at, count = data.find(b"PK\x03\x04"), 0
    while at >= 0 and count < MAX_MEMBERS:
        start = (
            at
            + 30
            + int.from_bytes(data[at + 26 : at + 28], "little")
            + int.from_bytes(data[at + 28 : at + 30], "little")
        )
        size = int.from_bytes(data[at + 18 : at + 22], "little")
        if data[at + 8 : at + 10] == b"\x08\0":
            end = start + size if size else data.find(b"PK", start)
            yield _tolerant(_inflate(-15), data[start : end if end > start else len(data)], most)
        at, count = data.find(b"PK\x03\x04", at + 30), count + 1


def _packed(data: bytes, most: int) -> Iterator[bytes]:
    """The objects of a git pack, also those that are deltas."""
    at = data.find(b"PACK\0\0\0")
    if at < 0:
        return
    at += 12
    while at < len(data) - 20:
        kind, more = data[at] >> 4 & 7, data[at] & 0x80
        at += 1
        while more and at < len(data):
            more, at = data[at] & 0x80, at + 1
        if kind == 7:
            at += 20
        elif kind == 6:
            while at < len(data) and data[at] & 0x80:
                at += 1
            at += 1
        stream, out, left = zlib.decompressobj(), [], most
        while not stream.eof and at < len(data):
            piece = data[at : at + _PIECE]
            try:
                out.append(stream.decompress(piece, left + 1))
            except zlib.error:
                return
            left -= len(out[-1])
            if left < 0:
                raise Unscannable(f"a git pack that expands beyond {MAX_BODY >> 20} MB")
            at += len(piece) - len(stream.unused_data)
        yield b"".join(out)
