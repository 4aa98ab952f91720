"""What bounds a bottle's memory and processes here: a control group where this user may make one, else rlimits."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from backends.api import Limits

_ROOT = Path("/sys/fs/cgroup")
SETTLED = 60.0  # seconds


def default_limits() -> Limits:
    """Half of the machine's memory, at most 8 GiB; 1,024 processes; an eighth of memory, at most 1 GiB, a tmpfs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Limits(memory=min(memory // 2, 8 << 30), pids=1024, files=16384, tmpfs=min(memory // 8, 1 << 30))


@dataclass(frozen=True, slots=True)
class Groups:
    """The control groups of one bottle, one folder a hierarchy (two for cgroup v1, one for v2).

    In each stand `agent`, which is bounded, and `keeper`, so that memory that the agent wants never ends the keeper.
    """

    folders: tuple[Path, ...]

    def add(self, pid: int, part: str = "agent") -> None:
        """Moves a process in."""
        for folder in self.folders:
            (folder / part / "cgroup.procs").write_text(str(pid))

    def give(self, uid: int) -> None:
        """Lets `uid` move its own processes between the parts."""
        for folder in self.folders:
            for place in (folder, folder / "agent", folder / "keeper"):
                os.chown(place / "cgroup.procs", uid, uid)


def describe() -> tuple[bool, str]:
    """Whether control groups are in force for this user, and the line for the preflight."""
    if os.geteuid() == 0 and _hierarchies():
        version = "v2" if (_ROOT / "cgroup.controllers").exists() else "v1"
        return True, f"control group ({version}): memory and processes of the whole bottle"
    return False, "rlimits and a watch on memory: a hostile agent can get past the watch for a while"


def make_groups(ident: str, limits: Limits) -> Groups:
    """The bottle's groups with their bounds, or an empty `Groups` where this user can make none."""
    made: list[Path] = []
    for folder in _hierarchies() if os.geteuid() == 0 else ():
        group = folder / "bot-bottle" / ident
        for _ in range(5):  # the end of another bottle may take the parent away in between
            with contextlib.suppress(FileNotFoundError):
                group.mkdir(parents=True, exist_ok=True)
                break
        if (group / "cgroup.subtree_control").exists():
            (group / "cgroup.subtree_control").write_text("+memory +pids")
        for part in ("keeper", "agent"):
            (group / part).mkdir(exist_ok=True)
        for name, value in (
            ("memory.max", limits.memory),
            ("memory.swap.max", 0),
            ("memory.limit_in_bytes", limits.memory),
            ("memory.memsw.limit_in_bytes", limits.memory),
            ("pids.max", limits.pids),
        ):
            if (group / "agent" / name).exists():
                (group / "agent" / name).write_text(str(value))
        made.append(group)
    return Groups(tuple(made))


def remove_groups(ident: str) -> bool:
    """Removes the groups of a bottle whose processes are gone; False when one is still busy."""
    done = True
    for group in find_groups(ident):
        try:
            for part in [p for p in group.iterdir() if p.is_dir()]:
                part.rmdir()
            group.rmdir()
        except OSError:
            done = False
    for folder in _hierarchies():
        with contextlib.suppress(OSError):  # still the home of other bottles
            (folder / "bot-bottle").rmdir()
    return done


def find_groups(ident: str = "*") -> tuple[Path, ...]:
    """The groups that exist for a bottle, or for all."""
    return tuple(g for folder in _hierarchies() for g in (folder / "bot-bottle").glob(ident) if g.is_dir())


def empty_groups() -> set[str]:
    """Names of bottles' groups that hold no process, and have stood for longer than a launch takes to fill them."""
    out = set()
    for group in find_groups():
        with contextlib.suppress(OSError):
            busy = any(p.read_text() for p in group.glob("*/cgroup.procs"))
            if not busy and time.time() - group.stat().st_mtime > SETTLED:
                out.add(group.name)
    return out


def _hierarchies() -> tuple[Path, ...]:
    if (_ROOT / "cgroup.controllers").exists():
        parent = _ROOT / "bot-bottle"
        try:
            parent.mkdir(exist_ok=True)
            for folder in (_ROOT, parent):
                (folder / "cgroup.subtree_control").write_text("+memory +pids")
        except OSError:
            pass
        return (_ROOT,) if (parent / "pids.max").exists() or (parent / "memory.max").exists() else ()
    return tuple(_ROOT / name for name in ("memory", "pids") if (_ROOT / name / "cgroup.procs").exists())


def apply_rlimits(limits: Limits) -> None:
    """Bounds this process and what it starts. Inside a user namespace the process count is the bottle's own."""
    for kind, value in (
        (resource.RLIMIT_NPROC, limits.pids),
        (resource.RLIMIT_NOFILE, limits.files),
        (resource.RLIMIT_DATA, limits.memory),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))
