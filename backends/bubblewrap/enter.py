"""Runs one command inside a live bottle: joins its namespaces from outside, gives up everything, then execs.

    python -I -m backends.bubblewrap.enter RUN_FOLDER [--tty] [--cwd DIR] -- ARGV...

The command gets this process's environment. Exit status: the command's (128+n for signal n), 125 when the bottle is not
there, 126/127 as a shell. With `--tty` the command gets a terminal of the bottle's own, never the caller's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import struct
import sys
import termios
import time
import tty
from pathlib import Path

from agent_image.providers import HOME
from backends.api import Limits
from backends.bubblewrap import limits, proof, seccomp, syscalls

_LAST_WORDS = 0.5  # seconds for what a command wrote before it ended, and how long a silence means that this is all
_QUIET = 0.05
_ORDER = ("cgroup", "ipc", "uts", "net", "pid", "mnt")


def join(live: proof.Live) -> None:
    """Puts this process (and, for the pid namespace, its children) into the bottle's namespaces."""
    pid = live.sandbox.pid
    fds = {name: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("user", *_ORDER)}
    if not live.sandbox.alive():
        raise ProcessLookupError("its sandbox has ended")
    outer = fcntl.ioctl(fds["net"], syscalls.NS_GET_USERNS)
    syscalls.setns(outer, syscalls.CLONE_NEWUSER)
    for name in _ORDER:
        syscalls.setns(fds[name])
    if os.fstat(outer).st_ino != os.fstat(fds["user"]).st_ino:
        syscalls.setns(fds["user"], syscalls.CLONE_NEWUSER)
    for fd in (outer, *fds.values()):
        os.close(fd)


def become_agent(live: proof.Live) -> None:
    """Into the bottle's control groups, if it has any, and from root to the agent's uid for good."""
    if os.geteuid() == 0:
        # Written by root it cannot be taken back by the agent; a keeper's child does it in `confine`.
        Path("/proc/self/oom_score_adj").write_text("1000")
    limits.Groups(limits.find_groups(live.ident)).add(os.getpid())
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(live.agent_uid, live.agent_uid, live.agent_uid)
        os.setresuid(live.agent_uid, live.agent_uid, live.agent_uid)


def confine(live: proof.Live) -> None:
    """What an agent's process runs under; call it in the child, last before exec."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    limits.apply_rlimits(Limits(live.memory, live.pids, live.files, 0))
    syscalls.drop_bounding_set()
    syscalls.no_new_privileges()
    syscalls.load_seccomp(seccomp.program())


def _child(live: proof.Live, argv: list[str], cwd: str, slave: int) -> None:
    os.setsid()
    if slave >= 0:
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in (0, 1, 2):
            os.dup2(slave, fd)
    os.closerange(3, 1024)
    os.umask(0o022)  # the keeper's own is not the agent's affair
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT):
        signal.signal(sig, signal.SIG_DFL)
    try:
        os.chdir(cwd)
    except OSError:
        os.chdir(HOME)
    confine(live)
    try:
        os.execvpe(argv[0], argv, os.environ)
    except FileNotFoundError:
        os.write(2, f"bottle-dash: {argv[0]}: not found in the bottle\n".encode())
        os._exit(127)
    except OSError as error:
        os.write(2, f"bottle-dash: {argv[0]}: {error.strerror}\n".encode())
        os._exit(126)


def _copy_size(master: int) -> None:
    with contextlib.suppress(OSError):
        size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
        if struct.unpack("HHHH", size)[0]:
            fcntl.ioctl(master, termios.TIOCSWINSZ, size)


def _relay(master: int, command: int) -> None:
    """Bytes between our terminal and the bottle's, until the command has ended: what it left running keeps none."""
    saved = termios.tcgetattr(0) if os.isatty(0) else None
    if saved is not None:
        tty.setraw(0, termios.TCSANOW)
    signal.signal(signal.SIGWINCH, lambda *_: _copy_size(master))
    sel = selectors.DefaultSelector()
    sel.register(0, selectors.EVENT_READ)
    sel.register(master, selectors.EVENT_READ)
    sel.register(command, selectors.EVENT_READ)
    end = None
    try:
        while end is None or time.monotonic() < end:
            # A terminal takes a moment to pass on what was written last; what goes on writing must not hold this up.
            ready = sel.select(None if end is None else _QUIET)
            if end is not None and not ready:
                return
            for key, _ in ready:
                if key.fd == command:
                    end = time.monotonic() + _LAST_WORDS
                    sel.unregister(command)
                    continue
                try:
                    data = os.read(key.fd, 65536)
                except OSError:
                    data = b""
                if key.fd == master and not data:
                    return
                if key.fd == 0 and not data:
                    sel.unregister(0)
                view = memoryview(data)
                while view:
                    view = view[os.write(1 if key.fd == master else master, view) :]
    except OSError:
        return  # whoever looked at the terminal is gone
    finally:
        if saved is not None:
            termios.tcsetattr(0, termios.TCSANOW, saved)


def replace_terminals() -> dict[int, int]:
    """Takes the caller's terminal out of 0, 1 and 2 for the command to come: no input, and pipes for its output.

    Answers reading end -> the terminal that `_show` writes to.
    """
    out: dict[int, int] = {}
    for fd in (0, 1, 2):
        if not os.isatty(fd):
            continue
        if fd == 0:
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.close(null)
            continue
        reader, writer = os.pipe()
        out[reader] = os.dup(fd)
        os.dup2(writer, fd)
        os.close(writer)
    return out


def _show(terminals: dict[int, int]) -> None:
    """What the command writes onto the terminals that it was not given, until it and its children have ended."""
    for fd in (1, 2):  # our own writing ends of the pipes
        os.dup2(next(iter(terminals.values())), fd)
    sel = selectors.DefaultSelector()
    for reader in terminals:
        sel.register(reader, selectors.EVENT_READ)
    while sel.get_map():
        for key, _ in sel.select():
            data = os.read(key.fd, 65536)
            if not data:
                sel.unregister(key.fd)
            with contextlib.suppress(OSError):
                while data:
                    data = data[os.write(terminals[key.fd], data) :]


def run(run_folder: Path, argv: list[str], *, tty_wanted: bool, cwd: str) -> int:
    """Joins, runs, relays, waits."""
    live = proof.load(run_folder)
    if live is None or not live.alive() or not live.sandbox.alive():
        sys.stderr.write(f"bottle-dash: bottle {live.slug if live else run_folder.name} is not running\n")
        return 125
    try:
        if live.agent_uid:
            become_agent(live)
        terminals = {} if tty_wanted else replace_terminals()
        join(live)
        master, slave = os.openpty() if tty_wanted else (-1, -1)
    except OSError as error:
        sys.stderr.write(f"bottle-dash: cannot enter bottle {live.slug}: {error.strerror or error}\n")
        return 125
    if tty_wanted:
        _copy_size(master)
    pid = os.fork()
    if pid == 0:
        try:
            _child(live, argv, cwd, slave)
        finally:
            os._exit(126)
    syscalls.drop_capabilities()  # those that joining gave; relaying needs none
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(sig, lambda number, _: os.kill(pid, number))
    if tty_wanted:
        os.close(slave)
        _relay(master, os.pidfd_open(pid))
    elif terminals:
        _show(terminals)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def main(args: list[str]) -> int:
    """The command line; made by this project only, so a wrong one is a bug."""
    split = args.index("--")
    options, argv = args[1:split], args[split + 1 :]
    cwd = options[options.index("--cwd") + 1] if "--cwd" in options else HOME
    return run(Path(args[0]), argv, tty_wanted="--tty" in options, cwd=cwd)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
