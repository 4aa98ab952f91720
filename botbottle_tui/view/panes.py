"""The panes Agents and Activity."""

from __future__ import annotations

from typing import Any

import urwid

from backends.api import Agent, Audited
from botbottle_tui.core.effect import Enumerate
from botbottle_tui.core.health import services, trouble
from botbottle_tui.core.inbox import count
from botbottle_tui.core.lists import activity, fresh_home, row_note, rows, selected
from botbottle_tui.core.lists import at as row_at
from botbottle_tui.core.model import Model, Note, Pane, waiting_for
from botbottle_tui.core.styled import Line, line, wrapped
from botbottle_tui.core.text import age, clean, clock, columns, fit
from botbottle_tui.view.rows import Rows, Segments, fixed
from botbottle_tui.view.theme import STATE_STYLES
from sidecar_bundle.shared.activity import Activity

SLOW = 3.0  # seconds after which a poll that has not answered is mentioned
VERDICTS = {"allow": ("ok", "allowed"), "refuse": ("bad", "REFUSED"), "error": ("bad", "ERROR")}


def titled(model: Model, pane: Pane, title: str, body: urwid.Widget) -> Any:
    """A pane under its title; the one with the keys has a double rule."""
    focus = model.focus is pane and not model.overlays
    rule = "═" if focus else "─"

    def row(_: int, width: int) -> Segments:
        text = fit(f"{rule} {clean(title)} ", min(width, columns(clean(title)) + 3))
        return (("title focus" if focus else "title", text + rule * (width - columns(text))),)

    return urwid.Pile([(1, Rows(1, row)), body])


def agents(model: Model) -> Any:
    """The rows of Agents, or how to begin."""
    shown = rows(model)
    title = f"Agents ({len(shown)})"
    if model.filter or model.filtering:
        title = f"Agents ({len(shown)} match) /{model.filter}{'▏' if model.filtering else ''}"
    if model.faults:
        first, more = model.faults[0], len(model.faults) - 1
        title += f" ! {first.source}: {first.message}{f' (+{more})' if more else ''}"
    poll = waiting_for(model, Enumerate)
    if poll and model.now - poll.since > SLOW:
        title += f" · listing for {age(model.now - poll.since)}"
    if not shown:
        lines = wrapped(beginning(model), max(10, model.size[0] - 2), 3)
        return titled(model, Pane.AGENTS, title, fixed(lines, pad=1))
    longest = max((columns(clean(a.slug)) for a in shown[:200]), default=8)
    body = Rows(
        len(shown), lambda i, w: agent_row(model, shown[i], i, w, longest), start=None, cursor=row_at(model, shown)
    )
    return titled(model, Pane.AGENTS, title, body)


def beginning(model: Model) -> list[Line]:
    """What an empty list says."""
    if model.filter or model.filtering:
        return [line("nothing matches; Esc clears the filter", "dim")]
    if model.agents is None or model.catalog is None:
        return [line("looking…", "dim")]
    if fresh_home(model):
        return [
            line(f"There are no agents in {model.options.home} yet.", "bold"),
            (("key", "i"), ("", "  writes example bottles and agents there;")),
            (("key", "n"), ("", "  then starts one in a sandbox: n, Enter, Enter.")),
            (("key", "?"), ("", "  shows all keys.")),
        ]
    return [(("", "Nothing runs. "), ("key", "n"), ("", " starts an agent, "), ("key", "?"), ("", " shows all keys."))]


def agent_row(model: Model, agent: Agent, index: int, width: int, longest: int) -> Segments:
    """One bottle: its marks, state, slug, age, and what is to be said of it."""
    chosen = agent.slug == model.selected
    marks = f"{'>' if chosen else ' '}{'*' if agent.slug == model.shown else ' '}{index + 1 if index < 9 else ' '} "
    slug = fit(clean(agent.slug), min(longest, max(12, width // 3)))
    lived = fit(age(model.now - agent.started), 4)
    if said := row_note(model, agent):
        rest = said
    else:
        name = fit(clean(agent.name), 14) if width >= 76 else clean(agent.name)
        rest = f"{name} {agent.backend}"
        if width >= 76 and (daemons := services(agent)):
            rest += f"  {daemons}"
    if bad := trouble(agent):
        # Where there is little room, the reason before the names.
        rest = f"{services(agent)} ! {bad}" if width >= 76 else f"! {bad}"
    if waits := count(model, agent.slug):
        rest = f"[{waits} waiting] {rest}"
    style = STATE_STYLES[agent.state]
    bold = "bold" if agent.slug == model.shown else ""
    return (("", marks), (style, fit(agent.state, 9)), (bold, f"{slug} "), ("dim", f"{lived} "), ("", rest))


def activity_title(model: Model) -> str:
    """Whose activity, how far back, and what is wrong with it."""
    title = f"Activity of {model.selected}" if model.selected else "Activity"
    if model.activity_back:
        title += f" · {model.activity_back} back, G: newest"
    return title + "".join(f" ! {text}" for text in faults(model))


def faults(model: Model) -> list[str]:
    """What is wrong with the selected bottle and its Activity."""
    agent = selected(model)
    found = [trouble(agent)] if agent else []
    if agent and agent.state in ("error", "lost", "foreign"):
        found.append(row_note(model, agent))
    return [text for text in (*found, model.activity_fault) if text]


class ActivityLines(urwid.Widget):
    """The newest lines at the bottom, wrapped; older ones as far as there is room."""

    _sizing = frozenset([urwid.Sizing.BOX])
    _selectable = False

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def render(self, size: tuple[int, int], focus: bool = False) -> Any:  # type: ignore[override]
        width, height = size
        pinned: list[Line] = []
        if columns(clean(activity_title(self.model))) + 3 > width:  # the title cuts it off
            pinned = wrapped([line(f"! {text}", "bad") for text in faults(self.model)], max(10, width - 2))
            pinned = pinned[: max(0, height - 1)]
        if not pinned:
            return self._lines((width, height))
        rest = self._lines((width, height - len(pinned)))
        above = fixed(pinned, pad=1).render((width, len(pinned)))
        return urwid.CanvasCombine([(above, None, False), (rest, None, False)])

    def _lines(self, size: tuple[int, int]) -> Any:
        width, height = size
        entries = activity(self.model)
        end = max(min(1, len(entries)), len(entries) - self.model.activity_back)
        out: list[Line] = []
        for entry in reversed(entries[max(0, end - height) : end]):
            out = wrapped([activity_line(entry, self.model.options.utc_offset)], max(10, width - 2), 9) + out
            if len(out) >= height:
                break
        if not entries:
            text = "no requests yet" if self.model.selected else "what a bottle asks for shows here"
            return fixed([line(text, "dim")], pad=1).render(size)
        return fixed(out[-height:], pad=1, bottom=len(out) >= height).render(size)


def activity_line(entry: Activity | Audited | Note, utc_offset: int) -> Line:
    """One line: when, what was decided, about what, and why."""
    when = clock(entry.time, utc_offset)
    if isinstance(entry, Note):
        return (("dim", f"{when} "), ("bad" if entry.error else "dim", f"{'! ' if entry.error else '- '}{entry.text}"))
    if isinstance(entry, Audited):
        return (("dim", f"{when} "), ("bold", clean(f"= {entry.text}")))
    style, word = VERDICTS[entry.verdict]
    where = entry.target if entry.host in entry.target else f"{entry.host}{entry.target}"
    status = f" {entry.status}" if entry.status and entry.verdict == "allow" else ""
    reason = f"  {entry.reason}" if entry.reason else ""
    text = clean(f" {entry.method} {where}{status}{reason}")
    verdict: Line = (("ok" if style == "ok" else "bad", word),)
    return (("dim", f"{when} "), *verdict, ("", text))


def activity_pane(model: Model) -> Any:
    """What the selected bottle asked for, as it happens."""
    return titled(model, Pane.ACTIVITY, activity_title(model), ActivityLines(model))
