"""Checks that tell a real token from text that only has its shape."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import zlib
from collections import Counter
from urllib.parse import unquote

from sidecar_bundle.shared.weak import weak

# Seconds since the epoch: a token that ended before stands in some manual or changelog.
_LONG_AGO = 1_600_000_000
_NO_HOST = re.compile(r"(?:[\w.-]*\.)?(?:example|test|invalid)(?:\.(?:com|net|org))?(?![\w.-])", re.IGNORECASE)
_RUN64 = re.compile(r"[A-Za-z0-9+/]{20,}={0,2}")
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MOCK = re.compile(
    r"example|sample|dummy|placeholder|change.?me|redacted|your.?(?:api|key|token|secret|own)|insert|xxxx|\.\.\.|\*\*\*|fake"
    r"|not.?a.?real|(.)\1{4}|0123456|1234567890?|abcdefg|qwerty|deadbeefdeadbeef",
    re.IGNORECASE,
)


def entropy(text: str) -> float:
    """Bits for each character, by how often each occurs."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values()) if text else 0.0


def placeholder(text: str) -> bool:
    """Whether a person made it up: says so, repeats itself or counts."""
    if _MOCK.search(text):
        return True
    low = text.lower()
    steps = [sum(ord(b) - ord(a) == 1 for a, b in zip(low, low[gap:], strict=False)) for gap in (1, 2)]
    halves = len(text) >= 16 and text[: len(text) // 2] == text[len(text) // 2 :]
    return halves or max(steps) * 3 > len(text)


def strong(text: str) -> bool:
    """Whether it looks drawn by lot for its alphabet and length."""
    if placeholder(text):
        return False
    if re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", text):
        return entropy(text) > min(3.0, math.log2(len(text)) - 1.6)
    kinds = [any(test(c) for c in text) for test in (str.isupper, str.islower, str.isdigit)]
    needed = math.log2(min(len(text), 62)) - 1.3
    return sum(kinds) >= 2 and entropy(text) > needed


def mixed(text: str) -> bool:
    """`strong`, with upper and lower case letters and digits in it."""
    return strong(text) and bool(re.search("[a-z]", text) and re.search("[A-Z]", text) and re.search("[0-9]", text))


def checksummed(token: str) -> bool:
    """A token of GitHub or npm: its last six characters are the CRC32 of those before, or it is surely drawn by lot."""
    body = token.partition("_")[2]
    value, digits = zlib.crc32(body[:-6].encode()), ""
    while value:
        value, digit = divmod(value, 62)
        digits = _BASE62[digit] + digits
    return digits.rjust(6, "0") == body[-6:] or (mixed(body) and not re.fullmatch("[0-9a-fA-F]+", body))


def jwt(token: str) -> bool:
    """A signed or encrypted JSON Web Token: its header decodes, and it is not the one of every tutorial."""
    header, payload, *_ = token.split(".")
    head = _decoded(header)
    if head is None or "alg" not in head:
        return False
    if "enc" in head:
        return True
    body = _decoded(payload)
    return body is not None and not _published(body)


def _published(body: dict[str, object]) -> bool:
    """Claims of RFC 7519, of jwt.io and of the manuals of libraries; or a token that ended years ago."""
    issuer, end = str(body.get("iss", "")).lower(), body.get("exp")
    if body.get("sub") == "1234567890" or body.get("name") == "John Doe" or issuer == "joe" or "example" in issuer:
        return True
    if isinstance(end, int) and end < _LONG_AGO:
        return True
    return all(value in ("payload", "bar", "world", "baz") for value in body.values())


def discord(token: str) -> bool:
    """Its first part is the number of a user."""
    try:
        number = base64.b64decode(token.split(".")[0] + "==")
    except (binascii.Error, ValueError):
        return False
    return number.isdigit() and 16 <= len(number) <= 20 and mixed(token.split(".")[-1])


def storage(key: str) -> bool:
    """A storage account's key of 64 bytes, but not that of the emulator, which is public."""
    value = key.partition("=")[2]
    return strong(value) and not value.startswith("Eby8vdM02xNOcqFl")


def userinfo(url: str) -> bool:
    """A URL with a password that nobody writes into an example."""
    before, _, host = url.rpartition("@")
    password = unquote(before.rpartition(":")[2])
    if re.search(r"[${}<>()\[\]\\,]|pass|secret|token|user|1234|4321", password, re.IGNORECASE) or weak(password):
        return False
    if _NO_HOST.match(host) or placeholder(password):
        return False
    return bool(re.search(r"\d", password) and re.search("[A-Za-z]", password)) and entropy(password) > 2.9


def pem(block: str) -> bool:
    """A private key with a body, not only its first line; whatever its lines begin with: a diff, a quote, numbers."""
    body = re.sub(r"\\+[nrt]", " ", block.partition("PRIVATE KEY")[2])
    lines = [run for run in _RUN64.findall(body) if all(re.search(kind, run) for kind in ("[a-z]", "[A-Z]", "[0-9]"))]
    return sum(map(len, lines)) >= 60 and entropy("".join(lines)) > 3.5


def drawn(token: str) -> bool:
    """What follows the last sign that ends a prefix is `strong`."""
    parts = re.split(r"[_:.\s\"'=-]", token)
    return strong(max(parts, key=len))


def whole(token: str) -> bool:
    """The token without its first four characters is no made-up one."""
    return not placeholder(token[4:]) and entropy(token[4:]) > 2.8


def _decoded(part: str) -> dict[str, object] | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
