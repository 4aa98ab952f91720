"""A terminal emulator: knows what an agent's output has put on the screen."""

from __future__ import annotations

import codecs
import re

from backends.holder.cells import PLAIN
from backends.holder.control import control
from backends.holder.grid import MAX_COLS, MAX_ROWS, Grid
from backends.holder.modes import DEFAULT_ON
from backends.holder.render import render

_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f]+")
_CSI = re.compile(r"\x1b\[([<=>?]?)([0-9:;]*)([ -/]*)([@-~])")
_CSI_PART = re.compile(r"\x1b\[[0-?]*[ -/]*")
_ESC = re.compile(r"\x1b([ -/]*)([0-~])")
_ESC_PART = re.compile(r"\x1b[ -/]*")
_STRING_END = re.compile(r"[\x07\x18\x1a\x1b]")

_CSI_LONGEST = 256
_STRING_LONGEST = 4096
_TITLE_LONGEST = 192
_REPLIES_LONGEST = 4096


class Screen:
    """Fed with bytes, cut anywhere, of any kind: never raises, holds a bounded amount, prints and asks nothing."""

    def __init__(self, rows: int, cols: int) -> None:
        self.grid = Grid(min(max(rows, 1), MAX_ROWS), min(max(cols, 1), MAX_COLS))
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._tail = ""  # the start of a sequence whose end has not come yet
        self._string = ""  # within OSC, DCS, SOS, PM or APC: the character that began it
        self._body = ""  # what came of it
        self.last = ""
        self.replies = bytearray()
        self._power_on()

    def _power_on(self) -> None:
        self.modes = set(DEFAULT_ON)
        self.keypad = False
        self.linefeed = False
        self.cursor_style = 0
        self.modify_keys = 0
        self.kitty: list[list[int]] = [[0], [0]]  # flag stacks of the main and of the alternate screen
        self.title = ""
        self.alternate_by = 1049

    def feed(self, data: bytes) -> None:
        """Takes the agent's output; the answers that its queries deserve are added to `replies`."""
        text = self._tail + self._decoder.decode(data)
        self._tail = ""
        at = 0
        while at < len(text):
            if self._string:
                at = self._in_string(text, at)
                continue
            match = _TEXT.match(text, at)
            if match:
                run = match[0]
                self.grid.put(run)
                self.last = run[-1]
                at = match.end()
            elif text[at] == "\x1b":
                at = self._escape(text, at)
            else:
                self._control(text[at])
                at += 1

    def resize(self, rows: int, cols: int) -> None:
        """The terminal's new size, clamped to what is sensible."""
        rows, cols = min(max(rows, 1), MAX_ROWS), min(max(cols, 1), MAX_COLS)
        if (rows, cols) != (self.grid.rows, self.grid.cols):
            self.grid.resize(rows, cols)

    def text(self) -> list[str]:
        """The rows of the screen, without attributes and without blanks at their ends."""
        return ["".join(line.chars).rstrip(" ") for line in self.grid.lines]

    def render(self) -> bytes:
        """Bytes that make a terminal of this size show this screen, modes and cursor; they hold no query."""
        return render(self)

    def take_replies(self) -> bytes:
        """The answers to the queries since the last call."""
        replies = bytes(self.replies)
        self.replies.clear()
        return replies

    def _control(self, char: str) -> None:
        grid = self.grid
        if char == "\r":
            grid.x = 0
            grid.wrap = False
        elif char in "\n\x0b\x0c":
            grid.newline()
            if self.linefeed:
                grid.x = 0
        elif char == "\b":
            grid.step(0, -1)
        elif char == "\t":
            grid.tab(1)
        elif char == "\x0e":
            grid.shift = 1
        elif char == "\x0f":
            grid.shift = 0

    def _in_string(self, text: str, at: int) -> int:
        match = _STRING_END.search(text, at)
        end = match.start() if match else len(text)
        room = _STRING_LONGEST - len(self._body)
        self._body += text[at : min(end, at + room)]
        if match is None:
            return end
        if match[0] == "\x07" and self._string != "]":
            return end + 1
        if self._string == "]" and match[0] in "\x07\x1b":
            self._osc(self._body)
        self._string = self._body = ""
        # An escape that is no terminator ends the string all the same and is read as what it is.
        return end if match[0] == "\x1b" else end + 1

    def _osc(self, body: str) -> None:
        number, _, rest = body.partition(";")
        if number in ("0", "2"):
            self.title = "".join(char for char in rest if char.isprintable())[:_TITLE_LONGEST]

    def _escape(self, text: str, at: int) -> int:
        match = _CSI.match(text, at)
        if match:
            if match.end() - at <= _CSI_LONGEST:
                control(self, *match.groups())
            return match.end()
        if text.startswith("\x1b[", at):
            return self._partial(text, at, _CSI_PART)
        match = _ESC.match(text, at)
        if match is None:
            return self._partial(text, at, _ESC_PART)
        between, final = match.groups()
        if not between and final in "]PX^_":
            self._string = final
        elif between in ("(", ")"):
            first, second = self.grid.charsets
            charset = "0" if final == "0" else "B"
            self.grid.charsets = (charset, second) if between == "(" else (first, charset)
        elif between == "#" and final == "8":
            self.grid.pen = PLAIN
            self.grid.margins(0, self.grid.rows - 1)
            for row in range(self.grid.rows):
                self.grid.move(row, 0)
                self.grid.put("E" * self.grid.cols)
            self.grid.move(0, 0)
        elif not between:
            self._escape_final(final)
        return match.end()

    def _partial(self, text: str, at: int, pattern: re.Pattern[str]) -> int:
        """A sequence without its end: kept for the next feed when that can bring it, else passed over."""
        match = pattern.match(text, at)
        assert match is not None
        if match.end() == len(text) and match.end() - at <= _CSI_LONGEST:
            self._tail = text[at:]
        return match.end()

    def _escape_final(self, final: str) -> None:
        grid = self.grid
        match final:
            case "7":
                grid.save()
            case "8":
                grid.restore()
            case "D":
                grid.newline()
            case "E":
                grid.newline()
                grid.x = 0
            case "H":
                grid.tabs.add(grid.x)
            case "M":
                grid.reverse_newline()
            case "Z":
                self.reply("\x1b[?62;22c")
            case "=" | ">":
                self.keypad = final == "="
            case "c":
                self.grid = Grid(grid.rows, grid.cols)
                self._power_on()

    def reply(self, answer: str) -> None:
        if len(self.replies) < _REPLIES_LONGEST:
            self.replies += answer.encode()
