"""Tokens and keys of well-known shapes in a text: what hyperscan saw, confirmed by `re` and the shape's check."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from sidecar_bundle.dlp import validators as v
from sidecar_bundle.dlp.forms import cores64
from sidecar_bundle.dlp.known import SHAPES, Shape
from sidecar_bundle.dlp.literals import Ends, Literals, Patterns

__all__ = ["MOST", "SHAPES", "Shape", "confirmed", "patterns", "starts"]

MOST = 5000  # different candidates of one shape in one text that are checked; one more is taken for real
_BEFORE = 48
_LONGEST = 700  # bytes after an end that hyperscan saw in which a match can go on
_BLOCK = 600  # bytes of a key in lines that a check sees
_COUNT = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_LAST_COUNT = re.compile(r"\{([1-9]\d*),\d*\}\Z")
_ALONE = re.compile(rb"[A-Za-z0-9_-]")
# Beginnings that are looked for in base64 and in hex as well, so that only what matters is decoded.
_STARTS = (
    b"ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- xoxb- xoxp- xapp- sk_live_ rk_live_ AIza ya29. GOCSPX- sk-ant- "
    b"sk-proj- sk-svcacct- AKIA ASIA npm_ pypi-AgE dckr_ AccountKey= hf_ SG. dop_v1_ lin_api_ secret_ ntn_ shpat_ "
    b"dapi hvs. .atlasv1. sbp_ glsa_ glc_ NRAK- AGE-SECRET-KEY- hooks.slack.com/ rubygems_ gsk_ "
    b"aws_secret_access_key client_secret password token: eyJhbGciOi PuTTY-User figd_ PMAK- sntr sk-or-v1- "
    b"xkeysib- nvapi- sk_test_ IQoJb3JpZ2lu SharedAccessKey= _API_KEY API_TOKEN _PASSWORD "
    b"pscale_ CCIPAT_ dt0c01. PrivateKey"
).split()


@cache
def patterns() -> Patterns:
    """All shapes in one database, made once for a process; it finds some more than the shapes, but no fewer."""
    return Patterns([_COUNT.sub(_loosened, shape.pattern).encode("latin-1") for shape in SHAPES])


def _loosened(count: re.Match[str]) -> str:
    """Long exact counts make a large automaton; `confirmed` counts again."""
    most = int(count[2] or count[1])
    return f"{{{min(int(count[1]), 8)},}}" if most > 8 else count[0]


@cache
def _compiled(index: int) -> re.Pattern[bytes]:
    begin = rf"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))[A-Za-z0-9_-]{{0,{v.GLUED}}}?" if SHAPES[index].first else ""
    return re.compile((begin + SHAPES[index].pattern).encode("latin-1"))


@cache
def starts() -> Literals:
    """Beginnings of tokens in base64 and in hexadecimal: where one is, decoding can matter."""
    begin = [*_STARTS, b"PRIVATE KEY"]
    found = {core for start in begin for core in cores64(start) if len(core) >= 4}
    found |= {digits for start in begin for digits in (start.hex().encode(), start.hex().upper().encode())}
    return Literals(sorted(found))


@cache
def _ends(index: int) -> Ends:
    # The first end of each match is enough: `re` tells the last.
    return Ends(_LAST_COUNT.sub(r"{\1}", SHAPES[index].pattern).encode("latin-1"))


def _matches(index: int, text: bytes) -> Iterator[tuple[int, int]]:
    """Spans of what the expression matches: by `re`, but only near where hyperscan saw an end if `re` is slow."""
    expression, near = _compiled(index), SHAPES[index].near
    ends = _ends(index).ends(text, MOST * 20) if near else None
    if ends is None:
        yield from (match.span() for match in expression.finditer(text))
        return
    done = 0
    for end in ends:
        start = max(done, end - near)
        while end > done and (match := expression.search(text, start, end + _LONGEST)):
            yield match.span()
            done = start = match.end()
            if match.start() >= end:
                break


def confirmed(index: int, text: bytes) -> Iterator[tuple[int, int]]:
    """Spans of real tokens of one shape in a text where hyperscan saw that shape."""
    shape = SHAPES[index]
    seen: dict[bytes, bool] = {}
    for start, end in _matches(index, text):
        joined = _ALONE.match(text[start - 1 : start]) and text[start - 2 : start] not in (b"\\n", b"\\r", b"\\t")
        if shape.alone and (joined or text[end : end + 1].isalnum()):
            continue
        if shape.unless and shape.unless.search(text[max(0, start - _BEFORE) : start]):
            continue
        token = text[start : _block(text, end) if shape.block else end]
        if token not in seen:
            if len(seen) >= MOST:  # nobody looks at more of them, so that no decoy hides a real one
                yield start, end
                return
            seen[token] = shape.check(token.decode("latin-1"))
        if seen[token]:
            yield start, start + len(token)


def _block(text: bytes, at: int) -> int:
    """Where the lines of a key end: before the next dashes."""
    dashes = text.find(b"----", at, at + _BLOCK)
    return dashes if dashes >= 0 else min(len(text), at + _BLOCK)
