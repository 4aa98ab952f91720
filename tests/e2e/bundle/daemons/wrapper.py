"""The pipelock daemon alone, as init runs it: its private line, its state folder, and the stand-in as its program."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidecar_bundle.shared import layout, wire
from tests.e2e.bundle.rig import ROOT, until
from tests.pipelock.running import Running, make_ca

SCRIPT = ROOT / "sidecar_bundle" / "pipelock" / "__main__.py"


@dataclass
class Wrapper:
    """A running daemon; `said` is what it told init, in order."""

    process: subprocess.Popen[bytes]
    state: Path
    channel: socket.socket
    serial: int = 0
    said: list[dict[str, Any]] = field(default_factory=list)
    _decoder: wire.Decoder = field(default_factory=wire.Decoder)

    def tell(self, *routes: Mapping[str, Any], secrets: list[str] | None = None, **pipelock: bool) -> None:
        """A configuration with these routes; does not wait."""
        self.serial += 1
        config = {"slug": "b-1", "routes": list(routes), "daemons": ["egress", "pipelock"], "pipelock": pipelock}
        message = {"config": config, "secrets": secrets or [], "serial": self.serial, "fds": 0}
        wire.send(self.channel, message)

    def answer(self) -> dict[str, Any]:
        """What it says to the latest message."""
        while not (found := [m for m in self.said if m["serial"] == self.serial]):
            data = self.channel.recv(65536)
            assert data, f"the daemon is gone: {self.log}"
            self.said += self._decoder.feed(data)
        return found[-1]

    def configure(self, *routes: Mapping[str, Any], **more: Any) -> str:
        """Tells, waits, and answers the state."""
        self.tell(*routes, **more)
        return str(self.answer()["state"])

    @property
    def log(self) -> str:
        return (self.state / "log").read_text()

    def program(self) -> int:
        """The pid of the running pipelock, 0 without one."""
        own = self.process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return int(children[0]) if children else 0

    def client(self, program: Path) -> Running:
        """For requests through it."""
        folder = self.state / "pipelock"
        (folder / "ca-cert.pem").unlink(missing_ok=True)
        shutil.copy(self.state / layout.CA_FOLDER / layout.PIPELOCK_CA_FILE, folder / "ca-cert.pem")
        return Running(program, folder, {}, self.process)


def put_ca(state: Path) -> None:
    """What egress makes at its start."""
    with tempfile.TemporaryDirectory() as name:
        certificate, key = make_ca(Path(name))
        folder = state / layout.CA_FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(key, folder / layout.PIPELOCK_KEY_FILE)
        shutil.copy(certificate, folder / layout.PIPELOCK_CA_FILE)


@contextlib.contextmanager
def wrapper(python: str, program: Path | str, upstream_ca: Path, ca: bool = True, **env: str) -> Iterator[Wrapper]:
    """A daemon that has been started; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="wrapper-") as name:
        state = Path(name)
        if ca:
            put_ca(state)
        ours, theirs = socket.socketpair()
        ours.settimeout(30)
        settings = {
            "PATH": "/usr/bin:/bin",
            "BOT_BOTTLE_STATE": name,
            "BOT_BOTTLE_PIPELOCK": str(program),
            "BOT_BOTTLE_UPSTREAM_CA": str(upstream_ca),
            "TMPDIR": name,
            **env,
        }
        with (state / "log").open("wb") as log, theirs:
            process = subprocess.Popen(
                [python, "-I", str(SCRIPT)],
                env=settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: os.dup2(theirs.fileno(), layout.CHANNEL_FD),
                pass_fds=(layout.CHANNEL_FD,),
            )
        running = Wrapper(process, state, ours)
        try:
            assert until(running.answer)["state"] == "unconfigured"
            yield running
        finally:
            ours.close()
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()
