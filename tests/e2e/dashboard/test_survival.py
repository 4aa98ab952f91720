"""Bottles outlive the dashboard and tmux; a keeper that was killed leaves what cleanup finds and removes."""

from __future__ import annotations

import json

from tests.e2e.driving import Person, leftovers, remains, runs, until
from tests.e2e.terminal import PROMPT, screen


def test_dashboard_and_tmux_killed(person: Person) -> None:
    """SIGKILL to both: a new dashboard lists the bottle, shows the same screen and the same shell, and stops it."""
    mounts = person.world.space.mounts()
    assert person.dash("init").returncode == 0
    with screen(person) as dash:
        dash.wait("^n new")
        pane, slug = dash.start("shell")
        assert dash.ask("word=kept; echo mark-$((6 * 7))", pane) == (0, "mark-42")
        picture = dash.text(pane)
        person.kill("KILL", r"python\S* \S*bottle-dash")
        dash.wait("^ended with 137")
    assert [b["slug"] for b in person.bottles() if b["state"] == "running"] == [slug]
    assert leftovers(person) == []
    with screen(person) as dash:
        dash.wait(f"running +{slug}")
        dash.keys("Enter")
        pane = dash.right()
        dash.wait("^mark-42", pane)
        dash.wait(PROMPT, pane)
        assert dash.text(pane).strip() == picture.strip()
        assert dash.ask("echo $word", pane) == (0, "kept")
        names = runs(person)
        dash.stop(slug)
        dash.leave()
    assert remains(person, mounts, names) == []


def test_cleanup_after_a_killed_keeper(person: Person) -> None:
    """Its processes go with it; what is left is found, its unexported changes become a patch, and nothing stays."""
    mounts = person.world.space.mounts()
    assert person.dash("init").returncode == 0
    healthy = person.background("shell", "--cwd")
    slug = person.background("shell", "--cwd")
    assert leftovers(person) == []
    with screen(person, person.program, "attach", slug) as terminal:
        terminal.wait(PROMPT)
        assert terminal.ask("echo changed > README; cat README", "%0") == (0, "changed")
    names = runs(person)
    keepers = {r["slug"]: r["keeper"]["pid"] for r in map(json.loads, _records(person))}
    person.run("kill", "-KILL", str(keepers[slug]))
    until(lambda: [b["slug"] for b in person.bottles() if b["state"] == "lost"] == [slug])
    found = leftovers(person)
    assert {one["slug"] for one in found} == {slug}
    refused = person.dash("cleanup")
    assert refused.returncode == 2 and "--yes" in refused.stderr
    done = person.dash("cleanup", "--yes")
    assert done.returncode == 0, done.stderr
    patch = person.state / "exports" / f"{slug}.patch"
    assert "+changed" in patch.read_text()
    assert leftovers(person) == []
    assert [b["slug"] for b in person.bottles()] == [healthy]
    assert person.dash("stop", healthy, "--yes").returncode == 0
    assert remains(person, mounts, names) == []


def _records(person: Person) -> list[str]:
    return [p.read_text() for p in person.state.glob("run/*/bottle.json")]
