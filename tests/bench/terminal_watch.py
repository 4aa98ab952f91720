"""A program on a terminal that is read all the time, and the moment at which something new stands on it."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Mapping, Sequence

from tests.bench.pty_program import PtyProgram


class Watched(PtyProgram):
    """As `PtyProgram`; a thread reads, so that the program never waits for its reader."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], size: tuple[int, int] = (24, 80)) -> None:
        super().__init__(argv, env, size)
        self._news = threading.Condition()
        self._stamps: list[tuple[int, float]] = []  # how much was seen, and when
        threading.Thread(target=self._follow, args=(os.dup(self.master),), daemon=True).start()

    def _follow(self, fd: int) -> None:
        try:
            while data := os.read(fd, 65536):
                with self._news:
                    self.seen += data
                    self._stamps.append((len(self.seen), time.perf_counter()))
                    self._news.notify_all()
        except OSError:
            return  # the program is gone
        finally:
            os.close(fd)

    def _read(self, seconds: float) -> bool:
        with self._news:
            return self._news.wait(seconds)

    def forget(self) -> float:
        """From now on only what comes after counts; the clock's seconds."""
        with self._news:
            self.seen, self._stamps = b"", []
            return time.perf_counter()

    def type(self, keys: str) -> float:
        """Forgets what was seen, then types; the clock's seconds just before."""
        now = self.forget()
        os.write(self.master, keys.encode())
        return now

    def wait(self, pattern: str, seconds: float = 30.0) -> tuple[float, re.Match[bytes]]:
        """The clock's seconds at which a match of `pattern` was written whole, and the match; `TimeoutError`."""
        end = time.monotonic() + seconds
        wanted = re.compile(pattern.encode(), re.MULTILINE)
        with self._news:
            while not (match := wanted.search(self.seen)):
                if (left := end - time.monotonic()) <= 0:
                    raise TimeoutError(f"{pattern!r} did not appear, but {self.seen[-600:]!r}")
                self._news.wait(left)
            return next(when for size, when in self._stamps if size >= match.end()), match
