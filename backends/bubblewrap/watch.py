"""What a keeper watches while the agent runs: its sandbox, its one-shot launcher, and memory without control groups."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import struct
from pathlib import Path

from backends.bubblewrap import proof
from backends.holder.server import Holder

INTERVAL = 0.5  # seconds between two looks at memory


class Guard:
    """Ends the holder when the sandbox ends, or when the launcher of a one-shot bottle does."""

    def __init__(self, holder: Holder, live: proof.Live, launcher: socket.socket | None) -> None:
        self.holder = holder
        self.live = live
        self.launcher = launcher

    def install(self, memory: int) -> None:
        """Starts watching; `memory` in bytes bounds the sum of the bottle's resident pages, 0 leaves it alone."""
        self.holder.watch(os.pidfd_open(self.live.sandbox.pid), self.holder.stop)
        if self.launcher is not None:
            self.launcher.setblocking(False)
            self.holder.watch(self.launcher.fileno(), self.launcher_spoke)
        if memory:
            timer = interval_timer(INTERVAL)

            def tick() -> None:
                os.read(timer, 8)
                self.bound(memory)

            self.holder.watch(timer, tick)

    def launcher_spoke(self) -> None:
        """The launcher only ever closes."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            if self.launcher is not None and self.launcher.recv(4096):
                return
        self.holder.stop()

    def bound(self, memory: int) -> None:
        """Kills the largest process of the bottle when their sum is above the bound."""
        sizes = resident(self.live.sandbox.pid)
        if sum(sizes.values()) > memory:
            victim = max(sizes, key=lambda pid: sizes[pid])
            if victim != self.live.sandbox.pid:
                with contextlib.suppress(OSError):
                    os.kill(victim, signal.SIGKILL)


def resident(sandbox_pid: int) -> dict[int, int]:
    """Bytes of private resident memory of each process in the sandbox's pid namespace, by host pid."""
    out: dict[int, int] = {}
    page = os.sysconf("SC_PAGE_SIZE")
    try:
        home = Path(f"/proc/{sandbox_pid}/ns/pid").stat().st_ino
    except OSError:
        return out
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if Path(f"/proc/{entry.name}/ns/pid").stat().st_ino == home:
                    fields = Path(f"/proc/{entry.name}/statm").read_text().split()
                    out[int(entry.name)] = (int(fields[1]) - int(fields[2])) * page
            except (OSError, ValueError, IndexError):
                continue
    return out


def interval_timer(seconds: float) -> int:
    """A timerfd that becomes readable every `seconds` (Python has it from 3.13)."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.timerfd_create(1, os.O_CLOEXEC)
    whole, rest = int(seconds), int(seconds % 1 * 1e9)
    spec = struct.pack("qqqq", whole, rest, whole, rest)
    if fd < 0 or libc.timerfd_settime(fd, 0, spec, None):
        raise OSError(ctypes.get_errno(), "timerfd")
    return fd
