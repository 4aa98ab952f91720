"""Which bubblewrap bottles live: what a keeper wrote about itself, believed only with proof of its processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backends.alive import Proc, boot_id

RECORD = "bottle.json"
STATUS = "agent-status"
HOLDER_SOCKET = "holder.sock"
BUNDLE = "bundle"
SCHEMA = 2
DIALER_POLICY = "policy"
ANSWERS = "answers"


@dataclass(frozen=True, slots=True)
class Live:
    """The keeper's record of one bottle. `slug` is empty while the bundle is a spare; uids are 0 unless root's.

    `bundle` and `dialer` are the first processes of their sandboxes, as `sandbox` is of the agent's.
    """

    schema: int
    ident: str
    slug: str
    agent: str
    started: float
    boot_id: str
    owner_uid: int
    keeper: Proc
    bundle: Proc
    sandbox: Proc
    dialer: Proc
    daemons: tuple[str, ...]
    agent_uid: int
    bundle_uid: int
    pids: int
    files: int
    memory: int
    one_shot: bool

    @property
    def procs(self) -> tuple[Proc, Proc, Proc, Proc]:
        """All four, the owner first."""
        return self.keeper, self.sandbox, self.bundle, self.dialer

    def alive(self) -> bool:
        """Whether the bottle's owner lives in this boot."""
        return self.boot_id == boot_id() and self.keeper.alive()


def dump(live: Live) -> str:
    """The record as JSON."""
    return json.dumps(asdict(live), indent=1) + "\n"


def load(run: Path) -> Live | None:
    """The record of a run folder, or None where there is none (yet) or one of another schema."""
    try:
        raw: dict[str, Any] = json.loads((run / RECORD).read_text())
        if raw.get("schema") != SCHEMA:
            return None
        names = ("keeper", "bundle", "sandbox", "dialer")
        keeper, bundle, sandbox, dialer = (Proc(**raw.pop(name)) for name in names)
        raw["daemons"] = tuple(map(str, raw["daemons"]))
        return Live(keeper=keeper, bundle=bundle, sandbox=sandbox, dialer=dialer, **raw)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def control(run: Path) -> Path:
    """The control socket of the folder's bundle."""
    return run / BUNDLE / "control.sock"


def runs(root: Path) -> Iterator[Path]:
    """The run folders under `root`."""
    if root.is_dir():
        yield from sorted(p for p in root.iterdir() if p.is_dir() and not p.is_symlink())


def find(root: Path, slug: str) -> tuple[Path, Live] | None:
    """The live bottle of that slug."""
    for run in runs(root):
        live = load(run)
        if live is not None and live.slug == slug and live.alive():
            return run, live
    return None
