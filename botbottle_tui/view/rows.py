"""A box of rows that builds only those on the screen, and shows no hidden character."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import urwid

from botbottle_tui.core.styled import Line
from botbottle_tui.core.text import clean, columns

Segments = tuple[tuple[str, str], ...]


class Rows(urwid.Widget):
    """`count` rows from `start` on, each asked of `row(index, columns)`; the one at `cursor` is marked.

    `around` keeps that index in sight instead, when `start` is None; `bottom` fills from below.
    """

    _sizing = frozenset([urwid.Sizing.BOX])
    _selectable = False

    def __init__(
        self,
        count: int,
        row: Callable[[int, int], Segments | Line],
        *,
        start: int | None = 0,
        cursor: int = -1,
        pad: int = 0,
        bottom: bool = False,
    ) -> None:
        super().__init__()
        self.count, self.row, self.start, self.cursor = count, row, start, cursor
        self.pad, self.bottom = pad, bottom

    def render(self, size: tuple[int, int], focus: bool = False) -> urwid.CompositeCanvas:  # type: ignore[override]
        width, height = size
        first = self.start
        if first is None:
            first = max(0, min(self.cursor - height // 2, self.count - height))
        inner = max(1, width - 2 * self.pad)
        shown = [self._row(i, inner) for i in range(first, min(first + height, self.count))]
        blank = [urwid.SolidCanvas(" ", width, height - len(shown))] if len(shown) < height else []
        canvases: list[Any] = [*blank, *shown] if self.bottom else [*shown, *blank]
        if self.pad:
            for i, canvas in enumerate(canvases):
                if canvas not in blank:
                    padded = urwid.CompositeCanvas(canvas)
                    padded.pad_trim_left_right(self.pad, width - inner - self.pad)
                    canvases[i] = padded
        return urwid.CanvasCombine([(c, None, False) for c in canvases])

    def _row(self, index: int, width: int) -> Any:
        segments = [(style, clean(text)) for style, text in self.row(index, width)]
        if index == self.cursor:
            text = "".join(t for _, t in segments)
            segments = [("cursor", text + " " * max(0, width - columns(text)))]
        return urwid.Text([s for s in segments if s[1]] or "", wrap="ellipsis").render((width,))


def fixed(lines: tuple[Line, ...] | list[Line], *, start: int = 0, pad: int = 0, bottom: bool = False) -> Rows:
    """Lines that exist already."""
    return Rows(len(lines), lambda i, _: lines[i], start=start, pad=pad, bottom=bottom)
