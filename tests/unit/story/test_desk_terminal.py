"""The whole dashboard on a pseudo-terminal with real queues: a file appears, is edited, approved, answered."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from botbottle_tui.host import live
from sidecar_bundle.shared.proposal import RouteRequest
from tests.unit.host.deskrig import Rig
from tests.unit.story.test_shell import Terminal

CHILD = """
import sys
from pathlib import Path
from tests.unit.host.deskrig import Told
from backends.api import HostPaths
from backends.process import Runner
from botbottle_tui.host.launching import Host
from botbottle_tui.shell.runtime import DashOptions, run_dashboard
home = Path(sys.argv[1])
paths = HostPaths(home, home / "cache")
host = Host(paths, (Told(paths),), chosen="fake", via="dashboard")
sys.exit(run_dashboard(host, cwd=home, home=home, options=DashOptions(), run_foreground=Runner().foreground))
"""
VISIBLE = 0.3  # seconds that a new proposal may take to the screen


@pytest.fixture
def rig(own_state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    editor = tmp_path / "my editor"
    editor.write_text('#!/bin/sh\nsed -i s:/a:/only: "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", f"'{editor}'")
    monkeypatch.delenv("VISUAL", raising=False)
    return Rig(own_state)


def test_from_the_file_to_the_answer(rig: Rig) -> None:
    t = Terminal(rig.home, code=CHILD).until("Agents (1)", "Proposals (0)")
    took = []
    for i in range(12):
        start = time.monotonic()
        last = rig.ask("egress-block", RouteRequest(f"h{i}.example.org", ("/a",), "x"))
        t.until(f"Proposals ({i + 1})")
        took.append(time.monotonic() - start)
    assert sorted(took)[int(len(took) * 0.9)] <= VISIBLE, took
    t.type("wG\r").until("+route h11.example.org").type("m").until("edited by you", "/only").type("a")
    t.until("egress-block modified", "Proposals (11)")
    answer = rig.response(last)
    assert answer and answer.status == "modified"
    assert live.load(rig.folder).routes[-1].path_allowlist == ("/only",)
    (entry,) = rig.desk.audit.entries()
    assert entry["action"] == "modify" and "(dashboard)" in entry["who"] and rig.desk.audit.verify() == []
    start = time.monotonic()
    t.type("q")
    assert t.end() == 0 and time.monotonic() - start < 1.5, "the watch does not hold up the end"


def test_a_bell_rings_for_what_comes_while_an_editor_has_the_terminal(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    monkeypatch.setenv("EDITOR", f"sh -c 'echo it is open; while [ ! -e {go} ]; do sleep 0.1; done'")
    rig.ask("egress-block", RouteRequest("old.example.org", (), "x"))
    t = Terminal(rig.home, code=CHILD).until("Agents (1)", "Proposals (1)").type("e").until("it is open")
    time.sleep(1)
    assert b"\a" not in t.more(), "what was there before rings no bell"
    for i in range(2):
        rig.ask("egress-block", RouteRequest(f"new{i}.example.org", (), "x"))
        t.until("\a")
    go.touch()
    t.until("Proposals (3)").type("q")
    assert t.end() == 0


def test_an_editor_that_fails_changes_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "false")
    t = (
        Terminal(rig.home, code=CHILD)
        .until("Agents (1)")
        .type("e")
        .until("Nothing was edited", "false ended with status 1")
    )
    t.type("\r").until("Proposals (0)").type("q")
    assert t.end() == 0 and list(rig.desk.audit.entries()) == []
