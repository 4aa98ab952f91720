"""Taking a request apart: the fields of its URL and headers, and the strings of its body in order."""

from __future__ import annotations

import base64
import binascii
import json
import quopri
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PARSED = 4 * 2**20  # a larger body is scanned in windows and not parsed whole, so that memory stays bounded
MAX_PARTS = 10_000
# Possessive, and with an end for a string that nobody closed: no match begins twice over the same bytes.
_QUOTED = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)(?:"(\s*+:)?|\\?\Z)', re.DOTALL)
_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,100})', re.IGNORECASE)
_NAME = re.compile(rb'name="([^"]{1,60})"', re.IGNORECASE)
_TRANSFER = re.compile(rb"content-transfer-encoding:\s*([a-z0-9-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Piece:
    """A string of a request: what to call its place, the key it stands under, and the string itself."""

    where: str
    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class _Pairs:
    pairs: list[tuple[str, object]]


def url(path: str) -> Iterator[Piece]:
    """The path's segments and the query's fields, as they stand."""
    place, _, query = path.partition("?")
    for segment in place.split("/")[:MAX_PARTS]:
        yield Piece("url path", "", _bytes(segment))
    for field in re.split("[&;]", query)[:MAX_PARTS] if query else ():
        name, _, value = field.partition("=")
        yield Piece(f"query {shown(name)}", name, _bytes(value))


def headers(fields: Sequence[tuple[str, str]]) -> Iterator[Piece]:
    for name, value in fields:
        if name.lower() == "cookie":
            for cookie in value.split(";"):
                yield Piece("header Cookie", name, _bytes(cookie.partition("=")[2]))
        else:
            yield Piece(f"header {shown(name)}", name, _bytes(value))
    for name, _ in fields:
        yield Piece("header names", "", _bytes(name))


def body(data: bytes, kind: str) -> tuple[list[Piece], list[Piece]]:
    """The strings of a body in order, and beside them its keys, each once; nothing when it has no such structure."""
    if len(data) > PARSED or not data:
        return [], []
    kind = kind.lower()
    if boundary := _BOUNDARY.search(kind):
        return list(_multipart(data, boundary[1])), []
    start = data[:200].lstrip()[:1]
    if start in (b"{", b"[", b'"'):
        try:
            return _json(json.loads(data, object_pairs_hook=_Pairs))
        except (ValueError, RecursionError):
            values = (match[1] for match in _QUOTED.finditer(data) if not match[2])
            return [Piece("body", "", value) for _, value in zip(range(MAX_PARTS), values, strict=False)], []
    if "urlencoded" in kind or (b"=" in data[:100] and re.fullmatch(rb"[^\s<>{}\"]{1,4096}", data[:4096])):
        pairs = [field.partition(b"=") for field in data.split(b"&", MAX_PARTS)]
        return [Piece(f"body field {shown(k.decode('latin-1'))}", k.decode("latin-1"), v) for k, _, v in pairs], []
    return [], []


def shown(name: str) -> str:
    """A name that the agent chose, short and plain enough for a line."""
    return re.sub(r"[^A-Za-z0-9_.\[\]-]", "?", name)[:40]


def _json(document: object) -> tuple[list[Piece], list[Piece]]:
    """Strings in the order of the document; paths like `.a.b` are told up to a few levels."""
    values: list[Piece] = []
    named: dict[str, None] = {}
    stack: list[tuple[str, str, object]] = [("body json ", "", document)]
    while stack:
        where, key, node = stack.pop()
        if type(node) is str:
            values.append(Piece(where, key, node.encode("utf-8", "surrogatepass")))
        elif type(node) is _Pairs:
            named.update(dict.fromkeys(k for k, _ in node.pairs))
            for k, child in reversed(node.pairs):
                if type(child) is str or type(child) is _Pairs or type(child) is list:
                    stack.append((f"{where[:80]}.{k[:20]}", k, child))
        elif type(node) is list:
            stack.extend((where, key, child) for child in reversed(node) if type(child) in (str, _Pairs, list))
    return values, [Piece("body json", "", k.encode("utf-8", "surrogatepass")) for k in named]


def _multipart(data: bytes, boundary: str) -> Iterator[Piece]:
    for part in re.split(rb"(?i)--" + re.escape(boundary.encode("latin-1", "replace")), data, maxsplit=MAX_PARTS):
        head, _, content = part.partition(b"\r\n\r\n")
        if not content:
            head, _, content = part.partition(b"\n\n")
        name = _NAME.search(head)
        coding = _TRANSFER.search(head)
        content = content.removesuffix(b"\r\n")
        if coding and coding[1].lower() == b"base64":
            try:
                content = binascii.a2b_base64(content)
            except binascii.Error:
                content = base64.b64decode(content + b"==", validate=False) if len(content) % 4 == 2 else content
        elif coding and coding[1].lower() == b"quoted-printable":
            content = quopri.decodestring(content)
        place = shown(name[1].decode("latin-1")) if name else ""
        yield Piece(f"body part {place}".rstrip(), place, content)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
