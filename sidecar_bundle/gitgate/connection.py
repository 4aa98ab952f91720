"""One client of the gate while it is served: its mirror, its time, and the mirror's lock if it is held for it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from sidecar_bundle.gitgate.mirror import Mirror


@dataclass
class Connection:
    """One client: what it asked for, how long it may still take, and whether the mirror's lock is held for it."""

    mirror: Mirror
    deadline: float
    pushes: bool = False
    began: float = field(default_factory=time.time)
    fetch_fault: str = ""
    holds: bool = False
    judged: bool = False
    ended: bool = False
    guard: threading.Lock = field(default_factory=threading.Lock)

    def hold(self) -> None:
        """The mirror's lock, which a forward took, is this connection's; of one that has ended, nobody's."""
        with self.guard:
            self.holds = True
            if self.ended:
                self._let_go()

    def release(self, *, ended: bool = False) -> None:
        """The mirror's refs follow the upstream, or (`ended`) never will."""
        with self.guard:
            self.ended |= ended
            self._let_go()

    def _let_go(self) -> None:
        if self.holds:
            self.holds = False
            self.mirror.lock.release()
