"""Starts daemons, relays their output with a name before each line, and holds the private line to each."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sidecar_bundle.init.budget import Budget
from sidecar_bundle.shared import layout, wire
from sidecar_bundle.shared.visible import visible

MAX_OUTPUT_LINE = 2000
MAX_LINE_BYTES = 4096
_RESET = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD, signal.SIGPIPE]


_budgets: defaultdict[str, Budget] = defaultdict(lambda: Budget(since=time.monotonic()))


def say(text: str, name: str = "init") -> None:
    """One line on standard error, dropped when nobody reads (a full pipe must not stop init) or there were too many."""
    data = _line(text, name)
    left_out = _budgets[name].spend(len(data), time.monotonic())
    if left_out is not None:
        _write((_line(f"{left_out} lines left out", name) if left_out else b"") + data)


def _line(text: str, name: str) -> bytes:
    return f"[{name}] {visible(text[:MAX_OUTPUT_LINE])}".encode("utf-8", "replace")[:MAX_LINE_BYTES] + b"\n"


def _write(data: bytes) -> None:
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    if poll.poll(0):
        try:
            os.write(2, data)
        except OSError:
            return


@dataclass
class Child:
    """One running daemon: its process, its output, its private line, and what it last said of itself."""

    name: str
    pid: int
    output: int
    channel: socket.socket
    decoder: wire.Decoder = field(default_factory=wire.Decoder)
    state: str = "starting"
    detail: str = ""
    listeners: tuple[int, ...] = ()
    asked: int = 0
    _rest: bytes = b""

    def relay(self) -> bool:
        """Passes output on; False at its end."""
        try:
            data = os.read(self.output, 65536)
        except BlockingIOError:
            return True
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data and self._rest:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            say(line[:MAX_OUTPUT_LINE].decode("utf-8", "replace"), self.name)
        self._rest = self._rest[-MAX_OUTPUT_LINE:]
        return bool(data)

    def tell(self, message: Mapping[str, Any], fds: tuple[int, ...] = ()) -> None:
        """A message on the private line; a child that is gone is noticed by its death."""
        try:
            wire.send(self.channel, {**message, "fds": len(fds)}, fds)
        except OSError:
            return

    def heard(self) -> list[dict[str, Any]]:
        """Messages of the child; none when its line has ended or is broken."""
        try:
            return self.decoder.feed(self.channel.recv(65536, socket.MSG_DONTWAIT))
        except (OSError, wire.WireError):
            return []

    def close(self) -> None:
        """Gives back what init holds of a dead child."""
        os.close(self.output)
        self.channel.close()


def spawn(name: str, script: str, env: Mapping[str, str]) -> Child:
    """Starts `script` with this interpreter in isolated mode: no standard input, the private line on fd 3."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5.0)
    read, write = os.pipe()
    os.set_blocking(read, False)
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", script],
            dict(env),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, write, 1),
                (os.POSIX_SPAWN_DUP2, write, 2),
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), layout.CHANNEL_FD),
            ],
            setpgroup=0,
            setsigdef=_RESET,
            setsigmask=[],
        )
    except OSError:
        os.close(read)
        ours.close()
        raise
    finally:
        os.close(write)
        theirs.close()
    return Child(name, pid, read, ours)
