"""One bottle with everything for the tests of this folder, started in a real dashboard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.bubblewrap import proof
from sidecar_bundle.shared import layout
from tests.conftest import need
from tests.e2e.conftest import _home, end, program
from tests.e2e.dashboard.test_secrets import recorded
from tests.e2e.driving import Person, remains, runs, until, world
from tests.e2e.gitgate.rig import gitleaks
from tests.e2e.supervise.conftest import supervise_python
from tests.e2e.terminal import screen
from tests.e2e.whole import rig
from tests.e2e.whole.rig import Whole


@pytest.fixture(scope="package")
def whole(machine: None) -> Iterator[Whole]:
    """All daemons are ready. Afterwards nothing is left of it."""
    if not program():
        need("bundle", "bottle-dash is not installed in .venv (make setup)")
    if not os.access("/usr/sbin/sshd", os.X_OK):
        need("sshd", "openssh-server is not installed")
    scanner = gitleaks()
    supervise_python()
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    with world() as outside:
        person = Person(outside, _home(), program(), env={"XDG_CACHE_HOME": cache})
        if person.dash("setup", timeout=400).returncode:
            need("bundle", "its environment cannot be built")
        person.env |= {
            layout.PIPELOCK_ENV: str(rig.pipelock(person.home, Path(cache) / "bot-bottle")),
            layout.GITLEAKS_ENV: scanner,
            "HOST_TOKEN": rig.TOKEN,
            "HOST_OWN": rig.OWN,
        }
        try:
            yield from _bottle(person)
        finally:
            end(person)
            shutil.rmtree(person.home, ignore_errors=True)


@pytest.fixture(autouse=True)
def disconnected(whole: Whole) -> Iterator[None]:
    """Ends the test's MCP clients: their own processes, by the end of their input."""
    yield
    while whole.agents:
        process = whole.agents.pop().process
        assert process.stdin
        process.stdin.close()
        process.wait(20)


def _bottle(person: Person) -> Iterator[Whole]:
    mounts = person.world.space.mounts()
    with rig.sshd(person) as (repository, host_key, key):
        user = person.run("id", "-un").stdout.strip()
        upstream = f"ssh://{user}@a.example:{rig.SSH_PORT}{repository}"
        text = rig.BOTTLE.format(upstream=upstream, key=key, host_key=host_key)
        person.write(".bot-bottle/bottles/box.md", text)
        person.write(f".bot-bottle/agents/{rig.AGENT}.md", "---\nbottle: box\n---\n")
        with screen(person) as dash:
            with recorded(person) as lines:
                dash.wait("^n new")
                pane, slug = dash.start(rig.AGENT)
            made = Whole(person, dash, pane, slug, *_found(person, slug), repository, lines)
            until(lambda: made.serves({}), what=made.health)
            yield made
            names = runs(person)
            assert person.dash("stop", "--yes", "--drop-changes", slug).returncode == 0
            dash.leave()
    until(lambda: not remains(person, mounts, names), what=lambda: remains(person, mounts, names))


def _found(person: Person, slug: str) -> tuple[Path, proof.Live]:
    """Its folder and record: the pids in it are the world's, so that no proof of life can be seen from here."""
    for run in proof.runs(person.state / "run"):
        live = proof.load(run)
        if live is not None and live.slug == slug:
            return run, live
    raise AssertionError(f"no run of {slug}")
