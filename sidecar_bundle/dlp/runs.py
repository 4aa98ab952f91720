"""Runs of base64 and hexadecimal: which ones in a text can matter, and what they say."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from functools import cache

from sidecar_bundle.dlp.literals import Ends
from sidecar_bundle.dlp.shapes import starts

LONG_RUN = 40
SHORT_RUN = 24  # one so short matters where something begins that is looked for
MOST = 2000  # places where something begins; with more, every run is decoded
_SAMPLE = 64  # characters of one in four that tell whether a run of base64 may be text
_ASCII64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"  # what every fourth is then: a byte below 128 begins there
_KINDS = b"JNAF"
# What is compressed begins so: with its magic wherever that stands in a run, with zlib's two bytes where a run begins.
PACKED = (
    rb"H4sI|KLUv|UEsDB|UEFDSw|QlpoO|/Td6W",
    rb"(?:^|[^A-Za-z0-9+_-]|\\[nrt])e(?:J[w-z]|N[o-r]|A[E-H]|F[4-7])[A-Za-z0-9+/_-]{8}",
)
_MAGICS = tuple(PACKED[0].split(b"|"))
# Where a run, a segment or a line begins with what may be zlib: literals, since a pattern over pictures costs too much.
_ZLIB = (b"/e", b"\ne", b" e", b"=e", b"\\ne", b"\\re", b"\\te")
_RUN = re.compile(
    rb"[A-Za-z0-9+/_-]{12,}(?:=*(?:\\+[nr]|\s){1,4}[A-Za-z0-9+/_-]{12,})*"
    rb"(?:(?:\\+[nr]|[\r\n]){1,4}[A-Za-z0-9+/_-]{1,11}(?=[=\r\n\\\"]|\Z))?"
)
_BREAK = re.compile(rb"(?:\\+[nr]|[\r\n])+")
_ESCAPED = re.compile(rb"\\+[nr]")
_PLAIN_HEX = re.compile(rb"[0-9a-fA-F]{24,}")
_IN_RUN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_MAP = bytes(65 if b in _IN_RUN else 32 for b in range(256))
_STANDARD = bytes.maketrans(b"-_", b"+/")
_TEXT = bytes(range(32, 127)) + b"\t\n\r\0"


@cache
def _packed() -> Ends:
    return Ends(*PACKED)


def found(text: bytes, *, whole: bool, packed: bool) -> Iterator[tuple[bytes, bool]]:
    """Runs that can matter: the long ones and those where something begins, or, with `whole`, all.

    With each, whether a token may stand there in hexadecimal.
    """
    hits = [] if whole else starts().ends(text, MOST)
    more = [] if whole or not packed else _packed().ends(text, MOST)
    if whole or hits is None or more is None:
        least = 16 if whole else SHORT_RUN
        yield from ((match[0], not whole) for match in _RUN.finditer(text) if len(match[0]) >= least)
        return
    mapped = text.translate(_MAP)
    begun = {end - 1 for end in hits}
    done = 0
    for place in sorted({*begun, *(end - 1 for end in more), *_long(mapped)}):
        if place >= done:
            start, done = _around(text, mapped, place)
            if done - start >= SHORT_RUN:
                yield text[start:done], place in begun


def _long(mapped: bytes) -> Iterator[int]:
    at = mapped.find(b"A" * LONG_RUN)
    while at >= 0:
        yield at
        end = mapped.find(b" ", at)
        at = mapped.find(b"A" * LONG_RUN, end) if end >= 0 else -1


def _around(text: bytes, mapped: bytes, place: int) -> tuple[int, int]:
    """The run at a place, together with the lines that follow."""
    start = mapped.rfind(b" ", 0, place) + 1
    end = mapped.find(b" ", place)
    end = len(mapped) if end < 0 else end
    while gap := _BREAK.match(text, end):
        stop = mapped.find(b" ", gap.end())
        stop = len(mapped) if stop < 0 else stop
        if stop == gap.end():
            break
        end = stop
    return start, end


def packed(run: bytes) -> Iterator[bytes]:
    """What of a run is compressed, from where it seems to begin; a magic is seen inside what is decoded, too."""
    seen: set[int] = set()
    segments = 0
    for at in sorted(_begins(run)):
        end = len(run)
        if run[at : at + 1] != b"e":
            if at % 4 in seen:
                continue
            seen.add(at % 4)
        elif run[at - 1 : at] == b"/":  # a segment of a path, or of what has a slash of its own
            segments += 1
            end = end if segments < 8 else run.find(b"/", at) % (end + 1)
        yield base64(run[at:end], 0)


def _begins(run: bytes) -> set[int]:
    out = {at for magic in _MAGICS for at in _all(run, magic)}
    zlib = {at + len(mark) - 1 for mark in _ZLIB for at in _all(run, mark)}
    # The first letter may be the rest of an escape.
    zlib |= {0, 1} if run[:1] in b"nrt" and run[1:2] == b"e" else {0} if run[:1] == b"e" else set()
    return out | {
        at for at in zlib if run[at : at + 1] == b"e" and run[at + 1 : at + 2] in _KINDS and at + 1 < len(run)
    }


def _all(run: bytes, mark: bytes) -> Iterator[int]:
    at = run.find(mark)
    while at >= 0:
        yield at
        at = run.find(mark, at + 1)


def texts(run: bytes, *, segments: bool) -> Iterator[bytes]:
    """A run decoded, at the alignment at which it may be text; its lines by themselves too, and segments of a path."""
    yield from _aligned(run)
    if segments and b"/" in run:
        for segment in run.split(b"/"):
            if len(segment) >= 16:
                yield from _aligned(segment)
    if b"\n" in run and len(lines := run.split()) > 1:  # that happen to stand together
        for line in lines:
            yield from _aligned(line)


def _aligned(run: bytes) -> Iterator[bytes]:
    run = _unbroken(run)
    for shift in range(4):
        for at in (0, len(run) // 8 * 4, (len(run) - _SAMPLE * 4) // 4 * 4) if len(run) > 4096 else (0,):
            sample = run[shift + at : shift + at + 4 * _SAMPLE : 4]
            if len(sample.translate(None, _ASCII64)) * 6 <= len(sample):
                yield base64(run, shift)
                break


def _unbroken(run: bytes) -> bytes:
    run = _ESCAPED.sub(b"", run) if b"\\" in run else run
    return run.translate(None, b"\r\n")


def hexadecimal(run: bytes) -> Iterator[bytes]:
    """What stands in a run as plain hexadecimal, when it is text."""
    for match in _PLAIN_HEX.finditer(run):
        yield from unhexed(match[0])


def unhexed(digits: bytes) -> Iterator[bytes]:
    """Digits of hexadecimal decoded, at both alignments, when that is text."""
    for shift in (0, 1):
        data = binascii.unhexlify(digits[shift : shift + (len(digits) - shift) // 2 * 2])
        if sensible(data):
            yield data


def base64(run: bytes, shift: int) -> bytes:
    """A run decoded from its character `shift` on, whatever stands between its lines and at its end."""
    run = _unbroken(run)[shift:].translate(_STANDARD, b"=\r\n\t \\")
    run = run[:-1] if len(run) % 4 == 1 else run
    try:
        return binascii.a2b_base64(run + b"=" * (-len(run) % 4))
    except binascii.Error:
        return b""


def sensible(data: bytes) -> bool:
    """Whether it is mostly text."""
    head = data[:4096]
    return len(data) >= 4 and len(head.translate(None, _TEXT)) * 6 <= len(head)
