"""For root only: two uids per bottle (agent, bundle) that nothing else on the machine uses."""

from __future__ import annotations

import os
import random
from pathlib import Path

from backends.api import BackendError

# Between systemd's ranges for containers (to 1879048191) and foreign images (from 2147352576): assigned to nobody.
FIRST, PAIRS = 1_900_000_000, 50_000
CLAIMS = Path("/run/bot-bottle/uids")


def claim(token: str) -> tuple[int, int]:
    """A free pair (agent, bundle), claimed machine-wide by a file that holds `token` until `release`."""
    CLAIMS.mkdir(mode=0o700, parents=True, exist_ok=True)
    used = _used_uids()
    for _ in range(200):
        first = FIRST + 2 * random.randrange(PAIRS)
        if first in used or first + 1 in used:
            continue
        try:
            fd = os.open(CLAIMS / str(first), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(fd, "w") as file:
            file.write(token)
        return first, first + 1
    raise BackendError("no free user ids for a bottle", f"bottle-dash cleanup removes stale claims in {CLAIMS}")


def release(first: int) -> None:
    """Gives a pair back; nothing to do for 0."""
    if first:
        (CLAIMS / str(first)).unlink(missing_ok=True)


def claims() -> dict[int, str]:
    """Claimed pairs: first uid -> token."""
    if not CLAIMS.is_dir():
        return {}
    return {int(p.name): p.read_text() for p in CLAIMS.iterdir() if p.name.isdigit()}


def _used_uids() -> set[int]:
    out = set()
    for proc in Path("/proc").iterdir():
        if proc.name.isdigit():
            try:
                out.add(proc.stat().st_uid)
            except OSError:
                continue
    return out
