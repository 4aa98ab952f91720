"""Figures of the bench: quantiles, things measured in turn, a clock around a program, and the table that is printed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a number, and what it is compared with.

    `aim` is in the number's unit, or a ratio when `aim_is_ratio`; None means that nothing was aimed at. It is not to be
    exceeded, or with `at_least` to be reached. `missing` says why there is no number.
    """

    what: str
    number: float = 0.0
    against: str = ""
    base: float = 0.0
    aim: float | None = None
    aim_is_ratio: bool = False
    unit: str = "ms"
    at_least: bool = False
    missing: str = ""

    @property
    def met(self) -> bool:
        """Whether the aim was met; without an aim it was."""
        if self.aim is None or self.missing:
            return True
        value = self._ratio if self.aim_is_ratio else self.number
        return value >= self.aim if self.at_least else value <= self.aim

    @property
    def _ratio(self) -> float:
        return self.number / self.base if self.base else 0.0

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        sign = ">=" if self.at_least else "<="
        aim = "" if self.aim is None else f"{sign} {self.aim:g}{'x' if self.aim_is_ratio else f' {self.unit}'}"
        if self.missing:
            return self.what, "-", f"not measured: {self.missing}", aim, ""
        met = "" if self.aim is None else "met" if self.met else "MISSED"
        base = f"{self._ratio:.2f}x of {self.against} ({_short(self.base)} {self.unit})" if self.base else ""
        return self.what, f"{_short(self.number)} {self.unit}", base, aim, met


def _short(number: float) -> str:
    return f"{number:.2f}" if abs(number) < 10 else f"{number:.1f}"


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


def in_turn(rounds: int, **measures: Callable[[], Sequence[float]]) -> dict[str, list[float]]:
    """What each measure gave in `rounds` rounds, each round in another order, after one that does not count."""
    out: dict[str, list[float]] = {name: [] for name in measures}
    for turn in range(rounds + 1):
        for name in list(measures)[:: 1 if turn % 2 else -1]:
            values = measures[name]()
            if turn:
                out[name] += values
    return out
