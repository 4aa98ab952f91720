"""The world as the dashboard's effects see it: the one seam between the loop and everything that does I/O."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from backends.api import (
    Agent,
    BackendInfo,
    Changes,
    Fault,
    LaunchPlan,
    LaunchSpec,
    Leftover,
    Prepared,
    Progress,
    Values,
)
from manifests.catalog import Catalog
from sidecar_bundle.shared.activity import Activity


class World(Protocol):
    """Every method may block, runs on a worker thread, prints nothing, and raises only `BackendError`."""

    def catalog(self, cwd: Path) -> Catalog: ...

    def backends(self) -> tuple[BackendInfo, ...]: ...

    def last_spec(self) -> LaunchSpec | None:
        """The choices of the last launch, which are the next one's defaults."""
        ...

    def prepare(self, spec: LaunchSpec) -> Prepared: ...

    def launch(self, plan: LaunchPlan, values: Values, progress: Progress) -> Agent: ...

    def host_values(self, plan: LaunchPlan, answers: dict[str, str]) -> Values:
        """Values of the plan's names: `${VAR}` and tokens from this process's environment, `?text` from `answers`."""
        ...

    def enumerate(self) -> tuple[tuple[Agent, ...], tuple[Fault, ...]]: ...

    def stop(self, slug: str, *, drop_changes: bool) -> str:
        """Stops a bottle; answers the path of the patch that kept its changes, or "" when there was none."""
        ...

    def attach_argv(self, slug: str, *, pane: bool) -> tuple[str, ...]: ...

    def changes(self, slug: str) -> Changes: ...

    def export(self, slug: str) -> Path:
        """Writes the changes as a patch beside the state folders and answers its path."""
        ...

    def apply(self, slug: str) -> str:
        """Applies the changes to the folder that was copied; answers one line that says what was done."""
        ...

    def activity(self, slug: str, limit: int) -> tuple[Activity, ...]:
        """The last `limit` lines of the bottle's activity, oldest first."""
        ...

    def leftovers(self) -> tuple[Leftover, ...]: ...

    def sweep(self, leftovers: tuple[Leftover, ...]) -> tuple[Fault, ...]: ...

    def init_home(self) -> tuple[Path, ...]:
        """Copies the example manifests that are not there yet; answers what it wrote."""
        ...

    def warm(self) -> None:
        """Starts a bundle ahead, when there is none; a failure is silent, the next launch is merely slower."""
        ...
