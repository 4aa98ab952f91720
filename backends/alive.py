"""Proof that a process still is the one that was started: its pid and its start time, within one boot."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

MARK = "launcher.json"


@dataclass(frozen=True, slots=True)
class Proc:
    """A process that cannot be mistaken for a later one: pid and start time in clock ticks since boot."""

    pid: int
    start: int

    @classmethod
    def of(cls, pid: int) -> Proc:
        """The proof of a live process."""
        return cls(pid, start_time(pid))

    def alive(self) -> bool:
        """Whether this very process still runs. Only meaningful within one boot."""
        return self.start != 0 and start_time(self.pid) == self.start


def boot_id() -> str:
    """The kernel's id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int:
    """Start of the process in clock ticks since boot; 0 when there is none, or only its corpse."""
    try:
        raw = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    fields = raw[raw.rindex(b")") + 2 :].split()
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def mark(run: Path) -> None:
    """Says that this process makes the folder, so that nobody takes it for a leftover meanwhile."""
    proc = Proc.of(os.getpid())
    (run / MARK).write_text(json.dumps({"boot": boot_id(), "pid": proc.pid, "start": proc.start}))


def maker_alive(run: Path) -> bool:
    """Whether the process that marked the folder still runs."""
    try:
        raw = json.loads((run / MARK).read_text())
        return raw["boot"] == boot_id() and Proc(raw["pid"], raw["start"]).alive()
    except (OSError, ValueError, KeyError, TypeError):
        return False
