"""Turns a skip into a failure when what the test needs is required here.

A test skips with `needs NAME: why`, or carries the marker `backend(NAME)`; `BOT_BOTTLE_REQUIRE=NAME,NAME` names what
must be there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator

import pytest

REQUIRED = frozenset(filter(None, os.environ.get("BOT_BOTTLE_REQUIRE", "").split(",")))


def _judge(report: pytest.TestReport | pytest.CollectReport, named: set[str]) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        named |= set(re.findall(r"\bneeds ([a-z]+):", reason))
        if wanted := sorted(named & REQUIRED):
            report.outcome = "failed"
            report.longrepr = f"BOT_BOTTLE_REQUIRE names {', '.join(wanted)}, but: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _judge(report, {mark.args[0] for mark in item.iter_markers("backend")})
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _judge(report, set())
    return report
