"""One run of the agent's host-side process: in a new session, on a PTY of its own."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import sys
import termios
from collections.abc import Callable, Mapping, Sequence

_IUTF8 = 0o40000  # Linux; lets the terminal driver erase whole characters


class AgentProcess:
    """A running process, and the master side of its terminal (`master`, non-blocking; -1 once closed)."""

    def __init__(self, pid: int, master: int) -> None:
        self.pid = pid
        self.master = master
        # Where the system has no pidfd the owner looks from time to time.
        self.pidfd = os.pidfd_open(pid) if sys.platform == "linux" else -1

    def resize(self, rows: int, cols: int) -> None:
        """Sets the terminal's size; the kernel tells the agent when it changed."""
        if self.master >= 0:
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def reap(self) -> int | None:
        """The exit status if the process has ended (128+n when signal n ended it), else None."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return 255  # someone else took the status
        if pid == 0:
            return None
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def signal(self, number: int) -> None:
        """Signals the process and its group; one that has ended is ignored."""
        for send, target in ((os.killpg, self.pid), (os.kill, self.pid)):
            try:
                send(target, number)
            except (ProcessLookupError, PermissionError):
                continue

    def close_terminal(self) -> None:
        """Closes the master, which hangs up on whatever still uses the terminal."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def close(self) -> None:
        """Lets go of the terminal and the pidfd; call it after `reap` gave the status."""
        self.close_terminal()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


def spawn(
    argv: Sequence[str],
    env: Mapping[str, str],
    size: tuple[int, int],
    pass_fds: Sequence[int] = (),
    prepare: Callable[[], None] | None = None,
) -> AgentProcess:
    """Starts `argv` on a new PTY of `size` (rows, cols), with default signals and of the descriptors only `pass_fds`.

    `prepare` runs in the child just before exec. A program that cannot be started says so on the terminal and ends
    with 127. Raises OSError when there is no PTY or process to be had.
    """
    master, slave = os.openpty()
    try:
        os.set_blocking(master, False)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        if sys.platform == "linux":
            attributes = termios.tcgetattr(slave)
            attributes[0] |= _IUTF8
            termios.tcsetattr(slave, termios.TCSANOW, attributes)
        pid = os.fork()
    except BaseException:
        os.close(master)
        os.close(slave)
        raise
    if pid == 0:
        _child(argv, env, slave, pass_fds, prepare)
    os.close(slave)
    return AgentProcess(pid, master)


def _child(
    argv: Sequence[str],
    env: Mapping[str, str],
    slave: int,
    pass_fds: Sequence[int],
    prepare: Callable[[], None] | None,
) -> None:
    try:
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in pass_fds:
            os.set_inheritable(fd, True)
        if prepare is not None:
            prepare()
        for fd in (0, 1, 2):
            os.dup2(slave, fd)
        low = 3
        for fd in sorted({fd for fd in pass_fds if fd > 2}):
            os.closerange(low, fd)
            low = fd + 1
        os.closerange(low, os.sysconf("SC_OPEN_MAX"))
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(argv[0], list(argv), dict(env))
    except BaseException as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        os.write(1, f"cannot start {argv[0] if argv else 'nothing'}: {reason}\r\n".encode(errors="replace"))
    finally:
        os._exit(127)
