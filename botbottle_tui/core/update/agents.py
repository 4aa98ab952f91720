"""Live bottles: the poll, Activity, opening, stopping."""

from __future__ import annotations

from dataclasses import replace

from backends.api import Agent, Capability, Changes, Fault
from botbottle_tui.core.effect import (
    CheckPane,
    ClosePane,
    Effect,
    Enumerate,
    Foreground,
    LoadChanges,
    OpenPane,
    ReadActivity,
    Stop,
    Supply,
    WatchBottles,
    WatchProposals,
)
from botbottle_tui.core.health import news, wants_credentials
from botbottle_tui.core.lists import activity, reselect, rows, selected
from botbottle_tui.core.model import Model, Step, ask, asked, note, push, say, waiting_for
from botbottle_tui.core.msg import ActivityRead, Enumerated, Stopped
from botbottle_tui.core.overlay import Choice, Confirm
from botbottle_tui.core.text import files

ACTIVITY_LINES = 500


def ticked(model: Model) -> Step:
    """Asks again what may have changed, but never for what has not answered yet."""
    effects: list[Effect] = []
    agent = selected(model)
    starting = any(x.slug == model.selected for x in model.launches)
    if agent and not starting and not waiting_for(model, ReadActivity, slug=agent.slug):
        effects.append(ReadActivity(agent.slug, ACTIVITY_LINES))
    if not waiting_for(model, WatchProposals):
        effects.append(WatchProposals(model.mark))
    effects += [WatchBottles(name) for name in _to_watch(model)]
    if model.ticks % 2 == 0:
        if not waiting_for(model, Enumerate):
            effects.append(Enumerate())
        if model.options.tmux and not waiting_for(model, CheckPane, OpenPane, ClosePane):
            effects.append(CheckPane())
    return asked(model, *effects)


def _to_watch(model: Model) -> list[str]:
    """Backends that tell of events, have a bottle, and are not watched just now."""
    used = {a.backend for a in model.agents or ()}
    used -= {f.effect.backend for f in model.in_flight if isinstance(f.effect, WatchBottles)}
    return [b.name for b in model.backends or () if Capability.WATCH in b.capabilities and b.name in used]


def enumerated(model: Model, msg: Enumerated) -> Step:
    """The bottles that live now; an answer older than what is known is dropped."""
    if msg.seq <= model.fence:
        return model, ()
    before = {a.slug: a for a in model.agents or ()}
    wanting: list[Supply] = []
    agents = tuple(sorted(msg.agents, key=lambda a: (a.started, a.slug)))
    after = faulty(replace(model, agents=agents, fence=msg.seq), msg.faults)
    for agent in agents:
        # What ends on the operator's order is no news.
        was = None if waiting_for(model, Stop, slug=agent.slug) else before.get(agent.slug)
        if was and was.state != agent.state and agent.state in ("done", "error", "lost"):
            why = f": {agent.detail}" if agent.detail else ""
            after = note(after, f"{agent.state}{why}", agent.slug, error=agent.state != "done")
        for text, bad in news(was, agent) if was else ():
            after = note(after, text, error=bad)
        # Once for each time that it loses them, and not at first sight: a launch is just about to give them.
        if was and wants_credentials(was) and wants_credentials(agent) and agent.slug not in model.supplied:
            wanting.append(Supply(agent.slug))
    wants = {a.slug for a in agents if wants_credentials(a)}
    supplied = (model.supplied & wants) | {e.slug for e in wanting}
    return asked(reselect(model, replace(after, supplied=supplied)), *wanting)


def watched(model: Model, moved: bool) -> Step:
    """A bottle started or ended: the rows at once, and not at the next poll."""
    return asked(model, Enumerate()) if moved else (model, ())


def faulty(model: Model, faults: tuple[Fault, ...]) -> Model:
    """What went wrong with a poll: said when it is new, and when it is over."""
    if faults == model.faults:
        return model
    after = replace(model, faults=faults)
    for fault in faults:
        if fault not in model.faults:
            text = f"{fault.source}: {fault.message}" + (f" ({fault.hint})" if fault.hint else "")
            after = say(note(after, text, error=True), text, error=True)
    gone = {f.source for f in model.faults} - {f.source for f in faults}
    # A backend without bottles was not asked, so nobody knows.
    silent = {b.name for b in model.backends or ()} - {a.backend for a in model.agents or ()}
    for source in sorted(gone - silent):
        after = note(after, f"{source}: answers again")
    return after


def activity_read(model: Model, msg: ActivityRead) -> Model:
    """The lines of the selected bottle; scrolled back, the same lines stay in sight."""
    if msg.slug != model.selected:
        return model
    before = len(activity(model))
    after = replace(model, activity=msg.lines, activity_of=msg.slug, activity_fault="")
    if model.activity_back and model.activity_of == msg.slug:
        now = len(activity(after))
        after = replace(after, activity_back=max(0, min(model.activity_back + now - before, now - 1)))
    return after


def open_bottle(model: Model, slug: str) -> Step:
    """In the pane beside the dashboard, or in this terminal."""
    return asked(model, OpenPane(slug) if model.options.tmux else Foreground(slug))


def back(model: Model, slug: str, status: int) -> Step:
    """The terminal is the dashboard's again."""
    ended = f"{slug}: ended with status {status}" if status else f"{slug}: back in the dashboard"
    if status or model.toast is None:  # else it tells of what came meanwhile
        model = say(model, ended, error=bool(status))
    return asked(model, *(() if waiting_for(model, Enumerate) else (Enumerate(),)))


def ask_stop(model: Model) -> Step:
    """The question before a stop, and a look at what would be lost."""
    agent = selected(model)
    if agent is None:
        return model, ()
    if agent.state == "foreign":
        return push(model, stop_question(model, agent.slug, 0, None, "it has no record here")), ()
    model, effect = ask(model, LoadChanges(agent.slug))
    return push(model, stop_question(model, agent.slug, effect.seq, None)), (effect,)


def stop_question(model: Model, slug: str, seq: int, changes: Changes | None, unknown: str = "") -> Confirm:
    """The question with the answers that make sense: nothing unexported is dropped without saying so."""
    keep, drop = Stop(slug), Stop(slug, drop_changes=True)
    gone = any(a.slug == slug and a.state == "lost" for a in model.agents or ())
    ends = f"{slug} is gone; what is left of it is cleared away." if gone else f"The agent in {slug} ends."
    if changes is None:
        about = f"Its changes are not known: {unknown}." if unknown else "Looking at what it changed…"
        choices = (
            Choice("y", "stop; changes, if any, are kept as a patch", keep),
            Choice("d", "stop and drop the changes, if any", drop),
        )
        return Confirm(f"Stop {slug}?", (ends, about), choices, slug, seq)
    if not changes.files or changes.exported:
        done = "Its changes were brought out." if changes.files else "It changed nothing."
        about = done if changes.compared else f"No copy: {changes.note}."
        return Confirm(f"Stop {slug}?", (ends, about), (Choice("y", "stop", keep),), slug, seq)
    about = f"{files(len(changes.files))} changed and not exported."
    choices = (
        Choice("k", "keep the changes as a patch, then stop", keep),
        Choice("d", "drop the changes, then stop", drop),
    )
    return Confirm(f"Stop {slug}?", (ends, about), choices, slug, seq)


def stop(model: Model, effect: Stop) -> Step:
    """The stop asked for; a pane that shows the bottle turns to the next one first, so that it never shows a corpse."""
    if model.shown != effect.slug:
        return asked(model, effect)
    follower = _next_to_show(model, effect.slug)
    return asked(model, effect, OpenPane(follower.slug, focus=False) if follower else ClosePane())


def _next_to_show(model: Model, slug: str) -> Agent | None:
    shown = rows(replace(model, filter=""))
    index = next((i for i, a in enumerate(shown) if a.slug == slug), 0)
    order = (*shown[index + 1 :], *reversed(shown[:index]))
    busy = {x.slug for x in model.launches}
    return next((a for a in order if a.state in ("running", "done", "error") and a.slug not in busy), None)


def stopped(model: Model, msg: Stopped) -> Step:
    """It is gone; an enumeration asked before knows it still, so it is stale."""
    after = replace(model, agents=tuple(a for a in model.agents or () if a.slug != msg.slug), fence=model.seq)
    kept = f"; its changes are kept in {msg.kept}" if msg.kept else ""
    text = f"{msg.slug}: stopped{kept}"
    return asked(reselect(model, say(note(after, text), text)), Enumerate())
