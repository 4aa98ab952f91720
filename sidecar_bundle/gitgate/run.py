"""Runs the programs of the gate: bounded in time and output, in process groups that end whole."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sidecar_bundle.shared.visible import visible

MAX_OUTPUT = 64 * 1024 * 1024
_SAID = 64 * 1024


class Failed(Exception):
    """A program did not do what was asked; the text is one line for a person."""


def wait(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Whether it ended within `timeout` seconds; it is not collected, so that its number stays its own."""
    if process.returncode is not None:
        return True
    watch = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        return bool(poll.poll(max(1.0, timeout * 1000)))
    finally:
        os.close(watch)


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a program: status (negative: the signal), stdout, and what it said on stderr."""

    status: int
    out: bytes
    said: str

    @property
    def lines(self) -> list[str]:
        """What it said, line by line, with nothing hidden in it."""
        return [visible(line.rstrip(), keep="")[:500] for line in self.said.splitlines() if line.strip()]


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and all that it started in its group."""
    if process.returncode is not None:
        return  # Collected: the number may be another group's by now.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)


def run(
    argv: Sequence[str], *, env: Mapping[str, str], timeout: float, cwd: str, stdin: bytes = b"", what: str = ""
) -> Done:
    """Runs `argv` to its end. `Failed` when it cannot be started, or is stopped after `timeout` seconds.

    Output goes to unnamed files, so that a program that leaves something running holds nobody up; it is refused beyond
    `MAX_OUTPUT` bytes.
    """
    name = what or os.path.basename(argv[0])  # noqa: PTH119
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        try:
            process = subprocess.Popen(
                list(argv), stdin=given, stdout=out, stderr=err, env=dict(env), cwd=cwd, start_new_session=True
            )
        except OSError as error:
            raise Failed(f"cannot run {name}: {error.strerror}") from None
        until = time.monotonic() + timeout
        while not (ended := wait(process, 0.1)) and time.monotonic() < until:
            # The files are on the operator's disk.
            if max(os.fstat(file.fileno()).st_size for file in (out, err)) > MAX_OUTPUT:
                break
        # Also after its end, and before its number is free: nothing that it started may outlive it.
        kill_group(process)
        status = process.wait()
        if max(out.seek(0, os.SEEK_END), err.seek(0, os.SEEK_END)) > MAX_OUTPUT:
            raise Failed(f"{name} wrote more than {MAX_OUTPUT >> 20} MB")
        if not ended:
            raise Failed(f"{name} did not end within {timeout:.0f} s and was stopped")
        out.seek(0)
        err.seek(0)
        return Done(status, out.read(), err.read(_SAID).decode("utf-8", "replace"))
