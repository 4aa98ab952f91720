"""How much a log may grow: a burst, then a trickle; what goes beyond is counted. Pure, told the time."""

from __future__ import annotations

from dataclasses import dataclass

# Bytes, and bytes a second: about 2 MB a day.
BURST = 64 * 1024
TRICKLE = 24.0
# Once used up, silent until this much is there again: some minutes, not a line now and then.
RESUME = 4 * 1024


@dataclass
class Budget:
    """What one source may still write. Times are seconds of any steady clock."""

    room: float = BURST
    since: float = 0.0
    left_out: int = 0

    def spend(self, size: int, now: float) -> int | None:
        """None when a line of `size` bytes must be left out; else how many were, to be said before it."""
        self.room = min(BURST, self.room + (now - self.since) * TRICKLE)
        self.since = now
        if size > self.room or (self.left_out and self.room < RESUME):
            self.left_out += 1
            return None
        self.room -= size
        left_out, self.left_out = self.left_out, 0
        return left_out
