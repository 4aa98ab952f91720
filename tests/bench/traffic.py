"""What the proxy costs: scanning, small requests, downloads and events, each beside a bare mitmdump or nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from backends.api import BackendError
from backends.bundle_env import BundleEnv
from tests.bench import engine, traffic_inside, upstream
from tests.bench.figures import Row, p50, p95
from tests.bench.prompts import ROOT
from tests.e2e import netns

NO_PIPELOCK = "no pipelock binary here"


def real_pipelock() -> str:
    """The program that `BOT_BOTTLE_PIPELOCK` or PATH names, unless it is the tests' stand-in; "" without one."""
    path = os.environ.get("BOT_BOTTLE_PIPELOCK") or shutil.which("pipelock") or ""
    if not path or not os.access(path, os.X_OK):
        return ""
    done = subprocess.run([path, "version"], capture_output=True, text=True, timeout=20)
    return "" if done.returncode or "stand-in" in done.stdout + done.stderr else path


def scanning(rounds: int, cache: Path) -> dict[str, list[float]]:
    """Milliseconds of the engine alone, by kind of request."""
    argv = [str(BundleEnv(cache).python()), "-m", engine.__name__, str(rounds)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise BackendError(f"the engine was not timed: {(done.stderr.strip() or '?').splitlines()[-1]}")
    spent: dict[str, list[float]] = json.loads(done.stdout)
    return spent


def exchanges(rounds: int, cache: Path, pipelock: str) -> tuple[dict[str, list[float]], str]:
    """Milliseconds by name of everything that goes over a socket, and what pipelock refused of it, or ""."""
    if why := netns.unavailable():
        raise BackendError(f"no network namespace of one's own: {why}")
    hosts = dict.fromkeys((traffic_inside.HOST, traffic_inside.UNSCANNED), upstream.ADDRESS)
    words = [traffic_inside.__name__, str(rounds), str(BundleEnv(cache).python()), pipelock]
    done = netns.run(
        [sys.executable, "-m", *words], addresses=(upstream.ADDRESS,), hosts=hosts, timeout=600.0 + 60 * rounds
    )
    if done.returncode:
        raise BackendError(f"traffic was not measured: {(done.stderr.strip() or '?').splitlines()[-1]}")
    found = json.loads(done.stdout.splitlines()[-1])
    refused = str(found.pop("refused", ""))
    return {str(name): list(values) for name, values in found.items()}, refused


def rows(rounds: int, cache: Path, pipelock: str) -> list[Row]:
    """Everything about requests; `pipelock` is the real program or "". `BackendError` when nothing can be measured."""
    alone = scanning(rounds, cache)
    took, refused = exchanges(rounds, cache, pipelock)
    missing = f"pipelock refused the request: {refused}" if refused else NO_PIPELOCK
    return [*_engine_rows(alone), *_traffic_rows(took, alone, missing)]


def _engine_rows(spent: dict[str, list[float]]) -> list[Row]:
    return [
        Row("DLP of a 400 KB request, engine alone, p50", p50(spent["text"]), aim=10),
        Row("DLP of a 400 KB request, engine alone, p95", p95(spent["text"])),
        Row("  of CPU time, p50", p50(spent["cpu"])),
        Row("  when 200 KB of it are a picture, p50", p50(spent["image"])),
        Row("  when it has no body, p50", p50(spent["small"])),
    ]


def _traffic_rows(took: dict[str, list[float]], alone: dict[str, list[float]], missing: str) -> list[Row]:
    def mid(name: str) -> float:
        return p50(took[name])

    bare = "bare mitmdump"
    added = p95(took["sse egress"]) - p50(took["sse direct"])
    speed = {name: upstream.BIG / 1000 / mid(f"download {name}") for name in ("direct", "bare", "egress", "unscanned")}
    return [
        Row("400 KB request, whole, through egress, p50", mid("large egress"), bare, mid("large bare")),
        Row("  with dlp: off, p50", mid("large unscanned"), bare, mid("large bare")),
        Row("  direct, p50", mid("large direct")),
        *_pipelock_rows(took, alone, missing),
        Row("small request through egress, p50", mid("small egress"), bare, mid("small bare"), 1.15, True),
        Row("  with dlp: off, p50", mid("small unscanned"), bare, mid("small bare")),
        Row("  p95", p95(took["small egress"]), f"{bare}, p95", p95(took["small bare"])),
        Row("  direct, p50", mid("small direct")),
        *_chain_rows(took, missing),
        Row("100 MB download through egress, p50", speed["egress"], bare, speed["bare"], 0.9, True, "MB/s", True),
        Row("  with dlp: off, p50", speed["unscanned"], bare, speed["bare"], unit="MB/s"),
        Row("  direct, p50", speed["direct"], unit="MB/s"),
        Row("SSE event, delay that egress adds, p95", added, aim=10),
        Row("  through egress, p50", mid("sse egress"), "direct", mid("sse direct")),
    ]


def _pipelock_rows(took: dict[str, list[float]], alone: dict[str, list[float]], missing: str) -> list[Row]:
    what = "DLP of a 400 KB request in pipelock, p50"
    if "large pipelock alone" not in took:
        return [Row(what, aim=350, aim_is_ratio=True, at_least=True, missing=missing)]
    # What is not scanning is what the same program takes for a small request, and nobody takes for a large one.
    rest = p50(took["small pipelock alone"]) + p50(took["large pipelock direct"]) - p50(took["small pipelock direct"])
    scan = p50(took["large pipelock alone"]) - rest
    return [Row(what, scan, "egress's engine", p50(alone["text"]), 350, True, at_least=True)]


def _chain_rows(took: dict[str, list[float]], missing: str) -> list[Row]:
    what = "small request through egress and pipelock, p50"
    if "small chain both" not in took:
        return [Row(what, missing=missing)]
    return [
        Row(what, p50(took["small chain both"]), "egress alone", p50(took["small egress"])),
        Row("  through pipelock alone, p50", p50(took["small pipelock alone"])),
    ]
