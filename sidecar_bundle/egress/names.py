"""The names that pipelock may look up: a small DNS answerer that gives each allowed name an address of ours. Pure.

Pipelock has no network of its own: every address that it dials is one of these, and leads back to egress, which knows
the name behind it and dials the real address itself.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

from sidecar_bundle.shared.layout import OUTLET_NETWORKS

# An address that was asked for so recently, in seconds, may be dialled yet: it keeps its name.
FRESH = 60.0
TTL = 5  # seconds

_A, _AAAA, _IN = 1, 28, 1
_NO_ERROR, _FORMAT, _BUSY, _NO_NAME, _REFUSED = 0, 1, 2, 3, 5


class Names:
    """Allowed names and their addresses, each as long as it is used. `allowed` says whether a route names a host."""

    def __init__(self, allowed: Callable[[str], bool]) -> None:
        self._allowed = allowed
        hosts = [str(a) for net in OUTLET_NETWORKS for a in ipaddress.ip_network(net).hosts()]
        self._free = [a for a in reversed(hosts) if not a.endswith(".1")]
        self._by_name: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._by_address: dict[str, str] = {}

    def name(self, address: str) -> str:
        """The name behind one of our addresses, or "" when there is none (any more)."""
        return self._by_address.get(address, "")

    def address(self, name: str, now: float) -> str:
        """The address of an allowed name, or "" when all are taken by names that were asked for just now."""
        if name in self._by_name:
            address, _ = self._by_name.pop(name)
        elif self._free:
            address = self._free.pop()
        else:
            oldest, (address, since) = next(iter(self._by_name.items()))
            if now - since < FRESH:
                return ""
            del self._by_name[oldest]
        self._by_name[name] = (address, now)
        self._by_address[address] = name
        return address

    def answer(self, query: bytes, now: float) -> bytes:
        """The answer to one DNS message; b"" for what is no query."""
        if len(query) < 12 or query[2] & 0x80:
            return b""
        found = _question(query)
        if found is None or query[2] & 0x78:
            return _reply(query, b"", _FORMAT)
        name, kind, end = found
        question = query[12:end]
        if not self._allowed(name):
            return _reply(query, question, _NO_NAME)
        if kind != _A:
            # The name is there, of another kind: with an IPv6 address pipelock would dial nowhere.
            return _reply(query, question, _NO_ERROR)
        address = self.address(name, now)
        if not address:
            return _reply(query, question, _BUSY)
        record = b"\xc0\x0c\x00\x01\x00\x01" + TTL.to_bytes(4, "big") + b"\x00\x04"
        return _reply(query, question, _NO_ERROR, record + ipaddress.ip_address(address).packed)


def refuse(query: bytes) -> bytes:
    """The answer of a resolver that knows no name and asks nobody; b"" for what is no query."""
    if len(query) < 12 or query[2] & 0x80:
        return b""
    found = _question(query)
    return _reply(query, query[12 : found[2]] if found else b"", _REFUSED)


def _question(query: bytes) -> tuple[str, int, int] | None:
    """Name, type and end of the one question, or None."""
    if query[4:6] != b"\x00\x01":
        return None
    labels: list[str] = []
    at = 12
    while at < len(query) and query[at]:
        size = query[at]
        label = query[at + 1 : at + 1 + size]
        if size > 63 or len(label) < size or not label.isascii():
            return None
        labels.append(label.decode("ascii").lower())
        at += 1 + size
    name = ".".join(labels)
    end = at + 5
    if not labels or len(name) > 253 or end > len(query) or query[at + 3 : end] != _IN.to_bytes(2, "big"):
        return None
    return name, int.from_bytes(query[at + 1 : at + 3], "big"), end


def _reply(query: bytes, question: bytes, code: int, record: bytes = b"") -> bytes:
    flags = bytes([0x84 | query[2] & 0x01, 0x80 | code])
    counts = bytes([0, 1 if question else 0, 0, 1 if record else 0, 0, 0, 0, 0])
    return query[:2] + flags + counts + question + record
