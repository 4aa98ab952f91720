"""The real dashboard over the docker backend, and an engine that hangs, goes on and tells of events."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from backends.docker.driver import DockerBackend
from botbottle_tui.host.records import Records
from tests.contract.plans import plan
from tests.fake_engine import FakeEngine, fake_engine
from tests.unit.backends.test_docker_wrong import listing, with_bottles
from tests.unit.story.test_shell import Terminal

CHILD = """
import sys
from pathlib import Path
import botbottle_tui.shell.runtime as runtime
from backends.api import HostPaths
from backends.docker import engine
from backends.docker.driver import DockerBackend
from botbottle_tui.host.launching import Host
home, tick = Path(sys.argv[1]), float(sys.argv[2])
engine.POLL_TIMEOUT = 1
runtime.TICK = tick
paths = HostPaths(home / "home", home / "cache")
host = Host(paths, (DockerBackend(paths),))
sys.exit(runtime.run_dashboard(host, cwd=home, home=home / "home", options=runtime.DashOptions(),
    run_foreground=lambda argv: 0))
"""


def dashboard(home: Path, tick: float) -> Terminal:
    return Terminal(home, str(tick), code=CHILD)


def shows(terminal: Terminal, *words: str, within: float) -> None:
    began = time.monotonic()
    terminal.until(*words, timeout=15)
    assert time.monotonic() - began < within, words


def two(made: DockerBackend) -> list[dict[str, object]]:
    return listing(made, "a-1", "a-2")


@pytest.fixture
def made(tmp_path: Path) -> DockerBackend:
    backend = with_bottles(tmp_path, "a-1", "a-2")
    for slug in ("a-1", "a-2"):
        Records(backend.paths.home).create(replace(plan("docker"), slug=slug), time.time())
    return backend


def test_an_engine_that_hangs_holds_up_no_key(
    made: DockerBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_engine(containers_json=two(made)) as fake:
        monkeypatch.setenv("DOCKER_HOST", fake.address)
        terminal = dashboard(tmp_path, 0.1)
        terminal.until("a-1", "a-2")
        fake.hangs = True
        terminal.until("does not answer in time")
        for _ in range(3):
            shows(terminal.type("?"), "Keys", within=1)
            shows(terminal.type("q"), "Proposals", within=1)
        assert fake.open <= 4
        fake.hangs = False
        terminal.until("answers again")
        terminal.type("q")
        assert terminal.end() == 0


def test_what_the_engine_tells_is_on_the_screen_before_the_next_poll(
    made: DockerBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With polls that are ten seconds apart."""
    rows = two(made)
    with fake_engine(containers_json=rows) as fake:
        monkeypatch.setenv("DOCKER_HOST", fake.address)
        terminal = dashboard(tmp_path, 5)
        terminal.until("a-1", "a-2")
        wait(fake)
        rows[0]["State"] = "exited"
        fake.events.put({"Type": "container", "Action": "die", "timeNano": 1_800_000_000_000_000_001})
        shows(terminal, "was ended from outside", within=2)
        terminal.type("q")
        assert terminal.end() == 0


def wait(fake: FakeEngine) -> None:
    """Until somebody listens to the events."""
    deadline = time.monotonic() + 15
    while "/events" not in fake.asked:
        assert time.monotonic() < deadline, fake.asked
        time.sleep(0.02)
