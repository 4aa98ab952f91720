"""Each daemon killed in the midst of requests, a push and MCP calls: the others serve on, nothing passes unscanned."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.driving import until
from tests.e2e.gitgate.rig import GITHUB, has, refs
from tests.e2e.whole.rig import Whole

DAEMONS = ("egress", "pipelock", "git-gate", "supervise", "dialer")
TRAFFIC = Path(__file__).with_name("traffic.py").read_text()


@dataclass
class Traffic:
    """A stream of requests from inside, and what became of each."""

    process: subprocess.Popen[str]
    lines: list[dict[str, Any]] = field(default_factory=list)

    def read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in list(self.lines) if one["kind"] == kind]

    def passed(self, kind: str = "clean") -> int:
        return sum(one["status"] == 200 for one in self.of(kind))


@contextmanager
def traffic(whole: Whole, name: str) -> Iterator[Traffic]:
    """Runs until the block ends, and is whole then."""
    made = Traffic(whole.start("/usr/bin/python3", "-c", TRAFFIC, name))
    reader = threading.Thread(target=made.read)
    reader.start()
    try:
        until(lambda: made.passed() and whole.arrived(f"/{name}/slow"), what=lambda: made.lines)
        yield made
    finally:
        # Not by communicate, which would take lines away from the reader.
        assert made.process.stdin and made.process.stderr
        made.process.stdin.write("end\n")
        made.process.stdin.close()
        reader.join(60)
        errors = made.process.stderr.read()
        made.process.wait(10)
    assert made.process.returncode == 0, errors


def repository(whole: Whole, name: str) -> tuple[str, str]:
    """Two branches inside, `clean` and `leaks`, in the clone `name` with many files; their commits."""
    said = whole.inside(
        f"""set -e; rm -rf ~/{name}; git init -q ~/{name}; cd ~/{name}
git remote add origin $(git config --get-regexp 'url.*insteadof' | head -1 | cut -d' ' -f2)
mkdir f; for i in $(seq 30); do head -c 20000 /dev/urandom | base64 > f/$i; done
git checkout -q -b clean-{name}; git add -A; git commit -q -m many; git rev-parse HEAD
git checkout -q -b leaks-{name}; echo 'key = "{GITHUB}"' > key; git add -A; git commit -q -m leak; git rev-parse HEAD"""
    )
    clean, leaks = said.split()[-2:]
    return clean, leaks


def test_git_pushes_clean_and_refuses_what_leaks(whole: Whole) -> None:
    """The control of what follows."""
    clean, leaks = repository(whole, "calm")
    before = len(whole.activity())
    assert "forwarded to" in whole.inside("cd ~/calm; git push origin clean-calm")
    assert "github-pat" in whole.inside("cd ~/calm; git push origin leaks-calm")
    told = [(a["verdict"], a["reason"]) for a in whole.activity()[before:] if a["source"] == "git-gate"]
    assert told[0][0] == "allow" and "clean-calm" in told[0][1]
    assert told[-1][0] == "refuse" and "github-pat" in told[-1][1]
    assert refs(whole.repository)["refs/heads/clean-calm"] == clean and not has(whole.repository, leaks)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_killed_in_the_midst(whole: Whole, daemon: str) -> None:
    name = f"killed-{daemon}"
    health = whole.health()
    before = {one: health[one].restarts if one in health else 0 for one in DAEMONS}
    clean, leaks = repository(whole, name)
    agent = whole.mcp()
    call = agent.call("ask-operator", question=f"Still there after {daemon}?")
    whole.dash.wait(r"Proposals \(1\)")
    with traffic(whole, name) as requests:
        pushes = {
            b: whole.start("git", "-C", f"/home/agent/{name}", "push", "origin", f"{b}-{name}")
            for b in ("clean", "leaks")
        }
        until(lambda: receiving(whole), what="a push that is under way")
        pid = whole.kill(daemon)
        if daemon != "dialer":
            whole.dash.wait(rf"{daemon} of {whole.slug} (ended|serves again)")
        assert until(lambda: [p for p in whole.pids(daemon) if p != pid], what=f"another {daemon}")
        counts = {} if daemon == "dialer" else {daemon: before[daemon] + 1}
        until(lambda: whole.serves(counts), what=whole.health)
        passed = requests.passed()
        until(lambda: requests.passed() >= passed + 3, what=lambda: requests.lines[-3:])
        said = {branch: push.communicate(timeout=60)[1] for branch, push in pushes.items()}
    check_requests(whole, name, requests, daemon)
    after = whole.health()
    assert all(after[one].restarts == before[one] for one in DAEMONS if one not in (daemon, "dialer")), after
    # The pushes: what leaks never arrives; a clean one that was cut off can be made again.
    assert not has(whole.repository, leaks) and f"refs/heads/leaks-{name}" not in refs(whole.repository), said
    if daemon in ("git-gate", "dialer"):
        assert pushes["leaks"].returncode != 0
        again = whole.inside(f"cd ~/{name}; git push origin clean-{name}")
        assert refs(whole.repository).get(f"refs/heads/clean-{name}") == clean, again
    else:
        assert pushes["clean"].returncode == 0 and "forwarded to" in said["clean"], said
        assert "github-pat" in said["leaks"], said
    # The question: still open, or asked again and the same one.
    if daemon == "supervise":
        agent = whole.mcp()
        call = agent.call("ask-operator", question=f"Still there after {daemon}?")
        until(lambda: agent.heard("progress", call))
    (row,) = whole.person.dash("proposals").stdout.splitlines()
    assert whole.person.dash("approve", row.split()[0], "--yes", "--answer", "yes").returncode == 0
    assert agent.result(call)["value"]["answer"] == "yes"


def receiving(whole: Whole) -> bool:
    """Whether the gate works on a push."""
    return any("receive-pack" in line or "gitleaks" in line for line in whole.person.world.space.processes().values())


def check_requests(whole: Whole, name: str, requests: Traffic, daemon: str) -> None:
    """Nothing with a secret arrived, clean ones failed closed or passed, and the others' traffic never stopped."""
    for kind in ("own", "seed"):
        assert requests.of(kind) and not requests.passed(kind)
        assert not whole.arrived(f"/{name}/{kind}")
    failed = [one for one in requests.of("clean") if one["status"] != 200]
    assert all(one["status"] in (0, 502, 503) for one in failed), failed
    if daemon in ("egress", "pipelock"):
        # The one that was in flight has failed, with a reason where there was somebody left to tell it.
        (cut,) = requests.of("slow")
        assert cut["status"] == (502 if daemon == "pipelock" else 0), cut
    if daemon in ("git-gate", "supervise"):
        assert failed == [] and requests.passed("slow"), (failed, requests.of("slow"))
    arrived = {one["path"] for one in whole.arrived(f"/{name}/clean")}
    assert {one["path"] for one in requests.of("clean") if one["status"] == 200} <= arrived
