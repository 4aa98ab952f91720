"""What a bundle writes on the host's disk stays bounded, and what the host reads of it never raises."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sidecar_bundle.init.budget import BURST, RESUME, TRICKLE, Budget
from sidecar_bundle.init.children import say
from sidecar_bundle.shared.activity import MAX_TEXT, Activity, parse_activity
from sidecar_bundle.shared.activity_log import ActivityLog

GOOD: dict[str, Any] = {
    "time": 1.5,
    "source": "egress",
    "verdict": "allow",
    "method": "GET",
    "host": "a.example",
    "target": "/",
    "reason": "",
    "status": 200,
}


def line(**changes: Any) -> str:
    return json.dumps({**GOOD, **changes})


def test_a_good_line_and_its_defaults() -> None:
    value = Activity(1.5, "egress", "allow", "GET", "a.example", "/", "", 200)
    assert parse_activity(line()) == value
    assert parse_activity(value.to_json()) == value
    short = {key: GOOD[key] for key in GOOD if key not in ("reason", "status")}
    parsed = parse_activity(json.dumps(short))
    assert parsed is not None
    assert (parsed.reason, parsed.status) == ("", 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "7",
        '"text"',
        "{",
        "[" * 100_000,
        '{"time":' * 50_000,
        line().replace("1.5", "1e999"),
        line().replace("1.5", "NaN"),
        line().replace("1.5", "-Infinity"),
        line().replace("1.5", "9" * 5000),
        line().replace("1.5", "9" * 4000),
        line().replace("200", "1e999"),
        line().replace("200", "9" * 400),
        line(time=-1),
        line(time=2**40),
        line(time=True),
        line(time="1"),
        line(status=1000),
        line(status=-1),
        line(status=403.0),
        line(status=None),
        line(verdict=[]),
        line(verdict="maybe"),
        line(host=None),
        line(target=["/"]),
        line(reason={"a": 1}),
        "\ud800",
    ],
)
def test_any_other_line_is_none(text: str) -> None:
    assert parse_activity(text) is None


def test_texts_are_cut() -> None:
    value = parse_activity(line(reason="r" * 100_000, host="h" * 100_000))
    assert value is not None
    assert (len(value.reason), len(value.host)) == (MAX_TEXT, MAX_TEXT)


def test_the_activity_of_a_flood_stays_below_twice_the_limit(tmp_path: Path) -> None:
    log = ActivityLog(str(tmp_path), limit=20_000)
    for number in range(1000):
        log.write("refuse", "GET", "evil.example", f"/{number}", "r" * 200, 403)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"activity.jsonl", "activity.jsonl.1"}
    assert max(sizes.values()) <= 20_000
    last = (tmp_path / "activity.jsonl").read_text().splitlines()[-1]
    assert '"/999"' in last


def test_activity_that_cannot_be_rotated_does_not_grow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "activity.jsonl.1").mkdir()
    log = ActivityLog(str(tmp_path), limit=2000)
    for _ in range(100):
        log.write("refuse", "GET", "evil.example", "/", "", 403)
    assert (tmp_path / "activity.jsonl").stat().st_size <= 2000
    assert capsys.readouterr().err.count("cannot write") == 1


def test_a_day_of_flood_is_a_few_megabytes_and_says_what_is_left_out() -> None:
    budget, written, left_out = Budget(), 0, 0
    for tenth in range(24 * 3600 * 10):
        answer = budget.spend(200, tenth / 10)
        if answer is not None:
            written, left_out = written + 200, left_out + answer
    assert BURST < written <= BURST + 24 * 3600 * TRICKLE
    assert written < 3_000_000
    assert left_out + budget.left_out + written // 200 == 24 * 3600 * 10


def test_a_quiet_log_loses_nothing_and_comes_back_after_a_flood() -> None:
    budget = Budget()
    assert [budget.spend(150, minute * 60.0) for minute in range(1000)] == [0] * 1000
    start = 60_000.0
    while budget.spend(1000, start) is not None:
        pass
    assert budget.spend(1000, start + RESUME / TRICKLE / 2) is None
    assert budget.spend(1000, start + RESUME / TRICKLE + 1) == 2
    assert budget.spend(1000, start + RESUME / TRICKLE + 1) == 0


def test_what_init_says_is_bounded() -> None:
    read, write = os.pipe()
    saved = os.dup(2)
    os.set_blocking(read, False)
    os.dup2(write, 2)
    said = b""
    try:
        for number in range(3000):
            say(f"line {number} " + "x" * 100, "flood")
            said += os.read(read, 65536) if number % 100 == 99 and number < 600 else b""
        say("still heard")
    finally:
        os.dup2(saved, 2)
    said += os.read(read, 200_000)
    for fd in (read, write, saved):
        os.close(fd)
    assert 0.9 * BURST < len(said) <= BURST + 200
    assert said.startswith(b"[flood] line 0 ")
    assert said.endswith(b"[init] still heard\n")
