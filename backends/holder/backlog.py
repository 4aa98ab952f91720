"""The agent's output on its way to the screen: appended at once, read in a quiet moment, dropped when too much."""

from __future__ import annotations

import re

from backends.holder.screen import Screen

KEPT = 128 << 10

# What must not be lost with dropped output: modes, margins, charsets, keypad, reset.
_STATE = re.compile(
    rb"\x1b(?:\[[?>=<][0-9;:]{0,64}[hlmu]|\[[0-9;]{0,16}[rhl]|\[[0-6]? q|\[!p|[()][0B]|[=>c])|[\x0e\x0f]"
)
# What a program may wait for an answer to: DA1, DSR 5 and 6.
_QUERY = re.compile(rb"\x1b(?:\[0?c|\[[56]n|Z)")


class Backlog:
    """A screen, and output that it has not been shown yet. Holds at most 2 * KEPT bytes."""

    def __init__(self, rows: int, cols: int) -> None:
        self._screen = Screen(rows, cols)
        self._pending = bytearray()
        self._before = b""

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def title(self) -> str:
        """The window's title, as far as the output was read: asking often must cost nothing."""
        return self._screen.title

    def append(self, data: bytes) -> None:
        """Takes output; cheap, whatever the amount."""
        self._pending += data
        if len(self._pending) > 2 * KEPT:
            self._drop(len(self._pending) - KEPT)

    def _drop(self, count: int) -> None:
        # Cut where a sequence or a line begins, when there is such a place nearby.
        cuts = [at for at in (self._pending.find(b"\x1b", count), self._pending.find(b"\n", count)) if at >= 0]
        if cuts and min(cuts) < count + 4096:
            count = min(cuts)
        state = b"".join(_STATE.findall(self._pending[:count]))
        del self._pending[:count]
        # CAN ends a sequence that the screen was in the middle of; colours of what is gone mean nothing any more.
        self._feed(b"\x18" + state[-KEPT:] + b"\x1b[0m")

    def _feed(self, data: bytes) -> None:
        try:
            self._screen.feed(data)
        except Exception:  # what an agent prints must never end the process that holds it
            grid = self._screen.grid
            self._screen = Screen(grid.rows, grid.cols)

    def settle(self, limit: int | None = None) -> None:
        """Reads what is pending, or its first `limit` bytes, onto the screen."""
        data = bytes(self._pending if limit is None else self._pending[:limit])
        del self._pending[: len(data)]
        if data:
            self._feed(data)

    def asks(self, data: bytes) -> bool:
        """Whether a query ends within `data`, the output that comes next. Call it once for all output."""
        found = _QUERY.search(self._before + data) is not None
        self._before = data[-3:]
        return found

    def answer(self, data: bytes) -> bytes:
        """Reads `data` onto the screen and gives the terminal's answers to the queries in it."""
        self.settle()
        self._screen.take_replies()
        self._feed(data)
        return self._screen.take_replies()

    def resize(self, rows: int, cols: int) -> None:
        """The new size, in force for all output after this."""
        self.settle()
        self._screen.resize(rows, cols)

    def screen(self) -> Screen:
        """The screen, with everything on it."""
        self.settle()
        return self._screen
