"""Starting bwrap: descriptors in place, root given up, the pid of its first process."""

from __future__ import annotations

import contextlib
import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from backends.api import BackendError
from backends.bubblewrap import argv, seccomp, stage


def spawn(
    run: Path,
    command: Callable[[int, int], list[str]],
    uid: int,
    paths: list[str],
    mapped: dict[str, tuple[int, int, int]],
    log: str,
    keep: dict[int, int],
    data_limit: int = 0,
) -> int:
    """Starts bwrap (as `uid` if not 0) and answers the host's pid of the sandbox's pid 1.

    `paths` and `mapped` are what it must reach (see `stage`), `keep` its extra descriptors and their numbers inside,
    `data_limit` bytes of memory for each of its processes, 0 for no bound here.
    """
    info_r, info_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        exec_bwrap(run / log, command, uid, paths, mapped, info_w, keep, data_limit)
    os.close(info_w)
    with os.fdopen(info_r) as info:
        raw = info.read()
    try:
        return int(json.loads(raw)["child-pid"])
    except (ValueError, KeyError):
        os.waitpid(pid, 0)
        reason = last_line(run / log) or "no reason given"
        raise BackendError(f"bubblewrap could not make a sandbox: {reason}", "bottle-dash doctor") from None


def exec_bwrap(
    log: Path,
    command: Callable[[int, int], list[str]],
    uid: int,
    paths: list[str],
    mapped: dict[str, tuple[int, int, int]],
    info_fd: int,
    keep: dict[int, int],
    data_limit: int,
) -> NoReturn:
    """In a forked child: descriptors in place, privileges gone, then bwrap. Never returns."""
    try:
        err = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDWR)
        if data_limit:
            resource.setrlimit(resource.RLIMIT_DATA, (data_limit, data_limit))
        filter_fd = os.memfd_create("seccomp")
        # Only daemons have such a limit, and they may not look into each other.
        os.write(filter_fd, seccomp.program(debugging=not data_limit))
        os.lseek(filter_fd, 0, os.SEEK_SET)
        if uid:
            stage.enter_private_namespace()
            stage.make_reachable(paths, mapped)
            drop_to(uid)
        for fd, target in ((null, 0), (null, 1), (err, 2)):
            os.dup2(fd, target)
        for fd, target in keep.items():
            if fd == target:
                os.set_inheritable(fd, True)
            else:
                os.dup2(fd, target)
        for fd in (info_fd, filter_fd):
            os.set_inheritable(fd, True)
        line = command(info_fd, filter_fd)
        os.execv(line[0], line)
    except BaseException as error:
        os.write(2, f"{error}\n".encode())
    finally:
        os._exit(127)


def drop_to(uid: int) -> None:
    """From root to `uid` and its group for good; nothing to do for 0."""
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def host_root() -> argv.HostRoot:
    """How this host's root is laid out: merged /usr by links, or real folders."""
    links, folders = [], []
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        path = Path(name)
        if path.is_symlink():
            links.append((name, str(path.readlink())))
        elif path.is_dir():
            folders.append(name)
    return argv.HostRoot(tuple(links), tuple(folders))


def last_line(path: Path) -> str:
    """The last line of a log, at most 300 characters; "" when there is none."""
    with contextlib.suppress(OSError):
        lines = path.read_text(errors="replace").strip().splitlines()
        return lines[-1].strip()[:300] if lines else ""
    return ""
