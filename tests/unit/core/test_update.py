"""The pure program: messages to models and effects, compared as values."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from backends.api import Agent, Capability, Fault, LaunchSpec
from botbottle_tui.core import effect as e
from botbottle_tui.core import msg as m
from botbottle_tui.core.model import DashOptions, InFlight, Launching, Model, Toast
from botbottle_tui.core.overlay import Preflight, Prompt
from botbottle_tui.core.update import start, update
from tests.fake_world import BUBBLEWRAP, CWD, HOME, NOW, catalog, plan

OPTIONS = DashOptions(cwd=CWD, home=HOME)
A = Agent("a-1", "builder", "bubblewrap", "running", NOW - 9)
B = Agent("b-2", "builder", "bubblewrap", "running", NOW - 5)
SPEC = LaunchSpec("builder", "bubblewrap", CWD)
PLAN = plan(SPEC, "c-3")
WATCHING = InFlight(e.WatchProposals("", 9), NOW)


def model(**more: object) -> Model:
    known = {"catalog": catalog(), "backends": (BUBBLEWRAP,), "last": SPEC, "last_loaded": True, "agents": (A, B)}
    return replace(Model(OPTIONS, NOW, selected="a-1"), **{**known, **more})  # type: ignore[arg-type]


def test_start_asks_for_everything_once() -> None:
    first, effects = start(OPTIONS, NOW, (80, 24))
    assert effects == (
        e.LoadCatalog(CWD, 1),
        e.LoadBackends(2),
        e.LoadLast(3),
        e.Enumerate(4),
        e.WatchProposals("", 5),
        e.Warm(6),
    )
    assert first.in_flight == tuple(InFlight(x, NOW) for x in effects)


def test_an_answer_ends_the_wait() -> None:
    before = model(seq=4, in_flight=(InFlight(e.Enumerate(4), NOW),))
    after, effects = update(before, m.Enumerated(4, (B, A), ()))
    assert (after, effects) == (replace(before, fence=4, in_flight=()), ())


WATCHES = replace(BUBBLEWRAP, name="docker", capabilities=frozenset({Capability.WATCH}))


def test_a_backend_that_tells_of_events_is_watched_while_it_has_a_bottle() -> None:
    idle = model(backends=(BUBBLEWRAP, WATCHES), in_flight=(WATCHING,), ticks=1)
    assert not [x for x in update(idle, m.Ticked(NOW))[1] if isinstance(x, e.WatchBottles)]
    used = replace(idle, agents=(A, replace(B, backend="docker")))
    after, effects = update(used, m.Ticked(NOW))
    (asked,) = [x for x in effects if isinstance(x, e.WatchBottles)]
    assert asked.backend == "docker"
    assert not [x for x in update(after, m.Ticked(NOW))[1] if isinstance(x, e.WatchBottles)], "one at a time"
    assert update(after, m.BottlesWatched(asked.seq, False))[1] == ()
    assert [type(x) for x in update(after, m.BottlesWatched(asked.seq, True))[1]] == [e.Enumerate]


def test_a_stale_enumeration_is_dropped() -> None:
    before = model(fence=7, in_flight=(InFlight(e.Enumerate(6), NOW),))
    after, _ = update(before, m.Enumerated(6, (), (Fault("x", "y"),)))
    assert after == replace(before, in_flight=())


def test_a_stopped_bottle_does_not_come_back() -> None:
    before = model(seq=9, in_flight=(InFlight(e.Enumerate(8), NOW), InFlight(e.Stop("a-1", seq=9), NOW)))
    after, effects = update(before, m.Stopped(9, "a-1", ""))
    assert after.agents == (B,) and after.selected == "b-2" and effects == (e.Enumerate(10),)
    after, _ = update(after, m.Enumerated(8, (A, B), ()))
    assert after.agents == (B,)


def test_selection_is_kept_by_slug() -> None:
    older = replace(A, slug="z-0", started=NOW - 99)
    after, _ = update(model(seq=1, selected="b-2"), m.Enumerated(1, (A, B, older), ()))
    assert after.agents == (older, A, B) and after.selected == "b-2"


def test_a_tick_asks_for_nothing_that_has_not_answered() -> None:
    before = model(
        ticks=1, in_flight=(InFlight(e.Enumerate(1), NOW), InFlight(e.ReadActivity("a-1", 500, 2), NOW), WATCHING)
    )
    after, effects = update(before, m.Ticked(NOW + 1))
    assert (after, effects) == (replace(before, now=NOW + 1, ticks=2), ())
    _, effects = update(model(ticks=1, seq=5), m.Ticked(NOW + 1))
    assert effects == (e.ReadActivity("a-1", 500, 6), e.WatchProposals("", 7), e.Enumerate(8))


def test_checks_of_a_changed_preflight_are_dropped() -> None:
    from backends.api import Prepared

    before = model(overlays=(Preflight(SPEC, seq=5),))
    after, _ = update(before, m.SpecPrepared(4, Prepared(SPEC, PLAN, ())))
    assert after == before
    after, _ = update(before, m.SpecPrepared(5, Prepared(SPEC, PLAN, ())))
    assert after.overlays == (Preflight(SPEC, seq=5, prepared=Prepared(SPEC, PLAN, ())),)


def test_launch_shows_a_row_and_its_failure_takes_it_away() -> None:
    from backends.api import Prepared

    before = model(overlays=(Preflight(SPEC, 5, Prepared(SPEC, PLAN, ())),), seq=5)
    after, effects = update(before, m.KeyPressed("enter"))
    assert effects == (e.Launch(PLAN, SPEC, (), 6),)
    assert after.launches == (Launching("c-3", "builder", "bubblewrap", NOW),) and after.selected == "c-3"
    after, effects = update(after, m.Failed(6, effects[0], "no disk", "free some"))
    assert after.launches == () and after.selected == "a-1" and effects == ()


def test_a_foreground_never_interrupts_another() -> None:
    agent = replace(A, slug="c-3")
    waiting = (InFlight(e.Foreground("a-1", 1), NOW),)
    after, effects = update(model(seq=3, in_flight=waiting), m.Launched(3, agent, SPEC))
    assert effects == (e.Enumerate(4), e.Warm(5)) and after.toast == Toast("c-3 runs; Enter on its row opens it")


def test_an_answer_for_another_bottle_is_dropped() -> None:
    before = model()
    assert update(before, m.ActivityRead(1, "b-2", ())) == (before, ())


def test_secrets_are_in_no_repr() -> None:
    prompt = Prompt((), (("A", "hunter2"),), "hunter3")
    launch = e.Launch(PLAN, SPEC, (("A", "hunter2"),))
    told = repr((model(overlays=(prompt,), in_flight=(InFlight(launch, NOW),)), m.Failed(1, launch, "x")))
    assert "hunter" not in told and "A" in told


@pytest.mark.parametrize("kind", e.LABELS)
def test_every_effect_that_fails_is_told_or_quiet_but_no_longer_waited_for(kind: type[e.Effect]) -> None:
    given = {"cwd": CWD, "slug": "a-1", "limit": 1, "specs": (), "spec": SPEC, "plan": PLAN, "leftovers": ()}
    given |= {"backend": "docker", "targets": (), "id": "i", "text": "", "decisions": (), "what": "routes", "seen": ""}
    effect = kind(**{f.name: given[f.name] for f in fields(kind) if f.name in given}, seq=3)  # type: ignore[arg-type]
    after, effects = update(model(seq=3, in_flight=(InFlight(effect, NOW),)), m.Failed(3, effect, "why", "hint"))
    assert not any(f.effect.seq == 3 for f in after.in_flight)
    quiet = (
        e.Warm,
        e.Quit,
        e.LoadLast,
        e.Suggest,
        e.ClosePane,
        e.CheckPane,
        e.Prepare,
        e.LoadChanges,
        e.FindLeftovers,
        e.LoadPreviews,
        e.WatchBottles,  # the poll tells
    )
    broken = e.LoadCatalog, e.LoadBackends
    told = bool(after.notes or after.toast or after.overlays)
    assert told or isinstance(effect, quiet + broken), "a failure that nobody hears of"
    assert isinstance(effect, e.OpenPane) == (e.Foreground("a-1", 4) in effects)
