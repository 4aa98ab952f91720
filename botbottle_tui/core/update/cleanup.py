"""Cleanup: the plan of what dead bottles left behind, and its removal after one yes."""

from __future__ import annotations

from dataclasses import replace

from backends.api import Fault
from botbottle_tui.core.effect import Enumerate, FindLeftovers, Sweep
from botbottle_tui.core.model import Model, Step, ask, asked, note, pop, push, say
from botbottle_tui.core.msg import LeftoversFound
from botbottle_tui.core.overlay import Cleanup
from botbottle_tui.core.update.failed import failure


def plan(model: Model) -> Step:
    """The view of the plan, looked for."""
    model, effect = ask(model, FindLeftovers())
    return push(model, Cleanup(effect.seq)), (effect,)


def found(model: Model, msg: LeftoversFound) -> Model:
    """The plan; one that nobody looks at any more is dropped."""
    overlays = tuple(
        replace(o, leftovers=msg.leftovers) if isinstance(o, Cleanup) and o.seq == msg.seq else o
        for o in model.overlays
    )
    return replace(model, overlays=overlays)


def sweep(model: Model) -> Step:
    """Exactly what was shown is removed."""
    view = model.overlays[-1]
    if not isinstance(view, Cleanup) or not view.dead:
        return model, ()
    text = f"removing {len(view.dead)} leftovers"
    return asked(say(pop(model), text), Sweep(view.dead))


def swept(model: Model, faults: tuple[Fault, ...]) -> Step:
    """Removed, or what could not be."""
    if not faults:
        model = say(note(model, "cleanup: done"), "cleanup: everything was removed")
    else:
        told = "\n".join(f"{f.source}: {f.message}{f' ({f.hint})' if f.hint else ''}" for f in faults)
        model = failure(model, "Not everything was removed", told, "c shows what is left")
    return asked(model, Enumerate())
