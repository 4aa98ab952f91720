"""The pane Proposals: what waits for the operator, of all bottles, oldest first."""

from __future__ import annotations

from typing import Any

from backends.api import Waiting
from botbottle_tui.core.inbox import WORDS, at, fresh, waiting
from botbottle_tui.core.model import Model, Pane
from botbottle_tui.core.styled import line
from botbottle_tui.core.text import age, clean, columns, fit
from botbottle_tui.view.panes import titled
from botbottle_tui.view.rows import Rows, Segments, fixed
from sidecar_bundle.shared.proposal import what


def wanted(model: Model, room: int) -> int:
    """Rows of the pane with its title: as many as wait, within a share of the screen that is larger with the keys."""
    share = 45 if model.focus is Pane.PROPOSALS else 25
    return 1 + max(1, min(len(waiting(model)), room * share // 100))


def proposals(model: Model) -> Any:
    """The rows, or that there are none."""
    shown = waiting(model)
    title = f"Proposals ({len(shown)})"
    if model.marked:
        title += f" · {len(model.marked)} marked"
    if model.inbox_faults:
        title += f" ! {model.inbox_faults[0].source}: {model.inbox_faults[0].message}"
    if not shown:
        return titled(model, Pane.PROPOSALS, title, fixed([line("nothing waits", "dim")], pad=1))
    longest = max(columns(clean(w.slug)) for w in shown[:200])
    cursor = at(model)
    rows = Rows(
        len(shown),
        lambda i, w: row(model, shown[i], i == cursor, w, longest),
        start=None,
        cursor=cursor if model.focus is Pane.PROPOSALS else -1,
    )
    return titled(model, Pane.PROPOSALS, title, rows)


def row(model: Model, one: Waiting, chosen: bool, width: int, longest: int) -> Segments:
    """One proposal: marks, age, bottle, kind, and what it asks for."""
    new = fresh(model, one)
    marks = f"{'>' if chosen else ' '}{'#' if one.key in model.marked else ' '}{'+' if new else ' '} "
    lived = fit(age(model.now - one.proposal.created), 4)
    slug = fit(clean(one.slug), min(longest, max(12, width // 4)))
    kind = fit(WORDS[one.proposal.kind], 9)
    failed = (("bad", "! failed "),) if one.error else ()
    style = "warn" if new else ""
    return (
        ("", marks), ("dim", f"{lived} "), (style, f"{slug} "), ("bold", kind), *failed,
        (style, what(one.proposal.payload)[: 2 * width]),
    )  # fmt: skip
