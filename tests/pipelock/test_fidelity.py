"""Holds the stand-in and a real pipelock v2.3.0 to the same statements, in a namespace with live fake upstreams.

The real one runs where BOT_BOTTLE_PIPELOCK names it; without it nothing here speaks of the real program.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import need
from tests.e2e import netns
from tests.e2e.bundle.test_bundle import bundle_python
from tests.pipelock.running import standin

INSIDE = sorted(Path(__file__).parent.glob("inside_*.py"))
PUBLIC = "203.0.113.10"


@pytest.mark.parametrize("inside", INSIDE, ids=[path.stem for path in INSIDE])
@pytest.mark.parametrize("which", ["standin", "real"])
def test_in_a_namespace(inside: Path, which: str) -> None:
    python = bundle_python()
    real = os.environ.get("BOT_BOTTLE_PIPELOCK", "")
    if which == "real" and not os.access(real, os.X_OK):
        need("pipelock", "the real program is not named in BOT_BOTTLE_PIPELOCK: only the stand-in was tested")
    if why := netns.unavailable():
        need("bundle", f"there is no network namespace: {why}")
    with tempfile.TemporaryDirectory(prefix="pipelock-") as folder:
        program = real if which == "real" else str(standin(Path(folder), python))
        done = netns.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(inside)],
            addresses=(PUBLIC, "203.0.113.12"),
            hosts={
                **dict.fromkeys(("open.example", "sub.open.example", "other.example"), PUBLIC),
                "dead.example": "203.0.113.12",
                "loop.example": "127.0.0.1",
            },
            env={"BOT_BOTTLE_TEST_PIPELOCK": program, "BOT_BOTTLE_TEST_BUNDLE_PYTHON": python},
            timeout=300,
        )
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
