"""A push of one small commit: through the gate, with gitleaks over it, and straight to the same SSH server."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.api import BackendError
from tests.bench.figures import Row, in_turn, p50, p95
from tests.e2e.gitgate import rig


@contextlib.contextmanager
def _world(program: str) -> Iterator[rig.World]:
    with rig.sshd() as server:
        base = Path(tempfile.mkdtemp(prefix="gate-"))
        server.allow(rig.make_key(base / "id"))
        (base / "gate").mkdir()
        gate = rig.Gate(base / "gate", program)
        try:
            yield rig.World(base, server, gate, (base / "id").read_text())
        finally:
            gate.close()
            shutil.rmtree(base, ignore_errors=True)


def rows(rounds: int) -> list[Row]:
    """Both in turn. `BackendError` without sshd or gitleaks."""
    try:
        with _world(rig.gitleaks()) as world:
            took = _measure(rounds, world)
    except pytest.skip.Exception as error:
        raise BackendError(str(error.msg)) from None
    what = "git push of a small commit through the gate"
    return [
        Row(f"{what}, p50", p50(took["gate"]), "a push straight over SSH", p50(took["straight"])),
        Row(f"{what}, p95", p95(took["gate"])),
    ]


def _measure(rounds: int, world: rig.World) -> dict[str, list[float]]:
    world.upstream()
    if world.configure() != "ready":
        raise BackendError(f"git-gate is {world.gate.state}: {world.gate.detail}")
    straight = world.base / "up" / "straight.git"
    rig.sh("git", "init", "-q", "--bare", "-b", "main", str(straight))
    world.start_work()
    ssh = f"ssh -F none -i {world.base}/id -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile="
    world.ok("config", "core.sshCommand", f"{ssh}{world.base}/known -o LogLevel=ERROR")
    # By another name of the host, which the agent's git does not rewrite to the gate.
    user = rig.sh("id", "-un")
    world.ok("remote", "add", "straight", f"ssh://{user}@127.0.0.1:{world.sshd.port}{straight}")

    def push(remote: str, repository: Path) -> list[float]:
        made = world.commit(content=f"{time.monotonic_ns()}\n")
        begin = time.perf_counter()
        world.ok("push", "-q", remote, "HEAD:main")
        spent = (time.perf_counter() - begin) * 1000
        assert rig.has(repository, made)
        return [spent]

    gate = world.base / "up" / "app.git"
    return in_turn(rounds, gate=lambda: push("origin", gate), straight=lambda: push("straight", straight))
