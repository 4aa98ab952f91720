"""Other readings of a text: what it says once an encoding that it shows signs of is undone."""

from __future__ import annotations

import base64
import html
import quopri
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from urllib.parse import unquote_to_bytes

from sidecar_bundle.dlp import coding, runs
from sidecar_bundle.dlp.literals import Ends, Patterns

SMALL = (
    16 * 1024
)  # a text so small is decoded wherever it could be, a longer one where something shows that it can matter
AROUND = 600  # bytes before and after what can be undone in which it can matter
_SIGNS = (
    rb"%[0-9a-fA-F]{2}",
    rb"\\(?:u00[2-7][0-9a-fA-F]|u200|uff[0-5][0-9a-fA-F]|u\{|x[2-7][0-9a-fA-F]|[01][0-7][0-7])",
    rb"&#[0-9xX]|&(?:amp|lt|gt|quot|apos);",
    rb"=[2-7][0-9A-F]|=\r?\n",
    rb"\xef\xbc[\x90-\xbf]|\xef\xbd[\x80-\x9a]|\xf0\x9d[\x90-\x9f]",
    b"|".join(runs.PACKED),
    rb"(?:[0-9]{2,3}[, ]{1,3}){8}",
    rb"\x1f\x8b\x08|\x28\xb5\x2f\xfd|BZh[1-9]1AY|\xfd7zXZ|PK\x03\x04|PACK\x00\x00\x00|^[\x08\x18\x28\x38\x48\x58\x68\x78]|^\x5d\x00\x00",
)
_PCT, _ESC, _ENT, _QP, _WIDE, _ZIP, _DEC, _MAGICS = range(len(_SIGNS))
_HEX = re.compile(rb"(?:(?:\\x|0x|%)?[0-9a-fA-F]{2}[:, -]{0,2}){8,}")
_RUN32 = re.compile(rb"[A-Z2-7]{16,}|[a-z2-7]{16,}")
_NUMBERS = re.compile(rb"(?:[0-9]{2,3}[, \r\n]{1,3}){8,}[0-9]{2,3}")
_ESCAPE = re.compile(
    rb"\\(?:u(?:\{0*)?+([0-9a-fA-F]{2,5}(?=\})|[0-9a-fA-F]{2,4})\}?|x([0-9a-fA-F]{2})|([01][0-7]{2})|(.))", re.DOTALL
)
_SIMPLE = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"", b"f": b""}
_ENTITIES = (
    (b"&lt;", b"<"),
    (b"&gt;", b">"),
    (b"&quot;", b'"'),
    (b"&apos;", b"'"),
    (b"&nbsp;", b" "),
    (b"&amp;", b"&"),
)
_CONTROL = bytes(b for b in range(1, 32) if b not in b"\t\n\r\x1b") + b"\x7f"  # text has hardly any


@cache
def _signs() -> Patterns:
    return Patterns(_SIGNS)


@cache
def _undoable() -> Ends:
    return Ends(*(_SIGNS[sign] for sign in (_WIDE, _ESC, _ENT, _PCT)))


@cache
def _listed() -> Ends:
    return Ends(_NUMBERS.pattern)


def views(text: bytes, most: int) -> Iterator[bytes]:
    """Each other reading of `text`, at most `most` bytes where something expands."""
    small = len(text) <= SMALL
    signs = _signs().found(text)
    if signs & {_WIDE, _ESC, _ENT, _PCT} and (small or not _binary(text)):
        undone = near = text if small else _near(text)
        for sign, undo in ((_WIDE, _narrowed), (_ESC, unescaped), (_ENT, _unentitied), (_PCT, unquote_to_bytes)):
            if sign in signs:
                undone = undo(undone)
                if small:
                    yield undo(text)
        if undone != near:
            yield undone
    if small and b"+" in text:
        yield text.replace(b"+", b" ")
    if _QP in signs and (small or b"uoted-" in text):
        yield quopri.decodestring(text)
    if _DEC in signs and (small or len(text) < 2**22):
        yield b"\n".join(map(_numbers, _lists(text)))
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield text.decode("utf-16", "ignore").encode("utf-8", "ignore")
    if text.count(b"\0") * 4 > len(text):
        yield text.replace(b"\0", b"")
    coded = list(runs.found(text, whole=small, packed=_ZIP in signs))
    if _ZIP in signs:  # one by one: something compressed is known by how a text begins
        for count, data in enumerate(data for run, _ in coded for data in runs.packed(run)):
            if count > runs.MOST:
                raise coding.Unscannable(f"more than {runs.MOST} compressed parts in base64")
            yield data
    yield b"\n".join(
        said
        for run, hexed in coded
        for said in (*runs.texts(run, segments=small), *(runs.hexadecimal(run) if hexed else ()))
    )
    if small:
        yield b"\n".join(_rarer(text))
    if _MAGICS in signs:
        yield from coding.seen(text, most)


def _binary(text: bytes) -> bool:
    return len(text.translate(None, _CONTROL)) * 25 < len(text) * 24


def _near(text: bytes) -> bytes:
    """What of a long text stands near something that can be undone, if that is not the most of it."""
    ends = _undoable().ends(text, runs.MOST)
    if ends is None:
        return text
    spans: list[list[int]] = []
    for end in ends:
        if spans and end - AROUND <= spans[-1][1]:
            spans[-1][1] = end + AROUND
        else:
            spans.append([max(0, end - AROUND), end + AROUND])
    return b"\n".join(text[start:end] for start, end in spans)


def unescaped(text: bytes) -> bytes:
    """Backslash escapes of JSON, JavaScript, C and shells, undone once."""

    def one(match: re.Match[bytes]) -> bytes:
        for group, radix in ((1, 16), (2, 16), (3, 8)):
            if match[group]:
                return chr(int(match[group], radix)).encode("utf-8", "replace")
        return _SIMPLE.get(match[4], match[4])

    return _ESCAPE.sub(one, text)


def _lists(text: bytes) -> Iterator[bytes]:
    """Runs of numbers; where there are few, the expression is tried only near them."""
    ends = _listed().ends(text, runs.MOST)
    if ends is None:
        yield from (match[0] for match in _NUMBERS.finditer(text))
        return
    done = 0
    for end in ends:
        if end > done and (match := _NUMBERS.search(text, max(done, end - 60))):
            yield match[0]
            done = match.end()


def _rarer(text: bytes) -> Iterator[bytes]:
    """What stands in hexadecimal with separators, and in base32."""
    for match in _HEX.finditer(text):
        yield from runs.unhexed(re.sub(rb"\\x|0x|[^0-9a-fA-F]", b"", match[0]))
    for match in _RUN32.finditer(text):
        run = match[0].upper()
        for shift in range(8):
            whole = run[shift:][: (len(run) - shift) // 8 * 8]
            if whole and runs.sensible(data := base64.b32decode(whole)):
                yield data


def _narrowed(text: bytes) -> bytes:
    return unicodedata.normalize("NFKC", text.decode("utf-8", "ignore")).encode("utf-8", "ignore")


def _unentitied(text: bytes) -> bytes:
    if b"&#" not in text:
        for entity, sign in _ENTITIES:
            text = text.replace(entity, sign)
        return text
    return html.unescape(text.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogatepass")


def _numbers(match: bytes) -> bytes:
    return bytes(n for n in map(int, re.findall(rb"[0-9]+", match)) if n < 256)
