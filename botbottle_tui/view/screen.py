"""The whole screen: a model to widgets that remember nothing."""

from __future__ import annotations

from typing import Any

import urwid

from botbottle_tui.core.body import hint
from botbottle_tui.core.effect import (
    CheckPane,
    Enumerate,
    Launch,
    ReadActivity,
    Warm,
    WatchBottles,
    WatchProposals,
    label,
)
from botbottle_tui.core.model import SMALLEST, Model
from botbottle_tui.core.styled import Line, line, wrapped
from botbottle_tui.core.text import age
from botbottle_tui.view.dialogs import dialog
from botbottle_tui.view.panes import activity_pane, agents
from botbottle_tui.view.proposals import proposals, wanted
from botbottle_tui.view.rows import Rows, fixed

WIDE = 120  # columns from which Activity stands beside the lists
# Said elsewhere, or not worth a word.
QUIET = (Enumerate, ReadActivity, CheckPane, Warm, Launch, WatchBottles, WatchProposals)
SLOW = 1.0
MOST_STATUS = 4


def screen(model: Model) -> Any:
    """A box widget for exactly `model.size`."""
    cols, rows = model.size
    if cols < SMALLEST[0] or rows < SMALLEST[1]:
        return fixed(wrapped([line("too small: make room, or q quits")], max(1, cols)))
    told = status(model)
    room = max(3, rows - 1 - len(told))
    below = panes(model, room)
    body = dialog(model, below, room) if model.overlays else below
    style = "" if model.toast is None else "error" if model.toast.error else "toast"
    foot = Rows(1, lambda _, w: (("dim", hint(model, w)),))
    return urwid.Pile([(room, body), (len(told), urwid.AttrMap(fixed(told), style)), (1, foot)])


def panes(model: Model, room: int) -> Any:
    """Stacked, or on a wide screen with Activity beside the lists."""
    cols = model.size[0]
    if cols >= WIDE:
        lists = urwid.Pile([agents(model), (wanted(model, room), proposals(model))])
        return urwid.Columns([("weight", 1, lists), (1, urwid.SolidFill("│")), ("weight", 1, activity_pane(model))])
    inbox = wanted(model, room)
    top = max(5, (room - inbox) * 55 // 100)
    return urwid.Pile([(top, agents(model)), (inbox, proposals(model)), activity_pane(model)])


def status(model: Model) -> list[Line]:
    """The toast, else what is under way for more than a moment, else an empty line."""
    cols = max(10, model.size[0])
    if model.toast is not None:
        mark = "! " if model.toast.error else ""
        return wrapped([line(mark + model.toast.text)], cols)[: max(MOST_STATUS, model.size[1] // 3)]
    slow = [f for f in model.in_flight if model.now - f.since >= SLOW and not isinstance(f.effect, QUIET)]
    text = ", ".join(f"{label(f.effect)} ({age(model.now - f.since)}) {f.line}".rstrip() for f in slow)
    return wrapped([line(text, "dim")], cols)[:1]
