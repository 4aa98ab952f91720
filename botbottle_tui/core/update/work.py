"""Getting the work out: what an agent changed, as a patch or applied to the operator's folder."""

from __future__ import annotations

from dataclasses import replace

from botbottle_tui.core.effect import Apply, Export, LoadChanges
from botbottle_tui.core.lists import selected
from botbottle_tui.core.model import Model, Step, ask, asked, note, push, say
from botbottle_tui.core.msg import Applied, ChangesLoaded, Exported
from botbottle_tui.core.overlay import ChangesView, Choice, Confirm
from botbottle_tui.core.text import files
from botbottle_tui.core.update.agents import stop_question


def look(model: Model) -> Step:
    """The view of the selected bottle's changes."""
    agent = selected(model)
    if agent is None:
        return model, ()
    model, effect = ask(model, LoadChanges(agent.slug))
    return push(model, ChangesView(agent.slug, effect.seq)), (effect,)


def changes_loaded(model: Model, msg: ChangesLoaded) -> Model:
    """The changes, for the view or the question that asked for them."""
    overlays = []
    for o in model.overlays:
        if isinstance(o, ChangesView) and o.seq == msg.seq:
            o = replace(o, changes=msg.changes)
        elif isinstance(o, Confirm) and o.seq == msg.seq and o.about:
            o = stop_question(model, o.about, o.seq, msg.changes)
        overlays.append(o)
    return replace(model, overlays=tuple(overlays))


def export(model: Model) -> Step:
    """The changes as a patch file."""
    view = model.overlays[-1]
    return asked(model, Export(view.slug)) if isinstance(view, ChangesView) else (model, ())


def exported(model: Model, msg: Exported) -> Model:
    """The patch is written: where, and nothing is unexported any more."""
    overlays = tuple(
        replace(o, changes=replace(o.changes, exported=True))
        if isinstance(o, ChangesView) and o.slug == msg.slug and o.changes
        else o
        for o in model.overlays
    )
    text = f"{msg.slug}: patch written to {msg.path}"
    return say(note(replace(model, overlays=overlays), text, msg.slug), text)


def ask_apply(model: Model) -> Model:
    """The question before the operator's folder is changed."""
    view = model.overlays[-1]
    if not isinstance(view, ChangesView) or view.changes is None:
        return model
    where = view.changes.note.removeprefix("against ").partition(" as it was copied")[0]
    lines = (f"{files(len(view.changes.files))} of {view.slug} will be changed, added or deleted in {where}.",)
    return push(
        model, Confirm("Apply the changes?", lines, (Choice("y", "apply", Apply(view.slug, view.changes.seen)),))
    )


def applied(model: Model, msg: Applied) -> Model:
    """What was done, in one line."""
    return say(note(model, msg.line, msg.slug), msg.line)
