"""One sshd for the session; a gate, an upstream and an agent's folder for each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.gitgate import rig


@pytest.fixture(scope="session")
def server() -> Iterator[rig.Sshd]:
    """A real sshd."""
    with rig.sshd() as running:
        yield running


def _world(server: rig.Sshd, program: str) -> Iterator[rig.World]:
    base = Path(tempfile.mkdtemp(prefix="gate-"))
    server.allow(rig.make_key(base / "id"))
    (base / "gate").mkdir()
    gate = rig.Gate(base / "gate", program)
    try:
        yield rig.World(base, server, gate, (base / "id").read_text())
    finally:
        gate.close()
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def bare(server: rig.Sshd) -> Iterator[rig.World]:
    """With gitleaks; the test declares the remotes."""
    yield from _world(server, rig.gitleaks())


@pytest.fixture
def unaided(server: rig.Sshd) -> Iterator[rig.World]:
    """Without gitleaks."""
    yield from _world(server, "")


@pytest.fixture
def world(bare: rig.World) -> rig.World:
    """With gitleaks, and the remote `app` ready for an empty upstream."""
    bare.upstream()
    assert bare.configure() == "ready", bare.gate.detail
    bare.start_work()
    return bare
