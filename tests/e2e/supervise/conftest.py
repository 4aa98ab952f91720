"""A real supervise daemon under the real init, MCP clients of the SDK, and an operator who writes answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backends.api import BackendError
from backends.bundle_env import supervise_env
from sidecar_bundle.shared import queue
from sidecar_bundle.shared.proposal import Proposal, Response
from tests.conftest import need
from tests.e2e.bundle.rig import Bundle, bundle, until

CLIENT = Path(__file__).with_name("mcp_client.py")
CONFIG = {"slug": "b-1", "routes": [{"host": "api.example", "path_allowlist": ["/v1"]}], "daemons": ["supervise"]}


@dataclass
class Desk:
    """A bundle with one daemon, and the operator's folders."""

    bundle: Bundle
    python: str

    @property
    def queue(self) -> Path:
        return self.bundle.folder / "queue"

    @property
    def answers(self) -> Path:
        return self.bundle.folder / "answers"

    def waiting(self) -> tuple[Proposal, ...]:
        found, bad = queue.proposals(self.queue)
        assert bad == ()
        return found

    def one(self) -> Proposal:
        (proposal,) = until(lambda: len(self.waiting()) == 1 and self.waiting())
        assert isinstance(proposal, Proposal)
        return proposal

    def answer(self, proposal: Proposal, status: Any = "approved", notes: str = "", answer: str = "") -> None:
        queue.put_response(self.answers, Response(proposal.id, status, notes, answer, 1.0))

    def state(self) -> str:
        health = self.bundle.ask(op="wait", timeout=20, daemons=["supervise"])
        return str(health["daemons"]["supervise"]["state"])

    def configure(self) -> str:
        sock = self.bundle.listener
        message = {"op": "configure", "config": CONFIG, "listeners": ["supervise"], "sockets": [sock]}
        assert self.bundle.ask(**message) == {"ok": True}
        return self.state()

    @property
    def pid(self) -> int:
        return self.bundle.pid_of("supervise")


@dataclass
class Agent:
    """One MCP client as a process; what it said by the number of the call."""

    process: subprocess.Popen[str]
    said: list[dict[str, Any]] = field(default_factory=list)
    calls: int = 0

    def listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(json.loads(line))

    def do(self, **message: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def call(self, tool: str, **arguments: Any) -> int:
        self.calls += 1
        self.do(do="call", n=self.calls, tool=tool, arguments=arguments)
        return self.calls

    def heard(self, key: str, n: int | None = None) -> list[dict[str, Any]]:
        return [m for m in list(self.said) if key in m and m.get("n") == n]

    def result(self, n: int) -> dict[str, Any]:
        ends = ("text", "failed", "cancelled")
        end = until(lambda: next((m for m in list(self.said) if m.get("n") == n and m.keys() & set(ends)), None), 30)
        assert isinstance(end, dict)
        return end


def supervise_python() -> str:
    """The Python of the supervise daemon's environment; skips without one."""
    if chosen := os.environ.get("BOT_BOTTLE_TEST_SUPERVISE_PYTHON"):
        return chosen
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "bot-bottle")
    try:
        return str(supervise_env(cache).python())
    except BackendError as error:
        need("bundle", f"{error.message} ({error.hint})")
        raise


@pytest.fixture
def desk() -> Iterator[Desk]:
    python = supervise_python()
    with bundle(sys.executable, {"BOT_BOTTLE_SUPERVISE_PYTHON": python}, daemons="supervise") as running:
        (running.folder / "answers").mkdir()
        made = Desk(running, python)
        assert made.configure() == "ready"
        yield made


@pytest.fixture(params=["legacy", "2026-07-28"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def connect(desk: Desk) -> Iterator[Callable[..., Agent]]:
    """Starts a client that is connected."""
    agents: list[Agent] = []

    def start(mode: str = "legacy") -> Agent:
        argv = [desk.python, str(CLIENT), f"http://127.0.0.1:{desk.bundle.port}/mcp", mode]
        agent = Agent(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        agents.append(agent)
        threading.Thread(target=agent.listen, daemon=True).start()
        until(lambda: agent.heard("connected"))
        return agent

    yield start
    for agent in agents:
        agent.process.kill()
        agent.process.wait()
