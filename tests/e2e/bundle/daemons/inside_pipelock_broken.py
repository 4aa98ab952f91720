"""What the chain does when its second link breaks, is restarted, or the bundle ends."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bundle.daemons.chain import Web, chain, program_of
from tests.e2e.bundle.rig import Bundle, until


@pytest.fixture
def f(python: str, pki: Path, web: Web, tmp_path: Path) -> Iterator[Bundle]:
    """A chain to break."""
    with chain(python, pki, tmp_path) as running:
        yield running


def test_nothing_passes_while_pipelock_is_down_and_it_comes_back(f: Bundle, web: Web) -> None:
    assert f.curl("https://open.example/").status == 200
    seen = len(web[0].seen)
    os.kill(f.pid_of("pipelock"), signal.SIGSTOP)  # Init sees a daemon that lives; its program is what is killed.
    own = f.pid_of("pipelock")
    os.kill(program_of(f), signal.SIGKILL)
    for url in ("https://open.example/down", "https://open.example/down"):
        answer = f.curl(url)
        assert answer.status == 502
        assert "pipelock" in answer.body
    assert len(web[0].seen) == seen
    os.kill(own, signal.SIGCONT)
    until(lambda: f.ask(op="health")["daemons"]["pipelock"]["restarts"] == 1)
    assert f.ask(op="wait", timeout=15)["daemons"]["pipelock"]["state"] == "ready"
    assert f.curl("https://open.example/back").status == 200
    assert f.ask(op="health")["daemons"]["egress"]["restarts"] == 0


def test_sigusr1_restarts_pipelock_alone(f: Bundle) -> None:
    pid, egress = f.pid_of("pipelock"), f.egress_pid
    f.process.send_signal(signal.SIGUSR1)
    until(lambda: f.pid_of("pipelock") not in (0, pid))
    assert f.ask(op="wait", timeout=15)["daemons"]["pipelock"]["state"] == "ready"
    assert f.egress_pid == egress
    assert f.curl("https://open.example/").status == 200


def test_after_the_bundle_no_pipelock_is_left(f: Bundle) -> None:
    program = program_of(f)
    f.process.terminate()
    assert f.process.wait(15) == 0
    with contextlib.suppress(FileNotFoundError):
        assert "State:\tZ" in Path(f"/proc/{program}/status").read_text()
