"""The cells of the main and the alternate screen, the cursor among them, and every operation that moves or erases."""

from __future__ import annotations

from backends.holder.cells import LINE_DRAWING, PLAIN, Attr, Line, width

MAX_ROWS = 512
MAX_COLS = 1024
# Characters in one cell: a base and what combines with it. Bounds memory against endless accents.
_STACKED = 8

# (x, y, pen, origin, charsets, shift)
Saved = tuple[int, int, Attr, bool, tuple[str, str], int]


class Grid:
    """Cells and cursor. Rows and columns count from 0; every argument may be out of range and is clamped."""

    def __init__(self, rows: int, cols: int) -> None:
        self.rows = rows
        self.cols = cols
        self.lines = [Line(cols) for _ in range(rows)]
        self.hidden = [Line(cols) for _ in range(rows)]  # the screen that is not shown
        self.alternate = False
        self.saved: list[Saved | None] = [None, None]  # of the main, of the alternate screen
        self.tabs = default_tabs(cols)
        self.x = 0
        self.y = 0
        self.reset_state()

    def reset_state(self) -> None:
        """Everything but the cells, the tabs and the cursor's place as after power-on."""
        self.wrap = False  # the cursor stands behind the last column
        self.pen = PLAIN
        self.top = 0
        self.bottom = self.rows - 1
        self.origin = False
        self.insert = False
        self.autowrap = True
        self.charsets = ("B", "B")
        self.shift = 0

    @property
    def erased(self) -> Attr:
        """The attribute of an erased cell: the background of the pen."""
        return (0, 0, "", self.pen[3], "") if self.pen[3] else PLAIN

    def put(self, text: str) -> None:
        """Writes printable characters at the cursor."""
        if self.charsets[self.shift] == "0":
            text = text.translate(LINE_DRAWING)
        if not text.isascii() or self.insert:
            for char in text:
                self._put_one(char)
            return
        at = 0
        while at < len(text):
            self._wrap_if_due()
            room = self.cols - self.x
            if not self.autowrap and len(text) - at > room:
                # What does not fit overwrites the last column.
                part = text[at : at + room - 1] + text[-1]
                at = len(text)
            else:
                part = text[at : at + room]
                at += len(part)
            line = self.lines[self.y]
            end = self.x + len(part)
            line.chars[self.x : end] = part
            line.attrs[self.x : end] = [self.pen] * len(part)
            line.heal()
            self._advance(len(part))

    def _put_one(self, char: str) -> None:
        columns = width(char)
        if columns == 0:
            self._combine(char)
            return
        if columns > self.cols:
            return
        self._wrap_if_due()
        if self.x + columns > self.cols:
            if self.autowrap:
                self.newline()
                self.x = 0
            else:
                self.x = self.cols - columns
        line = self.lines[self.y]
        if self.insert:
            line.insert(self.x, columns, self.pen)
        line.chars[self.x] = char
        line.attrs[self.x] = self.pen
        if columns == 2:
            line.wide = True
            line.chars[self.x + 1] = ""
            line.attrs[self.x + 1] = self.pen
        line.heal()
        self._advance(columns)

    def _combine(self, char: str) -> None:
        at = self.x if self.wrap else self.x - 1
        chars = self.lines[self.y].chars
        if at > 0 and chars[at] == "":
            at -= 1
        if at >= 0 and 0 < len(chars[at]) < _STACKED:
            chars[at] += char

    def _wrap_if_due(self) -> None:
        if self.wrap:
            self.wrap = False
            self.newline()
            self.x = 0

    def _advance(self, columns: int) -> None:
        self.x += columns
        if self.x >= self.cols:
            self.x = self.cols - 1
            self.wrap = self.autowrap

    def move(self, y: int, x: int) -> None:
        """Puts the cursor there, on the screen; rows count from the margin in origin mode."""
        low, high = (self.top, self.bottom) if self.origin else (0, self.rows - 1)
        self.y = min(max(y + low, low), high)
        self.x = min(max(x, 0), self.cols - 1)
        self.wrap = False

    def step(self, down: int, right: int) -> None:
        """Moves the cursor relatively; it stops at the margins when it starts within them."""
        low = self.top if self.y >= self.top else 0
        high = self.bottom if self.y <= self.bottom else self.rows - 1
        self.y = min(max(self.y + down, low), high)
        self.x = min(max(self.x + right, 0), self.cols - 1)
        self.wrap = False

    def newline(self) -> None:
        """One row down, scrolling at the bottom margin."""
        self.wrap = False
        if self.y == self.bottom:
            self.scroll_up(1)
        elif self.y < self.rows - 1:
            self.y += 1

    def reverse_newline(self) -> None:
        """One row up, scrolling at the top margin."""
        self.wrap = False
        if self.y == self.top:
            self.scroll_down(1)
        elif self.y > 0:
            self.y -= 1

    def tab(self, count: int) -> None:
        """Moves `count` tab stops on, or back when negative."""
        ordered = sorted(self.tabs)
        for _ in range(min(abs(count), self.cols)):
            if count > 0:
                self.x = next((stop for stop in ordered if stop > self.x), self.cols - 1)
            else:
                self.x = next((stop for stop in reversed(ordered) if stop < self.x), 0)
        self.wrap = False

    def scroll_up(self, count: int, top: int | None = None) -> None:
        """Takes `count` lines out at `top` (default: the top margin); blank ones come in at the bottom margin."""
        top = self.top if top is None else top
        count = min(count, self.bottom - top + 1)
        del self.lines[top : top + count]
        end = self.bottom + 1 - count
        self.lines[end:end] = [Line(self.cols, self.erased) for _ in range(count)]

    def scroll_down(self, count: int, top: int | None = None) -> None:
        """Puts `count` blank lines in at `top` (default: the top margin); what passes the bottom margin is lost."""
        top = self.top if top is None else top
        count = min(count, self.bottom - top + 1)
        end = self.bottom + 1
        del self.lines[end - count : end]
        self.lines[top:top] = [Line(self.cols, self.erased) for _ in range(count)]

    def insert_lines(self, count: int) -> None:
        """IL: blank lines at the cursor, within the margins."""
        if self.top <= self.y <= self.bottom:
            self.scroll_down(count, self.y)
            self.x = 0
            self.wrap = False

    def delete_lines(self, count: int) -> None:
        """DL: takes lines out at the cursor, within the margins."""
        if self.top <= self.y <= self.bottom:
            self.scroll_up(count, self.y)
            self.x = 0
            self.wrap = False

    def insert_chars(self, count: int) -> None:
        """ICH."""
        self.wrap = False
        self.lines[self.y].insert(self.x, min(count, self.cols - self.x), self.erased)

    def delete_chars(self, count: int) -> None:
        """DCH."""
        self.wrap = False
        self.lines[self.y].delete(self.x, min(count, self.cols - self.x), self.erased)

    def erase_chars(self, count: int) -> None:
        """ECH."""
        self.wrap = False
        self.lines[self.y].fill(self.x, min(self.x + count, self.cols), self.erased)

    def erase_line(self, how: int) -> None:
        """EL: 0 to the end, 1 from the start up to the cursor, 2 all."""
        start = 0 if how else self.x
        end = self.x + 1 if how == 1 else self.cols
        self.wrap = False
        self.lines[self.y].fill(start, end, self.erased)

    def erase_display(self, how: int) -> None:
        """ED: 0 to the end, 1 from the start up to the cursor, 2 all."""
        self.wrap = False
        if how in (0, 1):
            self.erase_line(how)
        first = self.y + 1 if how == 0 else 0
        last = self.y if how == 1 else self.rows
        for row in range(first, last):
            self.lines[row] = Line(self.cols, self.erased)

    def margins(self, top: int, bottom: int) -> None:
        """DECSTBM, rows from 0; what is no region of at least two rows is ignored."""
        bottom = min(bottom, self.rows - 1)
        if 0 <= top < bottom:
            self.top, self.bottom = top, bottom
            self.move(0, 0)

    def save(self) -> None:
        """DECSC, one place for each of the two screens."""
        self.saved[self.alternate] = (self.x, self.y, self.pen, self.origin, self.charsets, self.shift)

    def restore(self) -> None:
        """DECRC."""
        x, y, pen, origin, charsets, shift = self.saved[self.alternate] or (0, 0, PLAIN, False, ("B", "B"), 0)
        self.x, self.y = min(x, self.cols - 1), min(y, self.rows - 1)
        self.pen, self.origin, self.charsets, self.shift = pen, origin, charsets, shift
        self.wrap = False

    def switch(self, alternate: bool) -> None:
        """Shows the alternate or the main screen; the cursor stays where it is."""
        if alternate != self.alternate:
            self.alternate = alternate
            self.lines, self.hidden = self.hidden, self.lines
            self.wrap = False

    def clear(self) -> None:
        """Blanks the shown screen."""
        self.lines = [Line(self.cols, self.erased) for _ in range(self.rows)]

    def resize(self, rows: int, cols: int) -> None:
        """Cuts and pads; when rows go, those above the cursor go first, so that the cursor's row stays."""
        other = self.saved[not self.alternate]
        gone = max(0, self.y - rows + 1)
        other_gone = max(0, (other[1] if other else 0) - rows + 1)
        self.lines = _fit(self.lines[gone:], rows, cols)
        self.hidden = _fit(self.hidden[other_gone:], rows, cols)
        self.y -= gone
        shifts = {self.alternate: gone, not self.alternate: other_gone}
        for which, saved in enumerate(self.saved):
            if saved:
                y = min(max(saved[1] - shifts[bool(which)], 0), rows - 1)
                self.saved[which] = (min(saved[0], cols - 1), y, *saved[2:])
        self.tabs = {stop for stop in self.tabs if stop < cols} | {s for s in default_tabs(cols) if s >= self.cols}
        self.rows, self.cols = rows, cols
        self.x = min(self.x, cols - 1)
        self.wrap = False
        self.top, self.bottom = 0, rows - 1


def default_tabs(cols: int) -> set[int]:
    """A stop at every eighth column."""
    return set(range(8, cols, 8))


def _fit(lines: list[Line], rows: int, cols: int) -> list[Line]:
    kept = lines[:rows]
    for line in kept:
        line.resize(cols)
    return kept + [Line(cols) for _ in range(rows - len(kept))]
