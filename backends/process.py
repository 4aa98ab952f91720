"""Runner: the only place where the dashboard and its backends start another program."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.api import BackendError

LIMIT = 64 * 1024 * 1024
LINE_LIMIT = 4096
TAIL = 64 * 1024
_ORPHAN_GRACE = 0.3

PACKAGES: Mapping[str, str] = {
    "bwrap": "bubblewrap",
    "curl": "curl",
    "git": "git",
    "ip": "iproute2",
    "openssl": "openssl",
    "ps": "procps",
    "setpriv": "util-linux",
    "tmux": "tmux",
}

_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Completed:
    """The end of a program: exit status (128+n when signal n ended it), its text, and `raw`, stdout as it came."""

    status: int
    stdout: str
    stderr: str
    raw: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the status is 0."""
        return self.status == 0

    @property
    def last_line(self) -> str:
        """The last line of stderr that says something, else of stdout, else the status: a reason in one line."""
        for text in (self.stderr, self.stdout):
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            if lines:
                return lines[-1]
        return f"exit status {self.status}"


def minimal_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment without anything of the operator's but where and who they are, plus `extra`."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | dict(extra or {})


class Runner:
    """Starts programs away from the terminal. Raises only `BackendError`; safe to use from several threads."""

    def __init__(self) -> None:
        self._detached: list[subprocess.Popen[bytes]] = []

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        input: str | bytes | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        limit: int = LIMIT,
    ) -> Completed:
        """Runs `argv` to its end, at most `timeout` seconds, without a terminal; any exit status is an answer.

        `env` None means this process's own. When the time is over, or more than `limit` bytes come, the whole process
        group is killed and `BackendError` raised.
        """
        out, err = bytearray(), bytearray()

        def keep(is_stderr: bool, data: bytes) -> None:
            (err if is_stderr else out).extend(data)
            if len(out) + len(err) > limit:
                raise BackendError(f"{_name(argv)} wrote more than {limit} bytes and was stopped")

        status = self._drive(argv, input, timeout, env, cwd, keep, merge=False)
        return Completed(status, out.decode(errors="replace"), err.decode(errors="replace"), bytes(out))

    def stream(
        self,
        argv: Sequence[str],
        on_line: Callable[[str], None],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        umask: int = -1,
    ) -> Completed:
        """As `run`, but hands each line of stdout and stderr (merged) to `on_line` as it comes.

        Lines are cut at `LINE_LIMIT` bytes; the answer's `stdout` holds the last `TAIL` bytes only.
        """
        tail, rest = bytearray(), bytearray()

        def lines(_: bool, data: bytes) -> None:
            tail.extend(data)
            del tail[:-TAIL]
            rest.extend(data)
            *whole, last = rest.replace(b"\r", b"\n").split(b"\n")
            rest[:] = last[:LINE_LIMIT]
            for line in whole:
                if line.strip():
                    on_line(line[:LINE_LIMIT].decode(errors="replace").rstrip())

        status = self._drive(argv, None, timeout, env, cwd, lines, merge=True, umask=umask)
        lines(False, b"\n")
        return Completed(status, tail.decode(errors="replace"), "", bytes(tail))

    def foreground(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> int:
        """Gives the terminal to `argv` until it ends; answers its status (128+n when signal n ended it).

        Ctrl-C and Ctrl-\\ belong to the program: this process gets them too, and does nothing. Main thread only.
        """
        # A handler and not SIG_IGN, which the program would inherit.
        old = {n: signal.signal(n, lambda *_: None) for n in (signal.SIGINT, signal.SIGQUIT)}
        try:
            return _status(_popen(argv, env=env).wait())
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def spawn_detached(
        self,
        argv: Sequence[str],
        *,
        stdin_socket: socket.socket | None,
        log: Path,
        env: Mapping[str, str] | None = None,
    ) -> int:
        """Starts `argv` in a session of its own, to outlive this process, and answers its pid.

        Its stdin is `stdin_socket` (or empty), its stdout and stderr the end of `log` (0600). `env` None means
        `minimal_env()`. It inherits no other file.
        """
        try:
            fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise BackendError(f"cannot write {log}: {e.strerror}") from None
        try:
            proc = _popen(
                argv,
                env=minimal_env() if env is None else env,
                stdin=subprocess.DEVNULL if stdin_socket is None else stdin_socket.fileno(),
                stdout=fd,
                stderr=fd,
                start_new_session=True,
            )
        finally:
            os.close(fd)
        self._detached.append(proc)
        return proc.pid

    def reap(self) -> None:
        """Collects detached programs that ended meanwhile, so that none stays behind as a zombie of this process."""
        self._detached = [proc for proc in self._detached if proc.poll() is None]

    def _drive(
        self,
        argv: Sequence[str],
        input: str | bytes | None,
        timeout: float,
        env: Mapping[str, str] | None,
        cwd: Path | None,
        sink: Callable[[bool, bytes], None],
        *,
        merge: bool,
        umask: int = -1,
    ) -> int:
        self.reap()
        data = input.encode() if isinstance(input, str) else input
        proc = _popen(
            argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE,
            start_new_session=True,
            umask=umask,
        )
        deadline = time.monotonic() + timeout
        try:
            for is_stderr, chunk in _pump(proc, data or b"", deadline):
                sink(is_stderr, chunk)
            return _status(proc.wait(max(0.0, deadline - time.monotonic())))
        except (subprocess.TimeoutExpired, TimeoutError):
            _kill_group(proc)
            raise BackendError(f"{_name(argv)} did not end within {timeout:g} s and was stopped") from None
        except BaseException:
            _kill_group(proc)
            raise
        finally:
            for pipe in (proc.stdin, proc.stdout, proc.stderr):
                if pipe:
                    with contextlib.suppress(OSError):
                        pipe.close()


def _pump(proc: subprocess.Popen[bytes], data: bytes, deadline: float) -> Iterator[tuple[bool, bytes]]:
    """Feeds stdin and yields (is stderr, bytes) until both outputs end; `TimeoutError` at the deadline."""
    left = memoryview(data)
    ended = 0.0
    with selectors.DefaultSelector() as sel:
        for pipe, event in (
            (proc.stdin, selectors.EVENT_WRITE),
            (proc.stdout, selectors.EVENT_READ),
            (proc.stderr, selectors.EVENT_READ),
        ):
            if pipe:
                os.set_blocking(pipe.fileno(), False)
                sel.register(pipe, event)
        while any(key.events == selectors.EVENT_READ for key in sel.get_map().values()):
            now = time.monotonic()
            if now >= deadline:
                raise TimeoutError
            if ended and now >= ended + _ORPHAN_GRACE:
                return  # The program is gone; something that it started holds the pipe and is not waited for.
            if not ended and proc.poll() is not None:
                ended = now
            for key, _ in sel.select(min(0.1, deadline - now)):
                if key.events == selectors.EVENT_WRITE:
                    try:
                        left = left[os.write(key.fd, left[:65536]) :]
                    except BrokenPipeError:
                        left = left[:0]
                    if not left:
                        sel.unregister(key.fileobj)
                        assert proc.stdin
                        proc.stdin.close()
                elif chunk := os.read(key.fd, 65536):
                    ended = ended and now
                    yield key.fileobj is proc.stderr, chunk
                else:
                    sel.unregister(key.fileobj)


def _popen(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    start_new_session: bool = False,
    umask: int = -1,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(argv),
            env=None if env is None else dict(env),
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=start_new_session,
            umask=umask,
        )
    except (OSError, ValueError) as e:
        name = _name(argv)
        if cwd is not None and not cwd.is_dir():
            raise BackendError(f"cannot run {name}: {cwd}: no such folder") from None
        # Not by the kind of error: a folder of PATH that may not be read makes it "permission denied".
        if isinstance(e, OSError) and argv and not shutil.which(argv[0], os.F_OK, (env or os.environ).get("PATH")):
            package = PACKAGES.get(name)
            raise BackendError(f"{name} is not installed", f"apt-get install {package}" if package else "") from None
        raise BackendError(f"cannot run {name}: {getattr(e, 'strerror', None) or e}") from None


def _kill_group(proc: subprocess.Popen[bytes]) -> None:
    if proc.returncode is not None:
        return  # Already collected: the number may be another group's by now.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(proc.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        proc.wait(5)


def _name(argv: Sequence[str]) -> str:
    return Path(argv[0]).name if argv else "(nothing)"


def _status(code: int) -> int:
    return code if code >= 0 else 128 - code
