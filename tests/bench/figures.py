"""Figures of the bench: quantiles, a clock around a program, and the table that is printed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: milliseconds, and what they are compared with.

    `aim` is in milliseconds, or a ratio when `aim_is_ratio`; None means that nothing was aimed at.
    """

    what: str
    ms: float
    against: str = ""
    base: float = 0.0
    aim: float | None = None
    aim_is_ratio: bool = False

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        ratio = self.ms / self.base if self.base else 0.0
        aim = "" if self.aim is None else f"<= {self.aim:g}x" if self.aim_is_ratio else f"<= {self.aim:g} ms"
        met = "" if self.aim is None else "met" if (ratio if self.aim_is_ratio else self.ms) <= self.aim else "MISSED"
        base = f"{ratio:.2f}x of {self.against} ({self.base:.1f} ms)" if self.base else ""
        return self.what, f"{self.ms:.1f} ms", base, aim, met


def table(rows: Sequence[Row]) -> str:
    """The rows under their headings, in columns."""
    cells = [("what", "number", "ratio", "aim", "met"), *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(5)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def p50(values: Sequence[float]) -> float:
    """The median."""
    return quantile(values, 0.5)


def p95(values: Sequence[float]) -> float:
    """The 95th percentile."""
    return quantile(values, 0.95)


def wall(argv: Sequence[str], env: Mapping[str, str] | None = None) -> float:
    """Milliseconds from start to end of a program, which must succeed."""
    begin = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, timeout=60, env=env)
    return (time.perf_counter() - begin) * 1000
