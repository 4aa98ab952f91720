"""The dashboard without tmux: agents take the terminal over, and give it back."""

from __future__ import annotations

from tests.e2e.driving import Person, remains, runs
from tests.e2e.terminal import PROMPT, screen


def test_foreground_and_back(person: Person) -> None:
    """Enter hands the terminal to the agent, ctrl-q comes back, and the agent goes on meanwhile."""
    mounts = person.world.space.mounts()
    with screen(person, "env", "-u", "TMUX", "-u", "TMUX_PANE", person.program) as dash:
        dash.wait("i  writes example bottles")
        dash.keys("i")
        dash.wait("^n new")
        dash.keys("n")
        dash.wait("> shell ")
        dash.keys("Enter")
        dash.wait("ready: Enter starts it")
        dash.keys("Enter")
        dash.wait(PROMPT)
        assert list(dash.panes()) == ["%0"]
        assert dash.ask("word=kept; id -u", "%0")[1] != "0"
        assert dash.ask("curl -s https://pypi.org/one >/dev/null", "%0")[0] == 0
        dash.keys("C-q")
        dash.wait("allowed GET pypi.org/one 200")
        slug = person.bottles()[0]["slug"]
        dash.select(slug)
        dash.keys("Enter")
        dash.wait(r"curl -s https://pypi.org/one")
        assert dash.ask("echo $word", "%0") == (0, "kept")
        dash.keys("C-q")
        names = runs(person)
        dash.stop(slug)
        dash.leave()
        assert "\x1b" not in dash.text() and "Agents" not in dash.text(), "the terminal is as it was"
    assert remains(person, mounts, names) == []
