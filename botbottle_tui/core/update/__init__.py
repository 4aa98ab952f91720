"""The program as a pure function: a model and what happened, to the next model and what to ask of the world."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from botbottle_tui.core import msg as m
from botbottle_tui.core.effect import CheckPane, Enumerate, LoadBackends, LoadCatalog, LoadLast, Warm, WatchProposals
from botbottle_tui.core.model import DashOptions, Model, Step, asked, waiting_for
from botbottle_tui.core.update import agents, cleanup, failed, home, inbox, keys, launch, rules, work

SQUEEZED = 40  # columns; below it the pane beside is asked to make room


def start(options: DashOptions, now: float, size: tuple[int, int]) -> Step:
    """The first model, and what to ask first."""
    model = Model(options=options, now=now, size=size)
    model, effects = asked(
        model, LoadCatalog(options.cwd), LoadBackends(), LoadLast(), Enumerate(), WatchProposals(), Warm()
    )
    if options.tmux:
        model, pane = asked(model, CheckPane())
        effects += pane
    return model, effects


def update(model: Model, msg: m.Msg) -> Step:
    """One message further."""
    match msg:
        case m.KeyPressed(key):
            return keys.pressed(model, key)
        case m.Resized(cols, rows):
            model = keys.clamped(replace(model, size=(cols, rows)))
            squeezed = model.options.tmux and model.shown and cols < SQUEEZED and not waiting_for(model, CheckPane)
            return asked(model, CheckPane()) if squeezed else (model, ())
        case m.Ticked(now):
            return agents.ticked(replace(model, now=now, ticks=model.ticks + 1))
        case m.Progressed(slug, line):
            return launch.progressed(model, slug, line), ()
        case _:
            return answered(replace(model, in_flight=tuple(f for f in model.in_flight if f.effect.seq != msg.seq)), msg)


def answered(model: Model, msg: m.Final) -> Step:
    """The final message of an effect, which is no longer in flight."""
    match msg:
        case m.CatalogLoaded(_, catalog):
            return home.catalog_loaded(model, catalog)
        case m.BackendsLoaded(_, backends):
            return home.backends_loaded(model, backends)
        case m.LastLoaded(_, spec):
            return home.settle(replace(model, last=spec or model.last, last_loaded=True))
        case m.Suggested(_, agent):
            return home.settle(replace(model, suggested=agent))
        case m.HomeInitialised(_, paths):
            return home.initialised(model, paths)
        case m.Enumerated():
            return agents.enumerated(model, msg)
        case m.BottlesWatched(_, moved):
            return agents.watched(model, moved)
        case m.ActivityRead():
            return agents.activity_read(model, msg), ()
        case m.SpecPrepared():
            return launch.prepared(model, msg), ()
        case m.Launched():
            return launch.launched(model, msg)
        case m.Stopped():
            return agents.stopped(model, msg)
        case m.ChangesLoaded():
            return keys.clamped(work.changes_loaded(model, msg)), ()
        case m.Exported():
            return work.exported(model, msg), ()
        case m.Applied():
            return work.applied(model, msg), ()
        case m.LeftoversFound():
            return cleanup.found(model, msg), ()
        case m.Swept(_, faults):
            return cleanup.swept(model, faults)
        case m.PaneShown(_, slug):
            return replace(model, shown=slug), ()
        case m.ForegroundEnded(_, slug, status):
            return agents.back(model, slug, status)
        case m.ProposalsSeen():
            return inbox.seen(model, msg)
        case m.PreviewsLoaded():
            return keys.clamped(inbox.previews(model, msg)), ()
        case m.RequestEdited():
            return keys.clamped(inbox.edited(model, msg)), ()
        case m.Decided():
            return inbox.decided(model, msg), ()
        case m.RulesEdited():
            return rules.edited(model, msg), ()
        case m.RulesChanged():
            return rules.changed(model, msg), ()
        case m.Supplied():
            return rules.supplied(model, msg), ()
        case m.Failed():
            return failed.failed(model, msg)
        case m.Warmed() | m.Superseded() | m.Ended():
            return model, ()
        case _:
            assert_never(msg)
