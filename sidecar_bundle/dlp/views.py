"""Other readings of a text: what it says once an encoding that it shows signs of is undone."""

from __future__ import annotations

import base64
import binascii
import html
import quopri
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from urllib.parse import unquote_to_bytes

from sidecar_bundle.dlp import coding
from sidecar_bundle.dlp.literals import Patterns
from sidecar_bundle.dlp.shapes import starts

SMALL = (
    16 * 1024
)  # a text so small is decoded wherever it could be, a longer one where something shows that it can matter
LONG_RUN = 40
_SAMPLE = 64  # characters of one in four that tell whether a run of base64 may be text
_ASCII64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"  # what every fourth is then: a byte below 128 begins there
_ZIP64 = re.compile(rb"H4sI|KLUv|UEsDB|QlpoO|/Td6W")
_ZLIB64 = (b"eJ", b"eN", b"eA", b"eF")
_SIGNS = (
    rb"%[0-9a-fA-F]{2}",
    rb"\\(?:u00[2-7][0-9a-fA-F]|u200|u\{|x[2-7][0-9a-fA-F]|[01][0-7][0-7])",
    rb"&#[0-9xX]|&(?:amp|lt|gt|quot|apos);",
    rb"=[2-7][0-9A-F]|=\r?\n",
    rb"\xef\xbc[\x90-\xbf]|\xef\xbd[\x80-\x9a]|\xf0\x9d[\x90-\x9f]",
    rb"(?:H4sI|KLUv|[^A-Za-z0-9+/_-]e(?:J[w-z]|N[o-r]|A[E-H]|F[4-7]))[A-Za-z0-9+/_-]{8}",
    rb"(?:[0-9]{2,3}[, ]{1,3}){8}",
    rb"\x1f\x8b\x08|\x28\xb5\x2f\xfd|BZh[1-9]1AY|\xfd7zXZ|PK\x03\x04|PACK\x00\x00\x00|^x[\x01\x5e\x9c\xda]",
)
_PCT, _ESC, _ENT, _QP, _WIDE, _ZIP, _DEC, _MAGICS = range(len(_SIGNS))
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{12,}(?:=*\\?[nr]?\s{1,4}[A-Za-z0-9+/_-]{12,})*")
_HEX = re.compile(rb"(?:(?:\\x|0x|%)?[0-9a-fA-F]{2}[:, -]{0,2}){8,}")
_PLAIN_HEX = re.compile(rb"[0-9a-fA-F]{24,}")
_RUN32 = re.compile(rb"[A-Z2-7]{16,}|[a-z2-7]{16,}")
_NUMBERS = re.compile(rb"(?:[0-9]{2,3}[, \r\n]{1,3}){8,}[0-9]{2,3}")
_ESCAPE = re.compile(rb"\\(?:u\{?([0-9a-fA-F]{2,4})\}?|x([0-9a-fA-F]{2})|([01][0-7]{2})|(.))", re.DOTALL)
_SIMPLE = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"", b"f": b""}
_IN_RUN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_MAP = bytes(65 if b in _IN_RUN else 32 for b in range(256))
_STANDARD = bytes.maketrans(b"-_", b"+/")
_CONTROL = bytes(b for b in range(1, 32) if b not in b"\t\n\r\x1b") + b"\x7f"  # text has hardly any
_TEXT = bytes(range(32, 127)) + b"\t\n\r\0"


@cache
def _signs() -> Patterns:
    return Patterns(_SIGNS)


def views(text: bytes, most: int) -> Iterator[bytes]:
    """Each other reading of `text`, at most `most` bytes where something expands."""
    small = len(text) <= SMALL
    signs = _signs().found(text)
    undone = text
    binary = not small and len(text.translate(None, _CONTROL)) * 25 < len(text) * 24
    for sign, undo in ((_WIDE, _narrowed), (_ESC, unescaped), (_ENT, _unentitied), (_PCT, unquote_to_bytes)):
        if sign in signs and not binary:
            undone = undo(undone)
            if small:
                yield undo(text)
    if undone is not text:
        yield undone
    if small and b"+" in text:
        yield text.replace(b"+", b" ")
    if _QP in signs and (small or b"uoted-" in text):
        yield quopri.decodestring(text)
    if _DEC in signs and (small or len(text) < 2**22):
        yield b"\n".join(_numbers(match[0]) for match in _NUMBERS.finditer(text))
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield text.decode("utf-16", "ignore").encode("utf-8", "ignore")
    if text.count(b"\0") * 4 > len(text):
        yield text.replace(b"\0", b"")
    yield b"\n".join(_unbased(text, small, bool(small or _ZIP in signs or starts().found(text))))
    if _MAGICS in signs:
        yield from coding.seen(text, most)


def unescaped(text: bytes) -> bytes:
    """Backslash escapes of JSON, JavaScript, C and shells, undone once."""

    def one(match: re.Match[bytes]) -> bytes:
        for group, radix in ((1, 16), (2, 16), (3, 8)):
            if match[group]:
                return chr(int(match[group], radix)).encode("utf-8", "replace")
        return _SIMPLE.get(match[4], match[4])

    return _ESCAPE.sub(one, text)


def pieces(strings: list[bytes]) -> bytes:
    """Strings that are encoded one by one, decoded and joined; those that are no text are passed over."""
    found = []
    for string in strings:
        if 4 <= len(string) <= 128:
            data = _base64(string, 0)
            if not data or data.translate(None, _TEXT):
                try:
                    data = bytes.fromhex(string.decode("ascii"))
                except ValueError:
                    continue
            if not data.translate(None, _TEXT):
                found.append(data)
    return b"".join(found)


def _unbased(text: bytes, small: bool, hinted: bool) -> Iterator[bytes]:
    """What stands in base64, base32 and hexadecimal."""
    if not hinted:
        for run in _long_runs(text):
            yield from _aligned(run)
        return
    for match in _RUN.finditer(text):
        run = match[0]
        if len(run) >= (16 if small else 24):
            yield from _aligned(run)
            if run[:2].isspace() is False and b"\n" in run:  # lines that happen to stand together
                for line in run.split():
                    yield from _aligned(line)
    for match in (_HEX if small else _PLAIN_HEX).finditer(text):
        digits = re.sub(rb"\\x|0x|[^0-9a-fA-F]", b"", match[0])
        for shift in (0, 1):
            data = binascii.unhexlify(digits[shift : shift + (len(digits) - shift) // 2 * 2])
            if _sensible(data):
                yield data
    if small:
        for match in _RUN32.finditer(text):
            run = match[0].upper()
            for shift in range(8):
                part = run[shift:]
                with_pad = part[: len(part) // 8 * 8]
                if with_pad and _sensible(data := base64.b32decode(with_pad)):
                    yield data


def _long_runs(text: bytes) -> Iterator[bytes]:
    """Runs of at least LONG_RUN characters of base64, together with the lines that follow."""
    mapped = text.translate(_MAP)
    at = mapped.find(b"A" * LONG_RUN)
    while at >= 0:
        end = start = mapped.rfind(b" ", 0, at) + 1
        while True:
            stop = mapped.find(b" ", end)
            stop = len(mapped) if stop < 0 else stop
            if stop - end < 4:
                break
            end = stop
            gap = re.compile(rb"(?:\\[nr]|[\r\n])+").match(text, end)
            if not gap:
                break
            end = gap.end()
        yield text[start:end]
        at = mapped.find(b"A" * LONG_RUN, end)


def _aligned(run: bytes) -> Iterator[bytes]:
    """The run decoded: where something compressed begins, and at each alignment at which it may be text."""
    if b"\\" in run:
        run = run.replace(b"\\n", b"").replace(b"\\r", b"")
    run = run.translate(_STANDARD, b"=\r\n\t \\")
    starts_at = {m.start() for m, _ in zip(_ZIP64.finditer(run), range(8), strict=False)}
    if len(run) <= 512:
        starts_at |= {m.end() for m, _ in zip(re.finditer(b"/", run), range(16), strict=False)}
        starts_at |= {0}
    for at in sorted(starts_at):
        if run[at : at + 2] in _ZLIB64 or (at in starts_at and _ZIP64.match(run, at)):
            yield _base64(run, at)
    for shift in range(4):
        for at in (0, len(run) // 8 * 4, (len(run) - _SAMPLE * 4) // 4 * 4) if len(run) > 4096 else (0,):
            sample = run[shift + at :: 4][:_SAMPLE]
            if len(sample.translate(None, _ASCII64)) * 6 <= len(sample):
                yield _base64(run, shift)
                break


def _narrowed(text: bytes) -> bytes:
    return unicodedata.normalize("NFKC", text.decode("utf-8", "ignore")).encode("utf-8", "ignore")


def _unentitied(text: bytes) -> bytes:
    return html.unescape(text.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogatepass")


def _base64(run: bytes, shift: int) -> bytes:
    run = run[shift:].translate(_STANDARD, b"=\r\n\t ")
    run = run[:-1] if len(run) % 4 == 1 else run
    try:
        return binascii.a2b_base64(run + b"=" * (-len(run) % 4))
    except binascii.Error:
        return b""


def _sensible(data: bytes) -> bool:
    """Whether it is mostly text."""
    head = data[:4096]
    return len(data) >= 4 and len(head.translate(None, _TEXT)) * 6 <= len(head)


def _numbers(match: bytes) -> bytes:
    return bytes(n for n in map(int, re.findall(rb"[0-9]+", match)) if n < 256)
