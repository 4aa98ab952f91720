"""The forms in which a secret may be written, as literals to look for."""

from __future__ import annotations

import base64
import codecs
import html
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote, urlsplit

from sidecar_bundle.shared.weak import weak

_ALNUM = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_REST = bytes(b for b in range(256) if b not in _ALNUM)
_LOWER = bytes(range(256)).lower()
_BASE58 = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_HEX32 = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHIJKLMNOPQRSTUV")
MIN = 8  # a normalised form that is shorter would be found by accident
_MIXED = 7  # or one of so many letters and digits
_SEPARATORS = b" \t\r\n\"'\\,-_./+"
_ZERO_WIDTH = "\u200b".encode()
MAX_VARIED = 4096  # a longer secret is looked for in fewer forms


def norm(text: bytes) -> bytes:
    """Letters and digits only, in lower case: what case, separators, quotes and line breaks cannot change."""
    return text.translate(_LOWER, _REST)


def gently(text: bytes) -> bytes:
    """In lower case and without the usual separators: for secrets of which `norm` leaves too little."""
    if _ZERO_WIDTH in text:
        text = text.replace(_ZERO_WIDTH, b"")
    return text.translate(_LOWER, _SEPARATORS)


def within(value: str) -> Iterator[str]:
    """The value, and the parts of it that are secrets by themselves: a URL's password, a JSON document's strings."""
    value = value.strip()
    yield value
    if "\\n" in value:  # a text is searched without its escaped line breaks
        yield value.replace("\\n", "\n")
    try:
        url = urlsplit(value)
        if "://" in value and url.password and not weak(url.password):
            yield url.password
            if unquote(url.password) != url.password:
                yield unquote(url.password)
        if value.startswith("{"):
            document = json.loads(value)
            for key, part in document.items() if isinstance(document, dict) else ():
                if isinstance(part, str) and re.search("key|secret|token|password", key) and not weak(part):
                    yield part.strip()
    except (ValueError, RecursionError):
        return


def plain(secret: bytes) -> set[bytes]:
    """Forms to look for byte by byte, in lower case (case is ignored): as it is, and simply encoded."""
    text = secret.decode("utf-8", "surrogateescape")
    forms = {
        secret,
        secret[::-1],
        _bytes(quote_plus(secret)),
        _bytes(quote(secret, safe="")),
        _bytes(html.escape(text)),
    }
    forms.add(json.dumps(text)[1:-1].encode("utf-8", "surrogateescape"))
    forms.add(json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogateescape"))
    forms |= {secret.hex().encode(), *cores64(secret)}
    forms |= {core.translate(bytes.maketrans(b"+/", b"-_")) for core in cores64(secret)}
    return {form.lower() for form in forms if len(form) >= MIN}


def gentle(secret: bytes) -> set[bytes]:
    """Forms to look for in a text that was gently normalised; none when `norm` leaves enough of the secret."""
    plainest = norm(secret)
    if secret.isascii() and len(plainest) >= 12:
        return set()
    cases = {gently(_bytes(case)) for case in _cases(secret.decode("utf-8", "surrogateescape"))}
    cases |= {gently(form) for form in (_rot13(secret), *plain(secret))}
    return {form for form in cases if len(form) >= MIN and not _too_plain(form, 10)}


def normalised(secret: bytes) -> set[bytes]:
    """Forms to look for in a normalised text."""
    forms: set[bytes] = {_rot13(secret), _base58(secret), _bytes(quote(secret, safe=""))}
    bare = norm(secret)
    mixed = not bare.isalpha() and not bare.isdigit() and len(bare) >= _MIXED
    whole = (
        {bare, bare[::-1], norm(_rot13(secret))} if mixed or (len(bare) >= MIN and not _too_plain(bare, 10)) else set()
    )
    variants = _variants(secret)
    for variant in variants:
        inner = {*cores64(variant), variant.hex().encode()}
        forms |= inner
        if len(secret) <= MAX_VARIED:
            forms |= set(_cores32(variant))
    once = {base64.b64encode(secret).rstrip(b"="), base64.urlsafe_b64encode(secret).rstrip(b"="), *cores64(secret)}
    once |= {secret.hex().encode(), secret.hex().upper().encode(), base64.b32encode(secret).rstrip(b"=")}
    for form in once:
        forms |= {*cores64(form), *_cores32(form), form.hex().encode(), form[::-1], *cores64(form[::-1])}
    if len(secret) <= 16:  # three times encoded it is still too short to be noticed by its length
        forms |= {c for a in cores64(secret) for b in cores64(a) for c in cores64(b)}
        twice = base64.b64encode(base64.b64encode(secret).rstrip(b"=")).rstrip(b"=")
        forms |= {*cores64(twice), *cores64(base64.b64encode(base64.b64encode(secret)))}
    forms |= {core.translate(_HEX32) for core in _cores32(secret)}
    forms |= {b"".join(f"{pattern}".encode() for pattern in spelled) for spelled in _spelled(secret)}
    return whole | {n for form in forms if len(n := norm(form)) >= MIN and not _too_plain(n, 12)}


def cores64(data: bytes) -> list[bytes]:
    """What of base64 depends on `data` alone, wherever it stands in a longer text (three alignments)."""
    cores = []
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + data)
        cores.append(encoded[(shift * 8 + 5) // 6 : (shift + len(data)) * 8 // 6])
    return cores


def _cores32(data: bytes) -> list[bytes]:
    cores = []
    for shift in range(5):
        encoded = base64.b32encode(b"\0" * shift + data)
        cores.append(encoded[(shift * 8 + 4) // 5 : (shift + len(data)) * 8 // 5])
    return cores


def _cases(text: str) -> set[str]:
    """A text forwards and backwards, in each case; letters outside ASCII have cases too."""
    return {c for t in (text, text[::-1]) for c in (t, t.lower(), t.upper(), t.swapcase(), t.title(), t.casefold())}


def _variants(secret: bytes) -> set[bytes]:
    """The secret as it may look before it is encoded."""
    if len(secret) > MAX_VARIED:
        return {secret, secret[::-1]}
    text = secret.decode("utf-8", "surrogateescape")
    bare = re.sub(rb"[^A-Za-z0-9]", b"", secret)
    variants = {secret, secret[::-1], _rot13(secret), *(_bytes(case) for case in _cases(text))}
    variants |= {text.encode(f"utf-16-{end}", "surrogatepass") for end in ("le", "be")}
    variants |= {_bytes(quote(secret, safe="")), json.dumps(text)[1:-1].encode()}
    if len(bare) >= MIN and bare != secret:
        variants |= {bare, bare[::-1], *(re.sub(rb"[-_. ]", sign, secret) for sign in (b"-", b"_", b".", b" "))}
    return variants


def _spelled(secret: bytes) -> Iterator[list[str]]:
    """The bytes and characters as numbers, as in a normalised text; full percent-encoding is plain hex there."""
    if len(secret) <= MAX_VARIED:
        for form in ("{}", "{:03o}", "{:08b}", "x{:02x}", "0x{:02x}", "u00{:02x}"):
            yield [form.format(b) for b in secret]
    text = secret.decode("utf-8", "surrogateescape")
    if not secret.isascii():
        yield [json.dumps(c) for c in text]
        yield [json.dumps(c) for c in reversed(text)]
        for form in ("{}", "x{:x}", "0x{:x}", "u{:x}", "u{:04x}"):
            yield [form.format(ord(c)) for c in text]


def _too_plain(form: bytes, digits: int) -> bool:
    return (form.isdigit() and len(form) < digits) or (len(set(form)) < 3 and len(form) < 64)


def _rot13(data: bytes) -> bytes:
    return codecs.encode(data.decode("latin-1"), "rot13").encode("latin-1")


def _base58(data: bytes) -> bytes:
    if len(data) > MAX_VARIED:
        return b""
    number, digits = int.from_bytes(data, "big"), bytearray()
    while number:
        number, digit = divmod(number, 58)
        digits.append(_BASE58[digit])
    return bytes(digits[::-1])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
