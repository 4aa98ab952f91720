"""For root only: a private mount namespace in which an unprivileged uid reaches the few folders that a bottle needs.

HOME is often 0700, and the clone, Python and the state lie below it. Instead of opening HOME, every folder that blocks
the way is covered, in this namespace alone, by an empty one that holds just the needed paths, at their own names.
"""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Sequence
from pathlib import Path

from backends.bubblewrap import syscalls


def enter_private_namespace() -> None:
    """From here on, mounts of this process are its own and end with it."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.make_private()


def blocking_ancestor(path: Path) -> Path | None:
    """The topmost folder above `path` that a stranger may not search, or None."""
    for parent in reversed(path.parents):
        if not parent.stat().st_mode & 0o001:
            return parent
    return None


def make_reachable(paths: Sequence[str], mapped: dict[str, tuple[int, int, int]] | None = None) -> None:
    """Shows `paths` at their own names to every uid.

    `mapped` gives for a path (owner on disk, uid, gid): the owner's files appear there as uid's and gid's.
    Raises `OSError`; a file system that cannot map owners answers EINVAL.
    """
    mapped = mapped or {}
    real = {path: Path(os.path.realpath(path)) for path in [*paths, *mapped]}
    fds = {path: os.open(target, os.O_PATH | os.O_CLOEXEC) for path, target in real.items()}
    try:
        covers = {path: blocking_ancestor(target) for path, target in real.items()}
        for blocked in {c for c in covers.values() if c is not None}:
            syscalls.mount_tmpfs(str(blocked), 0o711)
        for path in sorted(real, key=lambda p: len(real[p].parts)):
            target, cover, info = real[path], covers[path], os.fstat(fds[path])
            if cover is not None:
                _skeleton(target, cover, stat.S_ISDIR(info.st_mode))
            if path in mapped:
                owner, uid, gid = mapped[path]
                userns = mapping_namespace(owner, uid, info.st_gid, gid)
                try:
                    syscalls.bind_idmapped(fds[path], str(target), userns)
                finally:
                    os.close(userns)
            elif cover is not None:
                syscalls.bind(f"/proc/self/fd/{fds[path]}", str(target))
    finally:
        for fd in fds.values():
            os.close(fd)


def _skeleton(target: Path, base: Path, folder: bool) -> None:
    """Empty folders from `base` down to `target`, and an empty file or folder there."""
    step = base
    for part in target.relative_to(base).parts[:-1]:
        step = step / part
        if not step.exists():
            step.mkdir()
            step.chmod(0o711)
    if not target.exists():
        if folder:
            target.mkdir()
        else:
            target.touch()


def mapping_namespace(uid_from: int, uid_to: int, gid_from: int, gid_to: int) -> int:
    """A user namespace that exists only as the map of an idmapped mount; answers its descriptor."""
    ready_r, ready_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            syscalls.unshare(syscalls.CLONE_NEWUSER)
            os.write(ready_w, b"1")
            signal.pause()
        finally:
            os._exit(0)
    os.close(ready_w)
    try:
        if os.read(ready_r, 1) != b"1":
            raise OSError("the namespace for the owner map could not be made")
        Path(f"/proc/{pid}/uid_map").write_text(f"{uid_from} {uid_to} 1\n")
        Path(f"/proc/{pid}/gid_map").write_text(f"{gid_from} {gid_to} 1\n")
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready_r)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
