"""Paints a screen: the bytes that bring any terminal of its size to the same picture, modes and cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.holder.cells import PLAIN, Attr, Line, sgr
from backends.holder.grid import Saved, default_tabs
from backends.holder.modes import CARRIED, DEFAULT_ON, ORDINARY

if TYPE_CHECKING:
    from backends.holder.screen import Screen


def render(screen: Screen) -> bytes:
    """A reset and a full repaint. A screen that is hidden behind the alternate one is painted too."""
    grid = screen.grid
    out = ["\x1b[?2026h", ORDINARY.decode(), "\x1b[H\x1b[2J"]
    out.append(f"\x1b]2;{screen.title}\x07" if screen.title else "")
    if grid.tabs != default_tabs(grid.cols):
        out.append("\x1b[3g")
        out += [f"\x1b[1;{stop + 1}H\x1bH" for stop in sorted(grid.tabs)]
    _kitty(out, screen.kitty[0])
    if grid.alternate:
        _paint(out, grid.hidden)
        main = grid.saved[0]
        if main:
            _saved(out, main, screen.alternate_by != 1049)
        out.append(f"\x1b[?{screen.alternate_by}h\x1b(B\x1b)B\x0f\x1b[0m\x1b[2J")
        _kitty(out, screen.kitty[1])
    _paint(out, grid.lines)
    if (grid.top, grid.bottom) != (0, grid.rows - 1):
        out.append(f"\x1b[{grid.top + 1};{grid.bottom + 1}r")
    saved = grid.saved[grid.alternate]
    if saved:
        if saved[3]:
            out.append("\x1b[?6h")
            saved = (saved[0], saved[1] - grid.top, *saved[2:])
        _saved(out, saved, True)
        out.append("\x1b[?6l")
    _cursor(out, screen)
    _modes(out, screen)
    out.append("\x1b[?2026l")
    return "".join(out).encode()


def _paint(out: list[str], lines: list[Line]) -> None:
    pen = PLAIN
    for row, line in enumerate(lines):
        end = len(line.chars)
        while end and line.chars[end - 1] == " " and line.attrs[end - 1] == PLAIN:
            end -= 1
        placed = False
        for column in range(end):
            char = line.chars[column]
            if char == "":
                continue
            if not placed:
                out.append(f"\x1b[{row + 1};{column + 1}H")
            if line.attrs[column] != pen:
                pen = line.attrs[column]
                out.append(sgr(pen))
            out.append(char)
            # Terminals disagree about the width of what is not plain: say anew where the next character goes.
            placed = char < "\u0300"
    if pen != PLAIN:
        out.append(sgr(PLAIN))


def _charsets(out: list[str], charsets: tuple[str, str], shift: int) -> None:
    out.append(f"\x1b({charsets[0]}\x1b){charsets[1]}" + ("\x0e" if shift else "\x0f"))


def _saved(out: list[str], saved: Saved, store: bool) -> None:
    x, y, pen, _, charsets, shift = saved
    out.append(f"\x1b[{y + 1};{x + 1}H{sgr(pen)}")
    _charsets(out, charsets, shift)
    out.append("\x1b7" if store else "")


def _cursor(out: list[str], screen: Screen) -> None:
    grid = screen.grid
    _charsets(out, ("B", "B"), 0)
    line, x = grid.lines[grid.y], grid.x
    if grid.wrap:
        # Only writing the last column brings the cursor behind it; in origin mode that cannot be asked for later.
        if line.chars[x] == "" and x:
            x -= 1
        out.append(_place(screen, x) + sgr(line.attrs[x]) + line.chars[x])
    else:
        out.append(_place(screen, x))
    pen: Attr = grid.pen
    out.append(sgr(pen))
    _charsets(out, grid.charsets, grid.shift)


def _place(screen: Screen, x: int) -> str:
    grid = screen.grid
    if grid.origin:
        return f"\x1b[?6h\x1b[{grid.y - grid.top + 1};{x + 1}H"
    return f"\x1b[{grid.y + 1};{x + 1}H"


def _modes(out: list[str], screen: Screen) -> None:
    if screen.grid.insert:
        out.append("\x1b[4h")
    if screen.linefeed:
        out.append("\x1b[20h")
    if screen.keypad:
        out.append("\x1b=")
    if screen.cursor_style:
        out.append(f"\x1b[{screen.cursor_style} q")
    if screen.modify_keys:
        out.append(f"\x1b[>4;{screen.modify_keys}m")
    for mode in CARRIED:
        if (mode in screen.modes) != (mode in DEFAULT_ON):
            out.append(f"\x1b[?{mode}{'h' if mode in screen.modes else 'l'}")


def _kitty(out: list[str], stack: list[int]) -> None:
    if stack[-1]:
        out.append(f"\x1b[={stack[-1]};1u")
