"""What the command line writes: plain lines on stdout, one-line failures on stderr, questions on the terminal."""

from __future__ import annotations

import getpass
import json
import sys
from typing import Any

from backends.api import BackendError, Check
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


def dump(value: Any) -> None:
    """JSON on stdout."""
    say(json.dumps(value, indent=1, default=str))


def interactive() -> bool:
    """Whether a person is at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(question: str) -> bool:
    """A yes/no question on the terminal; anything but y or yes is no."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        return False


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
    fix = f"  -> {check.fix}" if check.fix and not check.ok else ""
    return visible(f"{mark:<5}{check.name}: {check.detail}{fix}", keep="")
