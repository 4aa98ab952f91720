"""How long until the program answers: `--help`, and the dashboard's first frame."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench.figures import Row, p50, p95, wall
from tests.bench.pty_program import PtyProgram

PROGRAM = str(Path(sys.executable).with_name("bottle-dash"))


def environment(home: Path) -> dict[str, str]:
    """This process's, with a state folder of its own and outside tmux."""
    left_out = ("TMUX", "TMUX_PANE", "BOT_BOTTLE_BACKEND", "BOT_BOTTLE_DRY_RUN")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {"BOT_BOTTLE_HOME": str(home), "TERM": "xterm-256color"}


def interleaved(runs: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Each measure `runs` times in turn, after one turn that does not count."""
    out: list[list[float]] = [[] for _ in measures]
    for turn in range(runs + 1):
        for values, measure in zip(out, measures, strict=True):
            ms = measure()
            if turn:
                values.append(ms)
    return out


def help_rows(runs: int, home: Path) -> list[Row]:
    """`--help` against an interpreter that does nothing."""
    env = environment(home)
    ours, bare = interleaved(
        runs,
        lambda: wall([PROGRAM, "--help"], env),
        lambda: wall([sys.executable, "-c", "pass"], env),
    )
    return [Row("bottle-dash --help, p50", p50(ours), "python -c pass", p50(bare), aim=80)]


def frame_rows(runs: int, home: Path) -> list[Row]:
    """From exec to a whole frame: the title of the first pane and the footer in the last row."""
    env = environment(home)

    def frame() -> float:
        program = PtyProgram([PROGRAM], env)
        try:
            return program.until("═ Agents".encode(), b"help")
        finally:
            program.close(b"q")

    ours, bare = interleaved(runs, frame, lambda: wall([sys.executable, "-c", "import urwid"], env))
    return [
        Row("first frame, p50", p50(ours), "python -c 'import urwid'", p50(bare), aim=300),
        Row("first frame, p95", p95(ours), "python -c 'import urwid'", p95(bare)),
    ]
