"""BottleRecord on disk: what any process needs to find a bottle again, its folder being the bottle's state."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from backends.api import SCHEMA, BackendError, LaunchPlan
from botbottle_tui.host import files, tree

RECORD = "metadata.json"


@dataclass(frozen=True, slots=True)
class BottleRecord:
    """One bottle as the host knows it. `started` is seconds since the epoch; env and tokens are names only."""

    schema: int
    slug: str
    agent: str
    backend: str
    provider: str
    bottles: list[str]
    cwd: str
    workspace: str
    started: float
    one_shot: bool
    env_names: list[str]
    token_names: list[str]
    services: list[str]


class Records:
    """The records below `state/`."""

    def __init__(self, home: Path) -> None:
        self.root = home / "state"

    def folder(self, slug: str) -> Path:
        """A bottle's state folder."""
        return self.root / slug

    def create(self, plan: LaunchPlan, started: float) -> BottleRecord:
        """Writes the record and the specification of a bottle that is about to be launched."""
        record = BottleRecord(
            schema=SCHEMA,
            slug=plan.slug,
            agent=plan.agent,
            backend=plan.backend,
            provider=plan.provider.name,
            bottles=list(plan.bottles),
            cwd=str(plan.cwd),
            workspace=plan.workspace.value,
            started=started,
            one_shot=plan.one_shot,
            env_names=[v.name for v in plan.env],
            token_names=[t.host_var for t in plan.tokens],
            services=list(plan.daemons),
        )
        files.write(self.folder(plan.slug) / RECORD, json.dumps(asdict(record), indent=1) + "\n")
        return record

    def load(self, slug: str) -> BottleRecord | None:
        """The record, or None when there is none of this schema."""
        try:
            raw = json.loads((self.folder(slug) / RECORD).read_text(encoding="utf-8"))
            return BottleRecord(**raw) if raw["schema"] == SCHEMA else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def all(self) -> Iterator[BottleRecord]:
        """Every readable record."""
        for folder in sorted(self.root.iterdir()) if self.root.is_dir() else ():
            record = self.load(folder.name)
            if record is not None:
                yield record

    def torn(self) -> tuple[str, ...]:
        """State folders without a record that no process is working on."""
        folders = sorted(p.name for p in self.root.iterdir() if p.is_dir()) if self.root.is_dir() else []
        return tuple(n for n in folders if not (self.root / n / RECORD).exists() and not self.busy(n))

    @contextlib.contextmanager
    def working_on(self, slug: str) -> Iterator[None]:
        """While it lasts, no other process takes the bottle for lost: it is being launched or stopped."""
        folder = self.folder(slug)
        try:
            files.make_private(folder)
        except OSError as error:
            hint = "set BOT_BOTTLE_HOME to a folder of yours"
            raise BackendError(f"cannot make {folder}: {error.strerror}", hint) from None
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            yield
        finally:
            os.close(fd)

    def busy(self, slug: str) -> bool:
        """Whether some process is `working_on` it."""
        try:
            fd = os.open(self.folder(slug), os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return True  # it went away just now
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def remove(self, slug: str) -> None:
        """The whole state folder goes."""
        tree.remove(self.folder(slug))
