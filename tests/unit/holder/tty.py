"""A real terminal for tests: a program on a PTY, typed to, read, and shown by the emulator."""

from __future__ import annotations

import fcntl
import json
import os
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from backends.holder.screen import Screen

ROOT = Path(__file__).resolve().parents[3]
HOLDER = [sys.executable, "-m", "backends.holder"]
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}


class Tty:
    """A program on a PTY of its own."""

    def __init__(self, argv: list[str], rows: int = 24, cols: int = 80) -> None:
        self.master, slave = os.openpty()
        self.screen = Screen(rows, cols)
        self.raw = bytearray()
        self.size(rows, cols, signal=False)
        self.before = termios.tcgetattr(slave)
        self.slave = slave

        def controlling() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=ENV, start_new_session=True, preexec_fn=controlling
        )

    def size(self, rows: int, cols: int, *, signal: bool = True) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        if signal:
            self.screen.resize(rows, cols)

    def type(self, text: str | bytes) -> None:
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def read(self, timeout: float) -> bool:
        if not select.select([self.master], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.raw += data
        self.screen.feed(data)
        return True

    def sees(self, text: str, timeout: float = 8.0) -> bool:
        """Whether `text` appears on the screen in time."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if any(text in line for line in self.screen.text()):
                return True
            self.read(0.05)
        raise AssertionError(f"{text!r} is not on the screen:\n" + "\n".join(self.screen.text()))

    def ends(self, timeout: float = 8.0) -> int:
        until = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < until:
            self.read(0.05)
        while self.read(0.05):
            pass
        return self.process.wait(0.1)

    def restored(self) -> bool:
        """Whether the terminal is as it was before the program ran."""
        return termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


class Held:
    """A holder in a process of its own."""

    def __init__(self, path: Path, argv: list[str], resume: list[str] | None = None) -> None:
        self.path = str(path)
        options = ["--resume", json.dumps(resume)] if resume else []
        self.process = subprocess.Popen(
            [*HOLDER, "run", self.path, *options, "--", *argv],
            env=ENV,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + 8
        while not path.exists():
            assert self.process.poll() is None and time.monotonic() < until
            time.sleep(0.01)
        self.ttys: list[Tty] = []

    def attach(self, *options: str, rows: int = 24, cols: int = 80) -> Tty:
        tty = Tty([*HOLDER, "attach", self.path, *options], rows, cols)
        self.ttys.append(tty)
        return tty

    def wait_for(self, timeout: float = 8.0, **wanted: object) -> dict[str, object]:
        """The status, as soon as it has these values."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            status = self.ask("status")
            if all(status[key] == value for key, value in wanted.items()):
                return status
            time.sleep(0.02)
        raise AssertionError(f"wanted {wanted}, got {status}")

    def ask(self, op: str, **more: object) -> dict[str, object]:
        from backends.holder.client import request

        return request(self.path, {"op": op, **more})

    def rss(self) -> int:
        """Its memory in KiB."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def close(self) -> None:
        for tty in self.ttys:
            tty.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(6)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
