"""Data in host names: labels below a wildcard that carry more than a name."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from sidecar_bundle.dlp.drawn import entropy

LONGEST = 100  # characters below the wildcard; no service needs more
DRAWN = 40  # characters of labels that look drawn by lot
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")
_DIGEST = re.compile(r"[0-9a-f]{32}|[0-9a-f]{40}|bafy[a-z2-7]{50,60}")
_PRINTABLE = bytes(range(32, 127))


def readings(host: str, route_host: str) -> Iterator[bytes]:
    """What the labels say: as they are, and decoded when that gives text."""
    chosen = _chosen(host, route_host)
    yield "".join(chosen).encode()
    yield from (label.encode() for label in chosen)
    tails = "".join(label.rpartition("-")[2] for label in chosen)  # of labels that are numbered
    yield from (text.encode() for text in (tails, "".join(chosen[::-1]), tails[::-1]))
    for text in (*chosen, "".join(chosen), tails, "".join(chosen[::-1])):
        yield from _decoded(re.sub("[^a-z0-9]", "", text))


def data(host: str, route_host: str) -> str:
    """The rule that the labels break, or ""."""
    chosen = _chosen(host, route_host)
    for text in (*chosen, "".join(chosen)):
        for plain in _decoded(re.sub("[^a-z0-9]", "", text)):
            if len(plain) >= 8:
                return "encoded-host-labels"
    known = [label for label in chosen if _DIGEST.fullmatch(label) or _UUID.fullmatch(label)]
    rest = chosen if len(known) > 1 else [label for label in chosen if label not in known]  # one identifier is usual
    if sum(map(len, rest)) > LONGEST:
        return "long-host-labels"
    drawn = [label for label in rest if _drawn(label)]
    return "encoded-host-labels" if sum(map(len, drawn)) >= DRAWN else ""


def _chosen(host: str, route_host: str) -> list[str]:
    """The labels in place of the wildcard; none when the route names one host."""
    host, route_host = host.lower().rstrip("."), route_host.lower().rstrip(".")
    if not route_host.startswith("*."):
        return []
    suffix = route_host[1:]
    return host.removesuffix(suffix).split(".") if host.endswith(suffix) and len(host) > len(suffix) else []


def _decoded(text: str) -> Iterator[bytes]:
    """Text of six characters and more that stands there in hexadecimal or base32."""
    found = []
    if re.fullmatch("[0-9a-f]{12,}", text):
        found.append(binascii.unhexlify(text[: len(text) // 2 * 2]))
    if re.fullmatch("[a-z2-7]{10,}", text):
        padded = text.upper()[: len(text) // 8 * 8 + (len(text) % 8 if len(text) % 8 in (2, 4, 5, 7) else 0)]
        found.append(base64.b32decode(padded + "=" * (-len(padded) % 8)))
    yield from (plain for plain in found if len(plain) >= 6 and not plain.translate(None, _PRINTABLE))


def _drawn(label: str) -> bool:
    """Whether a label looks drawn by lot: letters and digits mixed, and no identifier of a known form."""
    parts = [part for part in re.split("[-_]", label) if len(part) >= 16]
    return any(re.search("[0-9]", part) and re.search("[a-z]", part) and entropy(part) > 3.2 for part in parts)
