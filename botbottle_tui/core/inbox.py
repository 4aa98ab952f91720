"""What Proposals shows, derived from the model: its rows, which is selected, and each request in a few words."""

from __future__ import annotations

from dataclasses import replace

from backends.api import Waiting
from botbottle_tui.core.model import Model

FRESH = 5.0  # seconds for which a new row is marked as one

WORDS = {
    "egress-block": "route",
    "pipelock-block": "pipelock",
    "capability-block": "image",
    "ask-operator": "question",
    "dlp-ask": "held",
}


def waiting(model: Model) -> tuple[Waiting, ...]:
    """The rows, oldest first."""
    return model.proposals or ()


def at(model: Model) -> int:
    """The index of the selected row, -1 when there is none."""
    return next((i for i, w in enumerate(waiting(model)) if w.key == model.proposal), -1)


def chosen(model: Model) -> Waiting | None:
    """The selected row."""
    index = at(model)
    return waiting(model)[index] if index >= 0 else None


def targets(model: Model) -> tuple[Waiting, ...]:
    """The marked rows, or the selected one when none is marked."""
    marked = tuple(w for w in waiting(model) if w.key in model.marked)
    one = chosen(model)
    return marked or ((one,) if one else ())


def count(model: Model, slug: str) -> int:
    """How many of a bottle wait."""
    return sum(w.slug == slug for w in waiting(model))


def fresh(model: Model, one: Waiting) -> bool:
    """Whether the row is so new that it is marked as such."""
    return any(key == one.key and model.now - since < FRESH for key, since in model.arrived)


def settled(before: Model, after: Model) -> Model:
    """`after` with a row selected: the same one, or the one that took its place; marks of what is gone are gone."""
    keys = [w.key for w in waiting(after)]
    known = dict(before.arrived)
    # What waited before this dashboard came up is not new.
    since = 0.0 if before.proposals is None else after.now
    after = replace(
        after,
        marked=after.marked & frozenset(keys),
        arrived=tuple((key, known.get(key, since)) for key in keys),
    )
    if after.proposal in keys:
        return after
    if not keys:
        return replace(after, proposal=("", ""))
    return replace(after, proposal=keys[min(max(at(before), 0), len(keys) - 1)])
