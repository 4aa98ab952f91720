"""An effect to a call of the world, and to exactly one final message."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

from backends.api import BackendError, LaunchSpec, Preview
from botbottle_tui.core import effect as e
from botbottle_tui.core import msg as m
from botbottle_tui.shell.world import World

log = logging.getLogger(__name__)

WATCH = 5.0  # seconds after which a watch answers even though nothing happened


class Panes(Protocol):
    """The pane beside the dashboard. Methods block for milliseconds and raise `BackendError`."""

    def shown(self) -> str:
        """The bottle that it shows, "" when there is no such pane."""
        ...

    def show(self, slug: str, argv: Sequence[str], *, focus: bool) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Seams:
    """Where effects go. `hand_over` gives the terminal to an argv and blocks until its exit status is known.

    `edit` gives it to the operator's editor with a text (and the end of its file's name), and answers what was saved.
    """

    world: World
    panes: Panes
    hand_over: Callable[[Sequence[str]], int]
    edit: Callable[[str, str], str]


def perform(effect: e.Effect, seams: Seams, post: Callable[[m.Msg], None]) -> m.Final:
    """The effect's final message; whatever goes wrong is a `Failed`, never an exception."""
    try:
        return _perform(effect, seams, post)
    except BackendError as error:
        return m.Failed(effect.seq, effect, error.message, error.hint)
    except Exception as error:
        log.exception("%s failed", type(effect).__name__)
        first = (str(error).splitlines() or [""])[0]
        text = f"unexpected {type(error).__name__}{f': {first}' if first else ''}"
        return m.Failed(effect.seq, effect, text, "logs/dashboard.log tells more")


def _perform(effect: e.Effect, seams: Seams, post: Callable[[m.Msg], None]) -> m.Final:
    world, seq = seams.world, effect.seq
    match effect:
        case e.LoadCatalog(cwd=cwd):
            return m.CatalogLoaded(seq, world.catalog(cwd))
        case e.LoadBackends():
            return m.BackendsLoaded(seq, world.backends())
        case e.LoadLast():
            return m.LastLoaded(seq, world.last_spec())
        case e.InitHome():
            return m.HomeInitialised(seq, world.init_home())
        case e.Warm():
            world.warm()
            return m.Warmed(seq)
        case e.Enumerate():
            agents, faults = world.enumerate()
            return m.Enumerated(seq, agents, faults)
        case e.WatchBottles(backend=backend):
            return m.BottlesWatched(seq, world.watch(backend, WATCH))
        case e.ReadActivity(slug=slug, limit=limit):
            return m.ActivityRead(seq, slug, world.activity(slug, limit))
        case e.Suggest(specs=specs):
            return m.Suggested(seq, next((s.agent for s in specs if _can_start(world, s)), ""))
        case e.Prepare(spec=spec):
            return m.SpecPrepared(seq, world.prepare(replace(spec, cwd=spec.cwd.expanduser())))
        case e.Launch(plan=plan, spec=spec, answers=answers):
            values = world.host_values(plan, dict(answers))
            agent = world.launch(plan, values, lambda line: post(m.Progressed(plan.slug, line)))
            return m.Launched(seq, agent, spec)
        case e.Stop(slug=slug, drop_changes=drop):
            return m.Stopped(seq, slug, world.stop(slug, drop_changes=drop))
        case e.LoadChanges(slug=slug):
            return m.ChangesLoaded(seq, world.changes(slug))
        case e.Export(slug=slug):
            return m.Exported(seq, slug, world.export(slug))
        case e.Apply(slug=slug, seen=seen):
            return m.Applied(seq, slug, world.apply(slug, seen))
        case e.FindLeftovers():
            return m.LeftoversFound(seq, world.leftovers())
        case e.Sweep(leftovers=leftovers):
            return m.Swept(seq, world.sweep(leftovers))
        case e.CheckPane():
            return m.PaneShown(seq, seams.panes.shown())
        case e.OpenPane(slug=slug, focus=focus):
            seams.panes.show(slug, world.attach_argv(slug, pane=True), focus=focus)
            return m.PaneShown(seq, slug)
        case e.ClosePane():
            seams.panes.close()
            return m.PaneShown(seq, "")
        case e.Foreground(slug=slug):
            return m.ForegroundEnded(seq, slug, seams.hand_over(world.attach_argv(slug, pane=False)))
        case e.WatchProposals(seen=seen):
            return m.ProposalsSeen(seq, *world.desk.watch(seen, WATCH))
        case e.LoadPreviews(targets=targets, text=text, lasting=lasting):
            look = world.desk.preview_lasting if lasting else world.desk.preview
            if len(targets) == 1:
                return m.PreviewsLoaded(seq, (look(*targets[0], text),))
            return m.PreviewsLoaded(seq, tuple(_looked(look, *target) for target in targets))
        case e.EditRequest(slug=slug, id=ident, text=text):
            text = seams.edit(text, ".json" if text.startswith("#") else ".Dockerfile")
            return m.RequestEdited(seq, slug, ident, world.desk.preview(slug, ident, text))
        case e.Decide(decisions=decisions):
            return m.Decided(seq, *world.desk.decide(decisions, lambda line: post(m.Progressed("", line))))
        case e.EditRules(slug=slug, what=what, text=text):
            text = seams.edit(text or world.desk.rules(slug, what).text, ".json")
            return m.RulesEdited(seq, slug, what, world.desk.preview_rules(slug, what, text))
        case e.ChangeRules(slug=slug, what=what, text=text, seen=seen):
            return m.RulesChanged(seq, slug, world.desk.change_rules(slug, what, text, seen))
        case e.Supply(slug=slug):
            world.supply(slug)
            return m.Supplied(seq, slug)
        case e.Quit():
            return m.Ended(seq)
        case _:
            assert_never(effect)


def _looked(look: Callable[[str, str], Preview], slug: str, ident: str) -> Preview:
    """As one of several: what cannot be looked at does not keep the others from it."""
    try:
        return look(slug, ident)
    except BackendError as error:
        return Preview(refused=error.message)


def _can_start(world: World, spec: LaunchSpec) -> bool:
    try:
        return world.prepare(spec).ok
    except BackendError:
        return False
