"""Starting bwrap: descriptors in place, root given up, the pid of its first process, a listener inside."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from backends.api import BackendError
from backends.bubblewrap import argv, enter, proof, seccomp, stage

BACKLOG = 256


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
        os.write(filter_fd, seccomp.program())
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


def listen_inside(live: proof.Live, port: int) -> int:
    """A listening socket on 127.0.0.1 of the sandbox's network; the process that made it is gone at once."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            drop_to(live.agent_uid)
            enter.join(live)
            inside = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            inside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            inside.bind(("127.0.0.1", port))
            inside.listen(BACKLOG)
            socket.send_fds(theirs, [b"1"], [inside.fileno()])
            code = 0
        finally:
            os._exit(code)
    theirs.close()
    with ours:
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    os.waitpid(pid, 0)
    if not fds:
        raise BackendError("egress could not listen inside the sandbox", "bottle-dash doctor")
    return fds[0]


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
