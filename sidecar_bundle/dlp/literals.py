"""Many literals or patterns looked for at once: which of them occur in a text, never where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from threading import Lock
from typing import Any

import hyperscan

WINDOW = 20  # a longer literal is looked for by so many of its last bytes, then confirmed


class Patterns:
    """Regular expressions in hyperscan's dialect; `found` gives the indices of those that occur."""

    def __init__(self, expressions: Sequence[bytes], *, caseless: bool = False) -> None:
        self._lock = Lock()  # a scan uses the database's scratch memory
        self._database: Any = None
        if expressions:
            flags = hyperscan.HS_FLAG_SINGLEMATCH | (hyperscan.HS_FLAG_CASELESS if caseless else 0)
            self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
            self._database.compile(
                expressions=list(expressions),
                ids=list(range(len(expressions))),
                elements=len(expressions),
                flags=[flags] * len(expressions),
            )

    def found(self, text: bytes) -> set[int]:
        hits: set[int] = set()
        if self._database is not None and text:
            with self._lock:
                self._database.scan(text, match_event_handler=lambda index, *_: hits.add(index))
        return hits


class Ends:
    """Expressions; `ends` gives where their matches end, or None when there are more than anybody checks."""

    def __init__(self, *expressions: bytes) -> None:
        self._lock = Lock()
        self._database: Any = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=list(expressions),
            ids=[0] * len(expressions),
            elements=len(expressions),
            flags=[0] * len(expressions),
        )

    def ends(self, text: bytes, most: int) -> list[int] | None:
        """In order, and each once."""
        found: list[int] = []

        def seen(_index: int, _start: int, end: int, *_: object) -> bool:
            if not found or found[-1] != end:
                found.append(end)
            return len(found) > most

        with self._lock:
            try:
                self._database.scan(text, match_event_handler=seen)
            except hyperscan.ScanTerminated:
                return None
        return found


class Literals:
    """Plain byte strings, each found whole; `caseless` ones must be given in lower case."""

    def __init__(self, literals: Sequence[bytes], *, caseless: bool = False) -> None:
        self._literals = list(literals)
        self._caseless = caseless
        self._patterns = Patterns([_quoted(x[-WINDOW:]) for x in self._literals], caseless=caseless)

    @cached_property
    def ends(self) -> Callable[[bytes, int], list[int] | None]:
        """Where they end, as `Ends.ends` tells it; long ones only by their last bytes, and case counts."""
        return Ends(*(_quoted(x[-WINDOW:]) for x in self._literals)).ends

    def found(self, text: bytes) -> set[int]:
        hits = self._patterns.found(text)
        long = [i for i in hits if len(self._literals[i]) > WINDOW]
        if long:
            lowered = text.lower() if self._caseless else text
            hits.difference_update(i for i in long if self._literals[i] not in lowered)
        return hits


@cache
def _escapes() -> list[bytes]:
    return [bytes([b]) if chr(b).isalnum() and b < 128 else b"\\x%02x" % b for b in range(256)]


def _quoted(literal: bytes) -> bytes:
    table = _escapes()
    return b"".join(table[b] for b in literal)
