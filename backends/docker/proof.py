"""What the host knows of a bottle on an engine: a record in its folder, believed only with its containers."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backends.alive import Proc, boot_id
from backends.docker.spec import Owner

RECORD = "docker.json"
HOLDER_SOCKET = "holder.sock"
BUNDLE, ANSWERS, FILES = "bundle", "answers", "files"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Bottle:
    """A launched bottle. Uids are those inside its containers; `claimed` is the pair that root claimed, or 0."""

    schema: int
    slug: str
    agent: str
    started: float
    endpoint: str
    agent_uid: int
    bundle_uid: int
    claimed: int
    daemons: tuple[str, ...]
    holder: Proc
    boot: str = ""

    def held(self) -> bool:
        """Whether the holder of its terminal is proved alive."""
        return self.boot == boot_id() and self.holder.alive()


def owner(root: Path) -> Owner:
    """Whose the bottles of the state folder `root` are: an engine may serve several hosts, with folders of one name."""
    try:
        host = Path("/etc/machine-id").read_text().strip()
    except OSError:
        host = ""
    name = platform.node()
    digest = hashlib.sha256(f"{host or name}\0{root.resolve()}".encode()).hexdigest()
    return Owner(digest[:16], os.getuid(), boot_id(), name)


def save(run: Path, bottle: Bottle) -> None:
    """Whole or not at all."""
    fresh = run / (RECORD + ".new")
    fresh.write_text(json.dumps(asdict(bottle), indent=1) + "\n")
    fresh.rename(run / RECORD)


def load(run: Path) -> Bottle | None:
    """The record, or None where there is none (yet) or one of another schema."""
    try:
        raw: dict[str, Any] = json.loads((run / RECORD).read_text())
        if raw.get("schema") != SCHEMA:
            return None
        return Bottle(**{**raw, "daemons": tuple(map(str, raw["daemons"])), "holder": Proc(**raw["holder"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def control(run: Path) -> Path:
    """The control socket of the bottle's bundle."""
    return run / BUNDLE / "control.sock"


def runs(root: Path) -> Iterator[Path]:
    """The folders of bottles; each is named by its slug."""
    if root.is_dir():
        yield from sorted(p for p in root.iterdir() if p.is_dir() and not p.is_symlink())
