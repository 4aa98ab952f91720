"""Secrets in pieces: the strings of a request put together, in the orders in which they may have been taken apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sidecar_bundle.dlp import runs
from sidecar_bundle.dlp.forms import gently
from sidecar_bundle.dlp.parts import Piece, body, is_json

SHORT = 256  # a longer string is no piece among others
TOKENS = 16 * 1024  # a text so small is taken apart at its blanks and signs
MANY = 20_000  # strings that are decoded one by one
_DEEPEST = 6
_TOKEN = re.compile(rb"[^\s<>,;|\"'=&:{}\[\]()]{3,64}")
_CODED = re.compile(rb"[A-Za-z0-9+/_-]{2,128}={0,2}")
_HEX = re.compile(rb"[0-9a-fA-F]{2,128}")
_TEXT = bytes(range(32, 127)) + b"\t\n\r\0"


def orders(strings: list[Piece]) -> Iterator[bytes]:
    """The strings one after the other: all, those of alike keys, every second and third, backwards, decoded singly."""
    values = [piece.data for piece in strings]
    if not strings[0].where.startswith(("body json", "body part")):  # those were scanned next to each other
        yield b"".join(values)
    short = [piece for piece in strings if len(piece.data) <= SHORT]
    alike = {key: re.sub(r"\d", "", key) for key in {piece.key for piece in short}}
    groups: dict[str, list[bytes]] = {}
    for piece in short:
        groups.setdefault(alike[piece.key], []).append(piece.data)
    if len(groups) > 1:
        yield b"\n\n".join(b"".join(group) for group in groups.values() if len(group) > 1)
    if len(short) > 1:
        apart = [short[start::step] for step in (2, 3) for start in range(step)]
        yield b"\n\n".join(b"".join(piece.data for piece in some) for some in (*apart, short[::-1]))
    if len(values) <= MANY:
        yield _singly(values)


def short(*strings: Sequence[Piece]) -> set[bytes]:
    """The short ones of some strings, gently normalised."""
    found = {piece.data for some in strings for piece in some if len(piece.data) <= SHORT}
    return set(gently(b"\0".join(found)).split(b"\0"))


def tokens(text: bytes) -> Iterator[bytes]:
    """The words of a small text, as pieces of something."""
    if len(text) <= TOKENS:
        yield from map(gently, _TOKEN.findall(text))


def nested(strings: list[Piece], depth: int = 0) -> Iterator[tuple[list[Piece], list[Piece]]]:
    """The strings and keys of JSON that stands in a string, such as the arguments of a tool call."""
    for piece in strings:
        if len(piece.data) >= 4 and piece.data[:16].lstrip()[:1] in (b"{", b"[", b'"') and is_json(piece.data):
            inner, keys = body(piece.data, "")
            if inner or keys:
                yield inner, keys
            if depth < _DEEPEST:
                yield from nested(inner, depth + 1)


def windows(strings: Iterator[bytes], size: int, overlap: int) -> Iterator[bytes]:
    """Many strings joined, in texts of about `size` bytes of which each begins with the end of the one before."""
    text = bytearray()
    for string in strings:
        text += string
        if len(text) > size:
            yield bytes(text)
            del text[:-overlap]
    yield bytes(text)


def _singly(strings: list[bytes]) -> bytes:
    """Strings that are encoded one by one, decoded and joined; those that are no text are passed over."""
    found = []
    for string in strings:
        if _CODED.fullmatch(string):
            data = runs.base64(string, 0)
            if not _said(data) and len(string) % 2 == 0 and _HEX.fullmatch(string):
                data = bytes.fromhex(string.decode())
            if _said(data):
                found.append(data)
    return b"".join(found)


def _said(data: bytes) -> bool:
    if not data or data.isascii():
        return bool(data) and not data.translate(None, _TEXT)
    try:
        return not data.decode().encode("ascii", "ignore").translate(None, _TEXT)
    except UnicodeDecodeError:
        return False
