"""Checks that tell a real token from text that only has its shape."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from urllib.parse import unquote

from sidecar_bundle.dlp.drawn import entropy, kinds, mixed, placeholder, scrambled, strong

# Seconds since the epoch: a token that ended before stands in some manual or changelog.
_LONG_AGO = 1_600_000_000
_NO_HOST = re.compile(r"(?:[\w.-]*\.)?(?:example|test|invalid)(?:\.(?:com|net|org))?(?![\w.-])", re.IGNORECASE)
_RUN64 = re.compile(r"[A-Za-z0-9+/]{20,}={0,2}")
GLUED = 40  # characters that may stand right before a JSON Web Token
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


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
    begun = (_decoded(header[at.start() :]) for at in re.finditer("e[wy]", header[: GLUED + 2]))
    head = next(filter(None, begun), None)
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
    if re.search(r"[${}<>()\[\]\\,]|pass|secret|token|user|1234|4321", password, re.IGNORECASE) or _NO_HOST.match(host):
        return False
    return scrambled(password, 10)


def pem(block: str) -> bool:
    """A private key with a body, not only its first line; whatever its lines begin with: a diff, a quote, numbers."""
    body = re.sub(r"\\+[nrt]", " ", block.partition("PRIVATE KEY")[2])
    lines = [run for run in _RUN64.findall(body) if all(kinds(run))]
    return sum(map(len, lines)) >= 60 and entropy("".join(lines)) > 3.5


def putty(block: str) -> bool:
    """The private lines of a PuTTY key."""
    return any(all(kinds(run)) for run in _RUN64.findall(re.sub(r"\\+[nrt]", " ", block)))


def jwk(member: str) -> bool:
    """The private number of a JSON Web Key; the outline of an SVG stands under the same name."""
    value = re.split(r"[\"\\]", member)[-1]
    return mixed(value) and len(set(value) - set("MmLlHhVvCcSsQqTtAaZz0123456789-")) > 8


def drawn(token: str) -> bool:
    """What follows the last sign that ends a prefix is `strong`."""
    parts = re.split(r"[_:.\s\"'=-]", token)
    return strong(max(parts, key=len))


def whole(token: str) -> bool:
    """The token without its first four characters is no made-up one."""
    return not placeholder(token[4:]) and entropy(token[4:]) > 2.8


def tail(token: str) -> bool:
    """The last value, after a name or a place, is no made-up one."""
    value = re.split(r"[\s\"'=:\\,>]", token.rstrip("="))[-1]
    return not placeholder(value) and entropy(value) > 2.8


def _decoded(part: str) -> dict[str, object] | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
