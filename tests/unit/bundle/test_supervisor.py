"""The supervisor as a state machine: time is a number here."""

from __future__ import annotations

import pytest

from sidecar_bundle.init.supervisor import (
    GRACE,
    MAX_BACKOFF,
    PATIENCE,
    Action,
    Exit,
    Note,
    Spawn,
    Supervisor,
    Terminate,
    select,
)

KNOWN = ("egress", "pipelock", "supervise")


def started(*names: str) -> Supervisor:
    supervisor = Supervisor(names)
    # The first, and when it serves the others.
    assert supervisor.start(0.0) == [Spawn(names[0])]
    assert supervisor.release(0.0) == [Spawn(n) for n in names[1:]]
    return supervisor


def but_notes(actions: list[Action]) -> list[Action]:
    return [a for a in actions if not isinstance(a, Note)]


@pytest.mark.parametrize(
    ("spec", "names", "unknown"),
    [
        (None, KNOWN, ()),
        ("", (), ()),
        (" , ", (), ()),
        ("egress", ("egress",), ()),
        (" supervise , egress ", ("egress", "supervise"), ()),
        ("egress,nonsense", ("egress",), ("nonsense",)),
    ],
)
def test_select(spec: str | None, names: tuple[str, ...], unknown: tuple[str, ...]) -> None:
    assert select(spec, KNOWN) == (names, unknown)


def test_with_nothing_selected_it_idles() -> None:
    supervisor = Supervisor(())
    assert supervisor.start(0.0) == [Note("no daemons selected")]
    assert supervisor.deadline() is None
    assert supervisor.stop(1.0) == [Exit(0)]


def test_the_others_start_soon_also_without_the_first() -> None:
    supervisor = Supervisor(KNOWN)
    supervisor.start(0.0)
    assert supervisor.daemons["pipelock"].absent() == ("starting", "")
    assert supervisor.deadline() == PATIENCE
    assert supervisor.tick(PATIENCE) == [Spawn("pipelock"), Spawn("supervise")]
    assert supervisor.release(PATIENCE) == []
    assert {d.restarts for d in supervisor.daemons.values()} == {0}


def test_a_dead_child_comes_back_after_a_growing_pause_and_others_live() -> None:
    supervisor = started("egress", "pipelock")
    now, pauses = 0.0, []
    for _ in range(12):
        assert but_notes(supervisor.died("egress", 1, now)) == []
        due = supervisor.deadline()
        assert due is not None
        pauses.append(due - now)
        assert supervisor.tick(due - 0.01) == []
        assert supervisor.tick(due) == [Spawn("egress")]
        now = due
    assert [round(p, 3) for p in pauses] == sorted(round(p, 3) for p in pauses)
    assert pauses[0] == pytest.approx(0.1)
    assert pauses[-1] == pytest.approx(MAX_BACKOFF)
    assert supervisor.daemons["egress"].restarts == 12
    assert supervisor.daemons["pipelock"].restarts == 0


def test_a_long_life_forgives() -> None:
    supervisor = started("egress")
    for now in (0.0, 1.0, 2.0, 3.0):
        supervisor.died("egress", 1, now)
        supervisor.tick(now + 0.99)
    supervisor.died("egress", 1, 1000.0)
    assert supervisor.deadline() == pytest.approx(1000.1, abs=0.11)


def test_stop_asks_then_kills_and_ends_with_the_first_bad_code() -> None:
    supervisor = started("egress", "pipelock")
    assert supervisor.stop(10.0) == [Terminate("egress"), Terminate("pipelock")]
    assert supervisor.stop(10.5) == []
    assert supervisor.died("pipelock", 0, 11.0) == []
    assert supervisor.tick(10.0 + GRACE - 0.1) == []
    assert supervisor.tick(10.0 + GRACE) == [Terminate("egress", hard=True)]
    assert supervisor.tick(10.0 + GRACE + 1) == []
    assert supervisor.died("egress", 137, 18.5) == [Exit(137)]


def test_a_clean_stop_is_zero_whatever_was_before() -> None:
    supervisor = started("egress")
    supervisor.died("egress", 1, 1.0)
    supervisor.tick(2.0)
    supervisor.stop(3.0)
    assert supervisor.died("egress", 0, 3.1) == [Exit(0)]


def test_one_that_our_sigterm_ended_has_not_failed() -> None:
    supervisor = started("egress")
    supervisor.stop(1.0)
    assert supervisor.died("egress", 143, 1.1) == [Exit(0)]


def test_stop_while_it_waits_to_come_back() -> None:
    supervisor = started("egress")
    supervisor.died("egress", 3, 1.0)
    assert supervisor.stop(1.01) == [Exit(3)]
    assert supervisor.tick(100.0) == []


def test_restart_is_at_once_and_no_failure() -> None:
    supervisor = started("egress")
    assert supervisor.restart("egress", 5.0) == [Terminate("egress")]
    assert but_notes(supervisor.died("egress", 0, 5.2)) == [Spawn("egress")]
    assert supervisor.daemons["egress"].failures == 0
    assert supervisor.restart("pipelock", 6.0) == []
    supervisor.stop(7.0)
    assert supervisor.restart("egress", 8.0) == []


def test_restart_of_one_that_hangs_kills_it() -> None:
    supervisor = started("egress")
    supervisor.restart("egress", 5.0)
    assert supervisor.tick(5.0 + GRACE) == [Terminate("egress", hard=True)]
    assert but_notes(supervisor.died("egress", 137, 14.0)) == [Spawn("egress")]


def test_what_is_not_kept_ends_for_good() -> None:
    supervisor = started("egress", "pipelock", "supervise")
    supervisor.died("pipelock", 3, 1.0)
    assert supervisor.keep(["egress"], 1.01) == [Terminate("supervise")]
    assert supervisor.kept() == ("egress",)
    assert supervisor.tick(1.01 + GRACE) == [Terminate("supervise", hard=True)]
    assert supervisor.died("supervise", 137, 10.0) == []
    assert supervisor.deadline() is None
    assert supervisor.restart("supervise", 11.0) == supervisor.restart("pipelock", 11.0) == []
    assert supervisor.stop(12.0) == [Terminate("egress")]
    assert supervisor.died("egress", 0, 12.1) == [Exit(0)]


def test_one_that_still_ends_is_waited_for_but_does_not_count() -> None:
    supervisor = started("egress", "supervise")
    supervisor.keep(["egress"], 1.0)
    supervisor.stop(1.1)
    assert supervisor.died("egress", 0, 1.2) == []
    assert supervisor.died("supervise", 9, 1.3) == [Exit(0)]
