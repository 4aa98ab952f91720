"""Whether a text was drawn by lot, or a person wrote it: placeholders, identifiers, phrases."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from itertools import pairwise

from sidecar_bundle.shared.weak import weak, wordlike, words

_MOCK = re.compile(
    r"example|sample|dummy|placeholder|change.?me|redacted|your.?(?:api|key|token|secret|own)|insert|xxxx|\.\.\.|\*\*\*|fake"
    r"|not.?a.?real|insecure|(.)\1{4}|0123456|1234567890?|abcdefg|qwerty|deadbeefdeadbeef",
    re.IGNORECASE,
)
# What stands in standards and manuals for everybody to read: OAuth's, HTTP's, Stripe's, WireGuard's.
_PUBLISHED = re.compile(
    "7Fjfp0ZBr1KtDRbnfVdmIw|2YotnFZFEjr1zCsicMWpAA|tGzv3JOkF0XG5Qx2TlKWIA|SplxlOBeZQQYbYS6WxSbIA|czZCaGRSa3F0Mz|"
    "4eC39HqLyjWDarjtT1zdp7dc|BQokikJOvBiI2HlWgH4olfQ2|tR3PYbcVNZZ796tH88S4VQ2u|EEGlnEPYJV//kbvv|yAnz5TF[+]lXXJte14|"
    "gI6EdUSYvn8ugXOt8QQD6Yc"
)
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_LEET = str.maketrans("013457$@!", "oleastsai")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")


def entropy(text: str) -> float:
    """Bits for each character, by how often each occurs."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values()) if text else 0.0


def placeholder(text: str) -> bool:
    """Whether a person made it up: says so, repeats itself or counts."""
    if _MOCK.search(text) or _PUBLISHED.search(text):
        return True
    low = text.lower()
    steps = [sum(ord(b) - ord(a) == 1 for a, b in zip(low, low[gap:], strict=False)) for gap in (1, 2)]
    halves = len(text) >= 12 and text[: len(text) // 2] == text[len(text) // 2 :]
    return halves or max(steps) * 3 > len(text)


def kinds(text: str) -> list[bool]:
    """Whether it has capitals, small letters and digits."""
    return [bool(re.search(kind, text)) for kind in ("[A-Z]", "[a-z]", "[0-9]")]


def strong(text: str) -> bool:
    """Whether it looks drawn by lot for its alphabet and length."""
    if placeholder(text):
        return False
    if _HEX.fullmatch(text):
        return entropy(text) > min(3.0, math.log2(len(text)) - 1.6)
    has = kinds(text)
    size = sum(n for n, there in zip((26, 26, 10), has, strict=True) if there)
    return sum(has) >= 2 and entropy(text) > math.log2(min(len(text), size)) - 1.3


def mixed(text: str) -> bool:
    """`strong`, with upper and lower case letters and digits in it."""
    return strong(text) and all(kinds(text))


def digits16(text: str) -> bool:
    """At least 30 hexadecimal digits, drawn by lot."""
    return len(text) >= 30 and bool(_HEX.fullmatch(text)) and strong(text)


def scrambled(value: str, least: int = 14) -> bool:
    """Whether a value of no known form was drawn by lot: its kinds of characters alternate, and it spells nothing."""
    if len(value) < least or placeholder(value) or _UUID.fullmatch(value):
        return False
    plain = re.sub(r"[^A-Za-z0-9]", "", value)
    changes = sum(_kind(a) != _kind(b) for a, b in pairwise(plain))
    if len(plain) * 3 < len(value) * 2 or sum(kinds(plain)) < 2 or changes * 5 < len(plain):
        return False
    if entropy(value) < min(math.log2(len(value)), 5.5) - 0.9:
        return False
    most = 0.45 if any(map(str.isdigit, plain)) else 0.3
    return _spelled(value) < most and _spelled(value.translate(_LEET)) < 0.8 and not (len(value) < 20 and weak(value))


def written64(value: str) -> str | None:
    """The text that a value in base64 says, when it says any."""
    bare = value.rstrip("=")
    try:
        text = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode("ascii").rstrip("\n")
    except (binascii.Error, ValueError):
        return None
    return text if len(text) >= 6 and text.isprintable() else None


def _spelled(text: str) -> float:
    """The share of its letters in parts that could be words: near 1 for an identifier, near 0 for what was drawn."""
    parts = [part.lower() for part in _PART.findall(text)]
    written = sum(len(p) for p in parts if (len(p) > 2 and p in words()) or (len(p) > 3 and wordlike(p)))
    return written / (sum(map(len, parts)) or 1)


def _kind(char: str) -> int:
    return 0 if char.isdigit() else 1 if char.isupper() else 2
