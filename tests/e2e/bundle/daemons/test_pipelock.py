"""The pipelock daemon end to end, in a namespace with live fake upstreams; its program is the stand-in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import need
from tests.e2e import netns
from tests.e2e.bundle.test_bundle import PUBLIC, bundle_python


@pytest.mark.parametrize("inside", ["inside_pipelock", "inside_pipelock_chain", "inside_pipelock_broken"])
def test_in_a_namespace(inside: str) -> None:
    python = bundle_python()
    if why := netns.unavailable():
        need("bundle", f"there is no network namespace: {why}")
    done = netns.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(Path(__file__).with_name(f"{inside}.py"))],
        addresses=(PUBLIC, "203.0.113.11", "203.0.113.12", "10.9.9.9"),
        hosts=dict.fromkeys(("open.example", "api.example", "evil.example"), PUBLIC),
        env={"BOT_BOTTLE_TEST_BUNDLE_PYTHON": python},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
