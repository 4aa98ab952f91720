"""The overlays as boxes: pickers with rows, all others with the lines that core wrote."""

from __future__ import annotations

from typing import Any

import urwid

from botbottle_tui.core.body import body, head, title, width
from botbottle_tui.core.lists import Item, items, picker_at
from botbottle_tui.core.model import Model
from botbottle_tui.core.overlay import Overlay, Picker
from botbottle_tui.core.styled import Line, line, wrapped
from botbottle_tui.core.text import clean, columns, fit
from botbottle_tui.view.rows import Rows, Segments, fixed


def dialog(model: Model, below: Any, room: int) -> Any:
    """The top overlay in a box over the panes; `room` is how many rows there are."""
    overlay = model.overlays[-1]
    pinned = list(head(model, overlay))
    if isinstance(overlay, Picker):
        content, wanted, heading = picker(model, overlay, room - 2 - len(pinned))
    else:
        content, wanted, heading = scrolled(model, overlay, room - 2 - len(pinned))
    parts: list[Any] = [(len(pinned), fixed(pinned, pad=1))] if pinned else []
    box = urwid.LineBox(urwid.Pile([*parts, content]), title=f" {heading} ", title_align="left", title_attr="bold")
    tall = min(room, wanted + len(pinned) + 2)
    return urwid.Overlay(box, below, "center", width(model) + 4, "middle", tall)


def scrolled(model: Model, overlay: Overlay, room: int) -> tuple[Any, int, str]:
    """Lines from where the overlay is scrolled to; the title tells which when not all are seen."""
    lines = body(model, overlay)
    start = getattr(overlay, "scroll", 0)
    heading = title(overlay)
    if len(lines) > room:
        heading += f" · {start + 1}-{min(start + room, len(lines))} of {len(lines)}"
    return fixed(lines, start=start, pad=1), max(1, len(lines)), heading


def picker(model: Model, overlay: Picker, room: int) -> tuple[Any, int, str]:
    """The rows that match, and of the one under the cursor all that its row cuts off, or why it cannot be chosen."""
    shown = items(model, overlay)
    cursor = picker_at(overlay, shown)
    reason: list[Line] = []
    names = max((columns(clean(i.key)) for i in shown[:200]), default=8)
    if cursor >= 0:
        at = shown[cursor]
        if at.blocked:
            reason = [line(f"! {at.blocked}", "bad"), *([line(f"fix: {at.fix}")] if at.fix else [])]
        elif min(names, width(model) // 2) + columns(clean(at.detail)) + 4 > width(model):
            reason = [line(at.detail, "dim")]
        reason = wrapped(reason, width(model))[: max(1, room // 2)]
    if shown:
        rows = Rows(
            len(shown),
            lambda i, w: picker_row(shown[i], i == cursor, min(names, w // 2)),
            start=None,
            cursor=cursor,
            pad=1,
        )
    else:
        rows = fixed([line(_empty(model, overlay), "dim")], pad=1)
    if not reason:
        return rows, max(1, len(shown)), title(overlay)
    return urwid.Pile([rows, (len(reason), fixed(reason, pad=1))]), len(shown) + len(reason), title(overlay)


def _empty(model: Model, overlay: Picker) -> str:
    if overlay.filter:
        return "nothing matches"
    loading = model.catalog is None if overlay.kind == "agent" else model.backends is None
    return "looking…" if loading else "there is nothing to choose"


def picker_row(item: Item, chosen: bool, names: int) -> Segments:
    """One row: its mark, its name, and a word on it."""
    name = fit(clean(item.key), names)
    if item.blocked:
        return (("", "> " if chosen else "  "), ("dim", f"{name}  "), ("bad", f"! {item.blocked}"))
    return (("", "> " if chosen else "  "), ("bold", f"{name}  "), ("", item.detail))
