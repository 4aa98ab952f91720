"""Lines of styled text: what core says and the view paints, cut into rows that fit."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Literal

from botbottle_tui.core.text import char_columns, clean, columns

Style = Literal["", "bold", "dim", "ok", "bad", "warn", "add", "del", "hunk", "key"]
Line = tuple[tuple[Style, str], ...]


def line(text: str, style: Style = "") -> Line:
    """A line of one style, with hidden characters made visible."""
    return ((style, clean(text)),)


def wrapped(lines: Iterable[Line], width: int, indent: int = 2) -> list[Line]:
    """The lines as rows of at most `width` columns, cut at blanks where possible; later rows are indented."""
    out: list[Line] = []
    for one in lines:
        if sum(columns(text) for _, text in one) <= width:
            out.append(one)
        else:
            out += _cut([(style, char) for style, text in one for char in text], width, min(indent, width // 2))
    return out


def _cut(chars: list[tuple[Style, str]], width: int, indent: int) -> list[Line]:
    rows: list[list[tuple[Style, str]]] = []
    start = 0
    pad: list[tuple[Style, str]] = [("", " ")] * indent
    while start < len(chars):
        room = width - (indent if rows else 0)
        end, used, blank = start, 0, 0
        while end < len(chars) and used + char_columns(chars[end][1]) <= room:
            used += char_columns(chars[end][1])
            end += 1
            if chars[end - 1][1] in " ,/":
                blank = end
        if end < len(chars) and chars[end][1] != " " and blank > start + room // 3:
            end = blank
        end = max(end, start + 1)
        rows.append((pad if rows else []) + chars[start:end])
        start = end
        while start < len(chars) and chars[start][1] == " ":
            start += 1
    return [tuple((style, "".join(c for _, c in run)) for style, run in groupby(row, lambda x: x[0])) for row in rows]
