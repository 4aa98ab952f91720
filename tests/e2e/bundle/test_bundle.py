"""The bundle end to end: the real egress under init, in a namespace with live fake upstreams on TEST-NET addresses."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from backends.api import BackendError
from backends.bundle_env import BundleEnv
from tests.conftest import need
from tests.e2e import netns

INSIDE = sorted(Path(__file__).parent.glob("inside_*.py"))
PUBLIC = "203.0.113.10"
NAMES = ("open.example", "api.example", "evil.example", "wrong.example")


def bundle_python() -> str:
    """The Python of the bundle's environment; skips without one."""
    if chosen := os.environ.get("BOT_BOTTLE_TEST_BUNDLE_PYTHON"):
        return chosen
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "bot-bottle")
    try:
        return str(BundleEnv(cache).python())
    except BackendError as error:
        need("bundle", f"{error.message} ({error.hint})")


@pytest.mark.parametrize("inside", INSIDE, ids=[path.stem for path in INSIDE])
def test_in_a_namespace(inside: Path) -> None:
    python = bundle_python()
    if why := netns.unavailable():
        need("bundle", f"there is no network namespace: {why}")
    done = netns.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(inside)],
        addresses=(PUBLIC, "203.0.113.11", "203.0.113.12", "10.9.9.9"),
        hosts={
            **dict.fromkeys(NAMES, PUBLIC),
            "dead.example": "203.0.113.12",
            "h2.example": "203.0.113.11",
            "private.example": "10.9.9.9",
            "loop.example": "127.0.0.1",
        },
        env={"BOT_BOTTLE_TEST_BUNDLE_PYTHON": python},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
