"""A program on a pseudo-terminal of its own, and the moment at which something stands on it."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence


class PtyProgram:
    """Started at once; `close` ends it whatever it does."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], size: tuple[int, int] = (24, 80)) -> None:
        self.begin = time.perf_counter()
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self.proc = subprocess.Popen(
            argv, env=dict(env), stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.seen = b""

    def until(self, *words: bytes, seconds: float = 30.0) -> float:
        """Milliseconds from the start until all of `words` were written; `TimeoutError` with what was."""
        end = time.monotonic() + seconds
        while not all(word in self.seen for word in words):
            left = end - time.monotonic()
            if left <= 0 or not self._read(left):
                raise TimeoutError(f"{words!r} did not appear, but {self.seen[-400:]!r}")
        return (time.perf_counter() - self.begin) * 1000

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], seconds)
        try:
            data = os.read(self.master, 65536) if ready else b""
        except OSError:
            data = b""
        self.seen += data
        return bool(data)

    def close(self, keys: bytes) -> None:
        """Types `keys`, waits up to 10 s for the end, then kills."""
        try:
            os.write(self.master, keys)
            end = time.monotonic() + 10
            while self.proc.poll() is None and time.monotonic() < end:
                self._read(0.02)
        finally:
            if self.proc.poll() is None:
                os.killpg(self.proc.pid, signal.SIGKILL)
            self.proc.wait()
            os.close(self.master)
