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
        pids = inhabitants(self.live.sandbox.pid)
        if sum(resident(pid) for pid in pids) + unmapped(pids) <= memory:
            return
        sizes = {pid: proportional(pid) for pid in pids}
        held = {pid: unmapped([pid]) for pid in pids}
        if sum(sizes.values()) + unmapped(pids) > memory:
            victim = max(pids, key=lambda pid: sizes[pid] + held[pid])
            with contextlib.suppress(OSError):
                os.kill(victim, signal.SIGKILL)


def inhabitants(sandbox_pid: int) -> list[int]:
    """Host pids of the processes in the sandbox's pid namespace, but for its first."""
    out: list[int] = []
    with contextlib.suppress(OSError):
        home = Path(f"/proc/{sandbox_pid}/ns/pid").stat().st_ino
        for entry in os.scandir("/proc"):
            if entry.name.isdigit() and int(entry.name) != sandbox_pid:
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{entry.name}/ns/pid").stat().st_ino == home:
                        out.append(int(entry.name))
    return out


def _fields(path: str, names: tuple[str, ...]) -> int:
    """The sum in bytes of the `NAME:  N kB` lines of a file of /proc; 0 when it cannot be read."""
    total = 0
    with contextlib.suppress(OSError, ValueError):
        for line in Path(path).read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in names:
                total += int(rest.split()[0]) << 10
    return total


def resident(pid: int) -> int:
    """Bytes of anonymous and shared memory mapped by a process; what several share counts for each."""
    return _fields(f"/proc/{pid}/status", ("RssAnon", "RssShmem"))


def proportional(pid: int) -> int:
    """As `resident`, with shared memory divided among those who share it."""
    return _fields(f"/proc/{pid}/smaps_rollup", ("Pss_Anon", "Pss_Shmem")) or resident(pid)


def unmapped(pids: list[int]) -> int:
    """Bytes of memory files (memfd) that the processes hold open; each once. They need not be mapped anywhere."""
    found: dict[tuple[int, int], int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if str(Path(entry.path).readlink()).startswith("/memfd:"):
                        info = Path(entry.path).stat()
                        found[info.st_dev, info.st_ino] = info.st_blocks * 512
    return sum(found.values())


def interval_timer(seconds: float) -> int:
    """A timerfd that becomes readable every `seconds` (Python has it from 3.13)."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.timerfd_create(1, os.O_CLOEXEC)
    whole, rest = int(seconds), int(seconds % 1 * 1e9)
    spec = struct.pack("qqqq", whole, rest, whole, rest)
    if fd < 0 or libc.timerfd_settime(fd, 0, spec, None):
        raise OSError(ctypes.get_errno(), "timerfd")
    return fd
