"""Two dashboards and ten bottles at once: nothing is mixed up."""

from __future__ import annotations

from tests.e2e.driving import Person, remains, runs, until
from tests.e2e.terminal import PROMPT, Screen, screen

EACH = 5
BOTTLE = "---\nagent_provider:\n  template: shell\negress:\n  routes:\n    - host: {}.example\n---\n"


def test_ten_bottles_two_dashboards(person: Person) -> None:
    """Slugs are unique, and each bottle's requests are judged by its own routes."""
    mounts = person.world.space.mounts()
    for name in ("a", "b"):
        person.write(f".bot-bottle/bottles/only-{name}.md", BOTTLE.format(name))
        person.write(f".bot-bottle/agents/agent-{name}.md", f"---\nbottle: only-{name}\n---\n")
    with screen(person) as one, screen(person) as two:
        for dash in (one, two):
            dash.wait("^n new")
        slugs: dict[str, list[str]] = {"a": [], "b": []}
        for _ in range(EACH):
            slugs["a"].append(one.start("agent-a")[1])
            slugs["b"].append(two.start("agent-b")[1])
        everything = [*slugs["a"], *slugs["b"]]
        assert len(set(everything)) == 2 * EACH == len(person.bottles())
        for dash in (one, two):
            dash.wait(rf"Agents \({2 * EACH}\)")
        for number in range(EACH):
            for dash, own, other in ((one, "a", "b"), (two, "b", "a")):
                slug = slugs[own][number]
                pane = open_by_name(dash, slug)
                assert dash.ask(f"curl -sS https://{own}.example/{slug}", pane)[0] == 0
                refusal = dash.ask(f"curl -sS https://{other}.example/{slug}", pane)[1]
                assert f"host {other}.example is not allowed: no route of bottle '{slug}'" in refusal
        arrived = {(r["server"], r["path"]) for r in person.world.seen()}
        assert arrived == {(f"{name}.example", f"/{slug}") for name, mine in slugs.items() for slug in mine}
        names = runs(person)
        assert person.dash("stop", "--yes", *everything, timeout=120).returncode == 0
        for dash in (one, two):
            dash.wait("Nothing runs")
            dash.leave()
    assert remains(person, mounts, names) == []


def open_by_name(dash: Screen, slug: str) -> str:
    """`/`, the slug, Enter, Enter: its pane."""
    dash.keys("/")
    dash.tmux("send-keys", "-t", "%0", "-l", slug)
    dash.wait(rf"^>.*{slug}")
    dash.keys("Enter", "Enter")
    until(lambda: slug in dash.panes().values(), what=dash.text)
    dash.keys("Escape")
    pane = dash.right()
    dash.wait(PROMPT, pane)
    return pane
