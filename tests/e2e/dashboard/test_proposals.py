"""A proposal answered in the dashboard: the very next request passes; then rules edited, and a daemon killed."""

from __future__ import annotations

import json
import time
from pathlib import Path

from sidecar_bundle.shared import queue
from sidecar_bundle.shared.proposal import RouteRequest, make_proposal
from tests.e2e.dashboard.test_many import BOTTLE
from tests.e2e.driving import Person, remains, runs, until
from tests.e2e.terminal import screen


def run_of(person: Person, slug: str) -> Path:
    """The bottle's folder, beside which there may be a spare bundle's."""
    return next(p.parent for p in (person.state / "run").glob("*/bottle.json") if slug in p.read_text())


def ask(person: Person, slug: str, host: str) -> str:
    """Queues a request for `host` where the bundle does; its id."""
    folder = run_of(person, slug) / "bundle" / "queue"
    one = make_proposal("egress-block", "demo", RouteRequest(host, (), "the tests need it"), time.time())
    queue.put_proposal(folder, one)
    return one.id


def test_from_the_proposal_to_the_next_request(person: Person) -> None:
    mounts = person.world.space.mounts()
    person.write(".bot-bottle/bottles/only-a.md", BOTTLE.format("a"))
    person.write(".bot-bottle/agents/agent-a.md", "---\nbottle: only-a\n---\n")
    person.env["EDITOR"] = "sed -i s/b.example/c.example/"
    with screen(person) as dash:
        dash.wait("^n new")
        pane, slug = dash.start("agent-a")
        assert "is not allowed" in dash.ask("curl -sS https://b.example/early", pane)[1]
        ident = ask(person, slug, "b.example")
        dash.wait(r"Proposals \(1\)")
        dash.wait(r"\[1 waiting\]")
        dash.keys("w", "Enter")
        dash.wait(r"\+route b\.example")
        dash.keys("a")
        dash.wait("egress-block approved")
        assert dash.ask("curl -sS https://b.example/passes", pane)[0] == 0
        assert [r["path"] for r in person.world.seen() if r["server"] == "b.example"] == ["/passes"]
        answer = queue.response(run_of(person, slug) / "answers", ident)
        assert answer is not None and answer.status == "approved"
        ident = ask(person, slug, "d.example")
        dash.wait(r"Proposals \(1\)")
        assert person.dash("reject", ident[:8], "not", "now").returncode == 0
        dash.wait(r"Proposals \(0\)")
        dash.keys("Tab", "Tab", "e")
        dash.wait(r"\+route c\.example")
        dash.keys("y")
        dash.wait("routes changed")
        assert "is not allowed" in dash.ask("curl -sS https://b.example/late", pane)[1]
        person.kill("KILL", r"egress/__main__")
        dash.wait(rf"egress of {slug} (ended|serves again)")
        until(lambda: dash.ask("curl -sS https://a.example/back", pane)[0] == 0, what=dash.text)
        names = runs(person)
        assert person.dash("stop", "--yes", slug).returncode == 0
        dash.wait("Nothing runs")
        dash.leave()
    done = person.dash("audit", "--json")
    actions = [(e["kind"], e["action"]) for e in json.loads(done.stdout)["decisions"]]
    assert actions == [("egress-block", "approve"), ("egress-block", "reject"), ("routes", "operator-edit")]
    assert person.dash("audit", "--verify").returncode == 0
    assert remains(person, mounts, names) == []
