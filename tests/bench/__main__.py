"""Measures start-up, launch and painting in one run and prints them as ratios: `python -m tests.bench [RUNS]`."""

from __future__ import annotations

import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from backends.api import BackendError
from botbottle_tui.host.paths import host_paths
from tests.bench import launching, painting, starting
from tests.bench.figures import Row, table


def main(runs: int) -> int:
    """0 when everything was measured, met or not; 1 when something could not be."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    status, rows = 0, list[Row]()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bottle-bench-") as folder:
        home = Path(folder, "home")
        parts: list[tuple[str, Callable[[], list[Row]]]] = [
            ("--help", lambda: starting.help_rows(runs, home)),
            ("first frame", lambda: starting.frame_rows(runs, home)),
            ("launches", lambda: launching.rows(runs, host_paths().cache)),
            ("painting", painting.rows),
        ]
        for name, measure in parts:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            try:
                rows += measure()
            except (BackendError, TimeoutError, OSError) as error:
                print(f"bench: {name} not measured: {error}", file=sys.stderr)
                status = 1
    print(
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, load {load:.1f} at the start, "
        f"Python {platform.python_version()}, {'root' if os.geteuid() == 0 else 'an ordinary user'}, {runs} runs"
    )
    print(table(rows))
    return status


if __name__ == "__main__":
    words = sys.argv[1:] or ["20"]
    if len(words) != 1 or not words[0].isdigit() or int(words[0]) < 1:
        print("usage: python -m tests.bench [RUNS]", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(int(words[0])))
