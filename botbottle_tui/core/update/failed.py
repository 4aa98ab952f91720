"""Effects that failed: each to the place where the operator looks for it, nothing lost, nothing said twice."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from backends.api import BackendInfo, Check, Fault
from botbottle_tui.core import effect as e
from botbottle_tui.core.lists import reselect
from botbottle_tui.core.model import Model, Step, asked, note, say
from botbottle_tui.core.msg import Failed
from botbottle_tui.core.overlay import Batch, ChangesView, Cleanup, Confirm, Failure, Lasting, Preflight, Review
from botbottle_tui.core.update import home
from botbottle_tui.core.update.agents import faulty, stop_question
from manifests.catalog import Broken, Catalog, ManifestError


def failure(model: Model, title: str, message: str, hint: str = "") -> Model:
    """An error that stays until a key: on top, or below what the operator is busy with, and in Activity."""
    # below, because the next key is meant for the dialog that is open and must not dismiss an error unseen
    model = note(model, f"{title}: {message}", error=True)
    if model.overlays:
        model = say(model, f"{title}: {message}", error=True)
    return replace(model, overlays=(Failure(title, message, hint), *model.overlays))


Waits = type[ChangesView | Cleanup] | tuple[type[Review], type[Lasting], type[Batch]]


def _instead(model: Model, seq: int, kind: Waits, title: str, msg: Failed) -> Model:
    """The failure in place of the overlay that waited for the answer; if that was left, nobody needs it."""
    overlays = tuple(
        Failure(title, msg.message, msg.hint) if isinstance(o, kind) and o.seq == seq else o for o in model.overlays
    )
    return replace(model, overlays=overlays)


def failed(model: Model, msg: Failed) -> Step:
    """An effect that failed; what it had begun is undone already."""
    effect = msg.effect
    match effect:
        case e.Launch():
            slug = effect.plan.slug
            after = replace(model, launches=tuple(x for x in model.launches if x.slug != slug))
            title = f"{effect.plan.agent} did not start"
            return reselect(model, failure(after, title, msg.message, msg.hint)), ()
        case e.Stop(slug=slug):
            return failure(model, f"{slug} was not stopped", msg.message, msg.hint), ()
        case e.Prepare():
            why = msg.message + (f" ({msg.hint})" if msg.hint else "")
            overlays = tuple(
                replace(o, error=why) if isinstance(o, Preflight) and o.seq == msg.seq else o for o in model.overlays
            )
            return replace(model, overlays=overlays), ()
        case e.LoadChanges(slug=slug):
            overlays = tuple(
                stop_question(model, slug, o.seq, None, msg.message)
                if isinstance(o, Confirm) and o.about and o.seq == msg.seq
                else o
                for o in model.overlays
            )
            model = replace(model, overlays=overlays)
            return _instead(model, msg.seq, ChangesView, f"No changes of {slug}", msg), ()
        case e.FindLeftovers():
            return _instead(model, msg.seq, Cleanup, "No cleanup plan", msg), ()
        case e.Export(slug=slug):
            return failure(model, f"The patch of {slug} was not written", msg.message, msg.hint), ()
        case e.Apply(slug=slug):
            return failure(model, f"The changes of {slug} were not applied", msg.message, msg.hint), ()
        case e.Sweep():
            return failure(model, "Cleanup failed", msg.message, msg.hint), ()
        case e.InitHome():
            return failure(model, "The examples were not written", msg.message, msg.hint), ()
        case e.Foreground(slug=slug):
            return failure(model, f"{slug} was not opened", msg.message, msg.hint), ()
        case e.OpenPane(slug=slug):
            return _without_pane(model, slug, effect.focus, msg)
        case e.ClosePane() | e.CheckPane():
            return replace(model, shown=""), ()
        case e.Enumerate():
            if msg.seq <= model.fence:
                return model, ()
            return faulty(model, (Fault("bottles", msg.message, msg.hint),)), ()
        case e.ReadActivity():
            if msg.message != model.activity_fault:
                model = note(replace(model, activity_fault=msg.message), f"activity: {msg.message}", error=True)
            return model, ()
        case e.LoadCatalog():
            error = ManifestError(model.options.home, 0, "", msg.message)
            return home.catalog_loaded(model, Catalog(broken=(Broken("(manifests)", "agent", error),)))
        case e.LoadBackends():
            return home.backends_loaded(
                model, (BackendInfo("(backends)", Check("backends", False, msg.message, msg.hint), ""),)
            )
        case e.LoadLast():
            return home.settle(replace(model, last_loaded=True))
        case e.Suggest():
            return home.settle(replace(model, suggested=""))
        case e.WatchProposals():
            if any(f.message == msg.message for f in model.inbox_faults):
                return model, ()
            fault = Fault("proposals", msg.message, msg.hint)
            return note(replace(model, inbox_faults=(fault,)), f"proposals: {msg.message}", error=True), ()
        case e.LoadPreviews():
            return _instead(model, msg.seq, (Review, Lasting, Batch), "It cannot be looked at", msg), ()
        case e.Decide():
            return failure(model, "Not decided, still waiting", msg.message, msg.hint), ()
        case e.EditRequest() | e.EditRules():
            return failure(model, "Nothing was edited", msg.message, msg.hint), ()
        case e.ChangeRules(slug=slug):
            return failure(model, f"The rules of {slug} were not changed", msg.message, msg.hint), ()
        case e.Supply(slug=slug):
            text = f"{slug} needs credentials: {msg.message}" + (f" ({msg.hint})" if msg.hint else "")
            return say(note(model, text, error=True), text, error=True), ()
        case e.Warm() | e.Quit() | e.WatchBottles():
            return model, ()
        case _:
            assert_never(effect)


def _without_pane(model: Model, slug: str, focus: bool, msg: Failed) -> Step:
    text = f"no pane for {slug}: {msg.message}"
    model = say(note(model, text, slug, error=True), text, error=True)
    # asked for by a key and nothing else open: this terminal is the next best place
    return asked(model, e.Foreground(slug)) if focus and not model.overlays else (model, ())
