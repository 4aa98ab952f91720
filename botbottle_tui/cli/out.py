"""What the command line writes: plain lines on stdout, one-line failures on stderr, questions on the terminal."""

from __future__ import annotations

import getpass
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from backends.api import BackendError, Check, Leftover, Waiting
from sidecar_bundle.shared.visible import visible


def say(text: str = "") -> None:
    """A line on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """A line on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def fail(message: str, hint: str = "") -> None:
    """What failed and why, and what to do next."""
    tell(f"bottle-dash: {visible(message, keep='')}" + (f" ({visible(hint, keep='')})" if hint else ""))


def leave(seen: Iterable[Leftover]) -> None:
    """A note on each thing that is not touched, and why."""
    for one in seen:
        detail = f" ({one.detail})" if one.detail else ""
        tell(visible(f"left alone: {one.backend} {one.kind} {one.slug or one.ident}{detail}: {one.left}", keep=""))


def dump(value: Any) -> None:
    """JSON on stdout."""
    say(json.dumps(value, indent=1, default=str))


def interactive() -> bool:
    """Whether a person is at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(question: str, word: str = "") -> bool:
    """A yes/no question on the terminal; anything but y or yes, or with `word` anything but that, is no."""
    sys.stderr.write(f"{question} [{f'type {word}' if word else 'y/N'}] ")
    sys.stderr.flush()
    try:
        return sys.stdin.readline().strip().lower() in ((word,) if word else ("y", "yes"))
    except KeyboardInterrupt:
        return False


def tell_waiting(waiting: Sequence[Waiting], slug: str) -> None:
    """That proposals of a bottle wait: while its agent had the terminal nobody saw them come."""
    if count := sum(w.slug == slug for w in waiting):
        what = "1 proposal waits" if count == 1 else f"{count} proposals wait"
        tell(f"{what} for your answer: bottle-dash proposals")


def secret(question: str, name: str) -> str:
    """A value typed without echo. `BackendError` names the variable when there is no terminal."""
    if not sys.stdin.isatty():
        raise BackendError(f"{name} must be typed in, and there is no terminal", "start it from a terminal")
    value = getpass.getpass(f"{visible(question, keep='') or name}: ")
    if not value:
        raise BackendError(f"{name} was left empty")
    return value


def check_line(check: Check) -> str:
    """One check as one line."""
    mark = "FAIL" if not check.ok else "warn" if check.warn else "ok"
    fix = f"  -> {check.fix}" if check.fix and (check.warn or not check.ok) else ""
    return visible(f"{mark:<5}{check.name}: {check.detail}{fix}", keep="")


class Steps:
    """Progress on stderr: the last line in place on a terminal, elsewhere the first line of each step."""

    def __init__(self) -> None:
        self._step = ""

    def __call__(self, line: str) -> None:
        step = line.partition(": ")[0]
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")
            sys.stderr.flush()
        elif step != self._step:
            tell(line)
        self._step = step

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *_: object) -> None:
        if self._step and sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
