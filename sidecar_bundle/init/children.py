"""Starts daemons, relays their output with a name before each line, and holds the private line to each."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
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
    sockets: dict[str, socket.socket] = field(default_factory=dict)
    asked: int = 0
    # There is news for it; and the rest of a message that did not fit.
    stale: bool = False
    unsent: bytes = b""
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

    def tell(self, message: Mapping[str, Any], sockets: Mapping[str, socket.socket]) -> None:
        """Sends the message and those sockets that it does not have yet, or stays `stale`; never waits.

        A child that is gone is noticed by its death.
        """
        fresh = {name: sock for name, sock in sockets.items() if self.sockets.get(name) is not sock}
        listeners, fds = list(fresh), [sock.fileno() for sock in fresh.values()]
        data = wire.encode({**message, "listeners": listeners, "fds": len(fds), "serial": self.asked})
        try:
            # Not by send_fds, which ignores flags.
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
            sent = self.channel.sendmsg([data], rights, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            sent = len(data)
        self.stale, self.sockets, self.unsent = False, dict(sockets), data[sent:]
        self.flush()

    def flush(self) -> None:
        """Sends on with what did not fit."""
        try:
            while self.unsent:
                self.unsent = self.unsent[self.channel.send(self.unsent, socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return
        except OSError:
            self.unsent = b""

    def heard(self) -> list[dict[str, Any]] | None:
        """Messages of the child that have arrived; None when its line has ended or is broken."""
        try:
            data = self.channel.recv(65536, socket.MSG_DONTWAIT)
            return self.decoder.feed(data) if data else None
        except BlockingIOError:
            return []
        except (OSError, wire.WireError):
            return None

    def close(self) -> None:
        """Gives back what init holds of a dead child."""
        os.close(self.output)
        self.channel.close()


def spawn(name: str, argv: Sequence[str], env: Mapping[str, str]) -> Child:
    """Starts the command: no standard input, the private line on fd 3."""
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    os.set_blocking(read, False)
    try:
        pid = os.posix_spawn(
            argv[0],
            list(argv),
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
