"""The terminal and the log: nothing is printed over the screen, and after a crash there is something to read."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

LOG_BYTES = 1_000_000


def private_file(path: Path, flags: int) -> int:
    """A descriptor of a file that only its owner reads, its folder made when needed."""
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)


class LogFile(logging.Handler):
    """Appends to one file, made with its first line: a dashboard that had nothing to say leaves nothing behind."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self.path = path
        self._fd: int | None = None
        self._last = ""
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        said = f"{record.name} {record.getMessage()} {record.exc_info and repr(record.exc_info[1])}"
        if said == self._last:
            return  # a poll that fails each second says so once
        self._last = said
        try:
            if self._fd is None:
                if self.path.exists() and self.path.stat().st_size > LOG_BYTES:
                    self.path.replace(self.path.with_suffix(".log.1"))
                self._fd = private_file(self.path, os.O_APPEND)
            os.write(self._fd, (self.format(record) + "\n").encode(errors="backslashreplace"))
        except OSError:
            pass  # a full disk must not end the dashboard, and there is no better place to say so

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        super().close()


@contextmanager
def logged(home: Path) -> Iterator[None]:
    """Logs and warnings go to `logs/dashboard.log` alone, as do exceptions of threads."""
    root, handler = logging.getLogger(), LogFile(home / "logs" / "dashboard.log")
    others, level, hook = root.handlers[:], root.level, threading.excepthook
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    log = logging.getLogger(__name__)

    def thread_failed(args: threading.ExceptHookArgs) -> None:
        log.error("a thread failed", exc_info=args.exc_value)

    threading.excepthook = thread_failed
    try:
        yield
    finally:
        threading.excepthook = hook
        logging.captureWarnings(False)
        root.handlers[:] = others
        root.setLevel(level)
        handler.close()


@contextmanager
def on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGHUP end the loop, so that the terminal is restored; before and after they mean what they meant."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(n, lambda *_: stop()) for n in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def report_crash(home: Path, error: BaseException, messages: Iterable[str]) -> None:
    """Writes what is known to `logs/dashboard-crash.log`, and one line to stderr. The terminal is restored already."""
    path = home / "logs" / "dashboard-crash.log"
    first = (str(error).splitlines() or [""])[0]
    what = f"{type(error).__name__}{f': {first}' if first else ''}"
    text = "".join(traceback.format_exception(error))
    try:
        fd = private_file(path, os.O_TRUNC)
        with os.fdopen(fd, "w", errors="backslashreplace") as file:
            file.write(text + "\nthe last messages, oldest first:\n" + "\n".join(messages) + "\n")
        where = f"see {path}; "
    except OSError as failed:
        where = f"no report was written ({failed.strerror}); "
    sys.stderr.write(f"bottle-dash: ended by a fault of its own ({what}); {where}bottles go on\n")


def told(msg: object) -> str:
    """A message for the report: its type and plain fields; what is large or from inside a bottle is only counted."""
    out = []
    for field in fields(msg):  # type: ignore[arg-type]
        value = getattr(msg, field.name)
        if isinstance(value, tuple):
            out.append(f"{field.name}=<{len(value)}>")
        elif isinstance(value, str | int | float | Path | None):
            out.append(f"{field.name}={repr(value)[:200]}")
        else:
            out.append(f"{field.name}=<{type(value).__name__}>")
    return f"{type(msg).__name__}({', '.join(out)})"


def is_terminal(streams: Sequence[object]) -> bool:
    """Whether all of them are terminals."""
    return all(getattr(s, "isatty", lambda: False)() for s in streams)
