"""Measures everything that an aim was set for, in one run, as ratios where it can: `python -m tests.bench [RUNS]`."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from backends.api import BackendError
from botbottle_tui.host.paths import host_paths
from tests.bench import deciding, launching, on_docker, painting, pushing, starting, traffic
from tests.bench.figures import Row, table


def main(runs: int) -> int:
    """0 when everything was measured, met or not; 1 when something could not be."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    status, rows = 0, list[Row]()
    load = os.getloadavg()[0]
    cache, pipelock = host_paths().cache, traffic.real_pipelock()
    with tempfile.TemporaryDirectory(prefix="bottle-bench-") as folder:
        home = Path(folder, "home")
        parts: list[tuple[str, Callable[[], list[Row]]]] = [
            ("--help", lambda: starting.help_rows(runs, home)),
            ("first frame", lambda: starting.frame_rows(runs, home)),
            ("launches", lambda: launching.rows(runs, cache)),
            ("docker launches", lambda: on_docker.launch_rows(runs, cache)),
            ("docker images", lambda: on_docker.image_rows(runs, cache)),
            ("painting", painting.rows),
            ("requests", lambda: traffic.rows(runs, cache, pipelock)),
            ("pushes", lambda: pushing.rows(runs)),
            ("decisions", lambda: deciding.rows(runs, cache)),
            ("decisions with pipelock", lambda: deciding.chained(runs, cache, pipelock)),
        ]
        for name, measure in parts:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            try:
                rows += measure()
            except (BackendError, TimeoutError, OSError, subprocess.TimeoutExpired, AssertionError) as error:
                rows.append(Row(name, missing=(str(error).strip() or type(error).__name__).splitlines()[0]))
                status = 1
    loads = f"load {load:.1f} at the start and {os.getloadavg()[0]:.1f} at the end"
    print(
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, {loads}, "
        f"Python {platform.python_version()}, {'root' if os.geteuid() == 0 else 'an ordinary user'}, {runs} runs"
    )
    print(table(rows))
    if missed := [row.what for row in rows if not row.met]:
        print(f"missed {len(missed)} of {sum(row.aim is not None for row in rows)} aims: {'; '.join(missed)}")
    return status


if __name__ == "__main__":
    words = sys.argv[1:] or ["20"]
    if len(words) != 1 or not words[0].isdigit() or int(words[0]) < 1:
        print("usage: python -m tests.bench [RUNS]", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(int(words[0])))
