"""What a client leaves on the operator's disk, seen at a server in this process with shorter times."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar_bundle.gitgate import mirror, serve
from sidecar_bundle.gitgate.decisions import Decisions
from sidecar_bundle.gitgate.own import Scanners
from sidecar_bundle.shared.config import Remote
from tests.e2e.gitgate.rawclient import NONE, Pack, connect, send
from tests.e2e.gitgate.rig import sh

APP = Remote("app", "h.invalid", "git", 22, "/a", "ssh://git@h.invalid/a")


@dataclass
class Alone:
    """A server with one mirror whose upstream is not reached."""

    mirror: mirror.Mirror
    port: int

    @property
    def incoming(self) -> list[str]:
        """What is received, or was."""
        return [p.name for p in self.mirror.path.glob("objects/*incoming*")]

    def push(self, work: Path) -> str:
        """A git's push of one commit: what it said."""
        sh("git", "init", "-q", "-b", "main", str(work))
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        sh("git", *who, "commit", "-q", "--allow-empty", "-m", "one", cwd=work)
        url = f"git://127.0.0.1:{self.port}/app.git"
        return subprocess.run(["git", "push", url, "main"], cwd=work, capture_output=True, text=True).stderr


@pytest.fixture
def alone() -> Iterator[Alone]:
    base = Path(tempfile.mkdtemp(prefix="gate-"))
    env = mirror.git_env(base)
    scanners = Scanners("", base, env)
    scanners.protect({})
    server = serve.Server(base, base, scanners, Decisions(base))
    one = mirror.Mirror(base, server.hooks, APP, env)
    server.serve({"app": one})
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while listener.fileno() >= 0:
                server.accept(listener)

        threading.Thread(target=accept, daemon=True).start()
        yield Alone(one, listener.getsockname()[1])
    server.close()
    shutil.rmtree(base, ignore_errors=True)


def test_a_push_that_stalls_leaves_nothing(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "RECEIVING_SECONDS", 2.0)
    pack = Pack()
    tip = pack.commit()
    pack.add("blob", os.urandom(5_000_000))
    with connect(alone.port) as line:
        send(line, [(NONE, tip, b"refs/heads/x")], pack.data[:-100])
        line.settimeout(1)
        with pytest.raises(TimeoutError):
            line.recv(1)
        assert alone.incoming
        line.settimeout(20)
        while line.recv(4096):
            pass
    assert not alone.incoming


def test_what_a_killed_git_left_goes_with_the_next_connection(alone: Alone, tmp_path: Path) -> None:
    for name, age in (("tmp_objdir-incoming-old", 1000), ("tmp_objdir-incoming-new", -1000)):
        place = alone.mirror.path / "objects" / name
        (place / "pack").mkdir(parents=True)
        now = place.stat().st_mtime
        os.utime(place, (now - age, now - age))
    assert "not forwarded" in alone.push(tmp_path)
    until = time.monotonic() + 5  # the client has its answer before the gate has swept
    while len(alone.incoming) > 1 and time.monotonic() < until:
        time.sleep(0.02)
    assert alone.incoming == ["tmp_objdir-incoming-new"]


def test_a_mirror_grows_to_a_bound(alone: Alone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mirror, "MAX_GROWTH", mirror.MAX_PACK + 100_000)
    assert "not forwarded" in alone.push(tmp_path / "a")
    (alone.mirror.path / "objects" / "pack" / "more").write_bytes(bytes(200_000))
    assert "the mirror of app would grow by more than" in alone.push(tmp_path / "b")
