"""The pane beside the dashboard: split once, then given from bottle to bottle; and ways out that touch nothing."""

from __future__ import annotations

import os

from tests.e2e.driving import Person, remains, runs, until
from tests.e2e.terminal import PROMPT, screen


def test_one_pane_for_two_bottles(person: Person) -> None:
    """The second bottle takes the pane over; after `x` it shows the next one; the last one closes it."""
    mounts = person.world.space.mounts()
    assert person.dash("init").returncode == 0
    with screen(person) as dash:
        dash.wait("^n new")
        pane, first = dash.start("shell")
        dash.ask("name=first", pane)
        again, second = dash.start("shell")
        assert (again, len(dash.panes())) == (pane, 2)
        assert dash.ask("echo name is $name", pane)[1] == "name is"
        dash.select(first)
        dash.keys("Enter")
        until(lambda: dash.panes()[pane] == first)
        dash.wait(PROMPT, pane)
        assert dash.ask("echo name is $name", pane)[1] == "name is first"
        names = runs(person)
        dash.stop(first)
        until(lambda: dash.panes() == {"%0": "", pane: second}, what=dash.panes)
        assert dash.ask("echo name is $name", pane)[1] == "name is"
        # closed by hand, it comes back when it is asked for
        dash.tmux("kill-pane", "-t", pane)
        dash.select(second)
        dash.keys("Enter")
        until(lambda: list(dash.panes().values()) == ["", second], what=dash.panes)
        dash.stop(second)
        until(lambda: list(dash.panes().values()) == [""], what=dash.panes)
        dash.leave()
    assert remains(person, mounts, names) == []


def test_leaving_touches_nothing(person: Person) -> None:
    """Esc out of the picker and out of the preflight: not one file more."""
    mounts = person.world.space.mounts()
    assert person.dash("init").returncode == 0
    before = sorted(map(str, person.home.rglob("*")))
    with screen(person) as dash:
        dash.wait("^n new")
        dash.keys("n")
        dash.wait("> shell ")
        dash.keys("Escape")
        dash.gone("New agent")
        dash.keys("n")
        dash.wait("> shell ")
        dash.keys("Enter")
        dash.wait("ready: Enter starts it")
        dash.keys("w")
        dash.wait("writable by the agent")
        dash.keys("Escape")
        dash.gone("Start shell")
        dash.keys("Escape")
        dash.gone("New agent")
        assert person.bottles() == []
        made = [
            p for p in person.state.rglob("*") if str(p) not in before and not p.is_relative_to(person.state / "run")
        ]
        assert made == [], "but for a bundle that waits"
        dash.leave()
    after = [p for p in sorted(map(str, person.home.rglob("*"))) if p not in before and "/tm-" not in p]
    assert [p for p in after if os.path.isfile(p)] == [] and remains(person, mounts) == []
