"""Rules of a running bottle: edited in the operator's editor, shown as a diff, changed after a yes."""

from __future__ import annotations

from botbottle_tui.core.effect import ChangeRules, EditRules, Supply, What
from botbottle_tui.core.model import Model, Step, asked, note, pop, push, say
from botbottle_tui.core.msg import RulesChanged, RulesEdited, Supplied
from botbottle_tui.core.overlay import Rules


def edit(model: Model, what: What) -> Step:
    """The selected bottle's rules in the editor."""
    return asked(model, EditRules(model.selected, what))


def edited(model: Model, msg: RulesEdited) -> Model:
    """The difference, to be agreed to."""
    if not msg.preview.diff and not msg.preview.refused:
        return say(model, f"{msg.slug}: nothing was changed")
    return push(model, Rules(msg.slug, msg.what, msg.preview))


def edit_again(model: Model) -> Step:
    """Back into the editor with what was written there."""
    view = model.overlays[-1]
    if not isinstance(view, Rules):
        return model, ()
    return asked(pop(model), EditRules(view.slug, view.what, view.preview.text))


def change(model: Model) -> Step:
    """Agreed to."""
    view = model.overlays[-1]
    if not isinstance(view, Rules):
        return model, ()
    return asked(pop(model), ChangeRules(view.slug, view.what, view.preview.text, view.preview.seen))


def changed(model: Model, msg: RulesChanged) -> Model:
    """They hold; Activity reads it from the audit."""
    return say(model, msg.line)


def supply(model: Model, slug: str) -> Step:
    """The bottle's credentials once more, when its bundle has lost them."""
    return asked(model, Supply(slug))


def supplied(model: Model, msg: Supplied) -> Model:
    """It has them."""
    return note(model, f"{msg.slug}: its credentials were given again", msg.slug)
