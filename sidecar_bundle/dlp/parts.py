"""Taking a request apart: the fields of its URL and headers, and the strings of its body in order."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import quopri
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from sidecar_bundle.dlp.coding import Unscannable

PARSED = 4 * 2**20  # a larger body is scanned in windows and not parsed whole, so that memory stays bounded
MAX_PARTS = 10_000
# Possessive, and with an end for a string that nobody closed: no match begins twice over the same bytes.
_QUOTED = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)(?:"(\s*+:)?|\\?\Z)', re.DOTALL)
_JSON = re.compile(rb'(?:\xef\xbb\xbf)?\s*[\[{"]')
_BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]{1,100})|([^";,\s]{1,100}))', re.IGNORECASE)
_NAME = re.compile(rb'name="([^"]{1,60})"', re.IGNORECASE)
_TRANSFER = re.compile(rb"content-transfer-encoding:\s*([a-z0-9-]+)", re.IGNORECASE)


class Piece(NamedTuple):
    """A string of a request: what to call its place, the key it stands under, and the string itself."""

    where: str
    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class _Pairs:
    pairs: list[tuple[str, object]]


def url(path: str) -> Iterator[Piece]:
    """The path's segments, the query's values and then its names, decoded."""
    place, _, query = path.partition("?")
    for segment in _few(place.split("/")):
        yield Piece("url path", "", _decoded(_bytes(segment)))
    yield from _fields("query", _few(re.split("[&;]", query)) if query else [])


def headers(fields: Sequence[tuple[str, str]]) -> Iterator[Piece]:
    for name, value in fields:
        if name.lower() == "cookie":
            yield from _fields("header Cookie", _few(value.split("; ")), named=False)
        else:
            yield Piece(f"header {shown(name)}", name, _bytes(value))
    for name, _ in fields:
        yield Piece("header names", "", _bytes(re.sub("^[Xx]-", "", name)))


def body(data: bytes, kind: str) -> tuple[list[Piece], list[Piece]]:
    """The strings of a body in order, and the keys of JSON beside them; nothing when it has no such structure."""
    if len(data) > PARSED or not data:
        return [], []
    kind = kind.lower()
    if boundary := _BOUNDARY.search(kind):
        return list(_multipart(data, boundary[1] or boundary[2])), []
    if b"\0" in data[:4]:
        data = data.decode(json.detect_encoding(data), "replace").encode("utf-8", "surrogatepass")
    if is_json(data):
        try:
            return _json(json.loads(data, object_pairs_hook=_Pairs))
        except (ValueError, RecursionError):
            return _quoted(data)
    if "urlencoded" in kind or (b"=" in data[:100] and re.fullmatch(rb"[^\s<>{}\"]{1,4096}", data[:4096])):
        return list(_fields("body field", _few(data.decode("latin-1").split("&")))), []
    return [], []


def is_json(data: bytes) -> bool:
    """Whether it begins like JSON, or like several documents of it."""
    return _JSON.match(data) is not None


def strings(data: bytes) -> Iterator[bytes]:
    """What stands in double quotes and is no key, in data of any length."""
    return (match[1] for match in _QUOTED.finditer(data) if not match[2])


def shown(name: str) -> str:
    """A name that the agent chose, short and plain enough for a line."""
    return re.sub(r"[^A-Za-z0-9_.\[\]-]", "?", name)[:40]


def _few(fields: list[str]) -> list[str]:
    if len(fields) > MAX_PARTS:
        raise Unscannable(f"more than {MAX_PARTS} fields")
    return fields


def _fields(place: str, fields: list[str], *, named: bool = True) -> Iterator[Piece]:
    """The values of fields, then their names."""
    pairs = [field.partition("=") for field in fields]
    for name, sign, value in pairs:
        if sign:
            yield Piece(f"{place} {shown(name)}" if named else place, name, _decoded(_bytes(value)))
    for name, _, _ in pairs:
        yield Piece(f"{place} names", "", _decoded(_bytes(name)))


def _decoded(data: bytes) -> bytes:
    return unquote_to_bytes(data) if b"%" in data else data


def _json(document: object) -> tuple[list[Piece], list[Piece]]:
    """Strings in the order of the document; paths like `.a.b` are told up to a few levels."""
    values: list[Piece] = []
    named: list[Piece] = []
    stack: list[tuple[str, str, object]] = [("body json ", "", document)]
    while stack:
        where, key, node = stack.pop()
        if type(node) is str:
            values.append(Piece(where, key, node.encode("utf-8", "surrogatepass")))
        elif type(node) is _Pairs:
            named += (Piece("body json", "", k.encode("utf-8", "surrogatepass")) for k, _ in node.pairs)
            place = where[:80]
            for k, child in reversed(node.pairs):
                if type(child) is str or type(child) is _Pairs or type(child) is list:
                    stack.append((f"{place}.{k[:20]}", k, child))
        elif type(node) is list:
            stack.extend((where, key, child) for child in reversed(node) if type(child) in (str, _Pairs, list))
    return values, named


def _quoted(data: bytes) -> tuple[list[Piece], list[Piece]]:
    """The strings and keys of what is not quite JSON: several documents, one that ends early, one with comments."""
    values: list[Piece] = []
    named: list[Piece] = []
    key = ""
    for match in _QUOTED.finditer(data):
        text = match[1]
        if b"\\" in text:
            with contextlib.suppress(ValueError):
                text = json.loads(b'"' + text + b'"', strict=False).encode("utf-8", "surrogatepass")
        if match[2]:
            named.append(Piece("body json", "", text))
            key = text.decode("utf-8", "replace")
        else:
            values.append(Piece("body json", key, text))
    return values, named


def _multipart(data: bytes, boundary: str) -> Iterator[Piece]:
    split = re.split(rb"(?i)--" + re.escape(boundary.encode("latin-1", "replace")), data, maxsplit=MAX_PARTS)
    if len(split) > MAX_PARTS:
        raise Unscannable(f"more than {MAX_PARTS} parts")
    names: list[bytes] = []
    for part in split:
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
        names.append(name[1] if name else b"")
        yield Piece(f"body part {place}".rstrip(), place, content)
    yield from (Piece("body part names", "", name) for name in names)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
