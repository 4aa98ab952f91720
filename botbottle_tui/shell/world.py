"""The world as the dashboard's effects see it: the one seam between the loop and everything that does I/O."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from backends.api import (
    Agent,
    Audited,
    BackendInfo,
    Changes,
    Decision,
    Fault,
    LaunchPlan,
    LaunchSpec,
    Leftover,
    Prepared,
    Preview,
    Progress,
    Values,
    Waiting,
)
from manifests.catalog import Catalog
from sidecar_bundle.shared.activity import Activity

What = Literal["routes", "pipelock"]


class Desk(Protocol):
    """Proposals and live rules of all bottles; as `World` in all else."""

    def watch(self, seen: str, seconds: float) -> tuple[str, tuple[Waiting, ...], tuple[Fault, ...]]:
        """A mark, what waits, and what cannot be read; blocks until the mark would differ from `seen`, or so long."""
        ...

    def preview(self, slug: str, ident: str, text: str = "") -> Preview: ...

    def preview_lasting(self, slug: str, ident: str, text: str = "") -> Preview: ...

    def decide(self, decisions: Sequence[Decision], progress: Progress) -> tuple[tuple[str, ...], tuple[Fault, ...]]:
        """A line for each that was done, a fault for each that was not and waits on."""
        ...

    def rules(self, slug: str, what: What) -> Preview: ...

    def preview_rules(self, slug: str, what: What, text: str) -> Preview: ...

    def change_rules(self, slug: str, what: What, text: str, seen: str) -> str: ...


class World(Protocol):
    """Every method may block, runs on a worker thread, prints nothing, and raises only `BackendError`."""

    @property
    def desk(self) -> Desk: ...

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

    def watch(self, backend: str, seconds: float) -> bool:
        """Blocks until a bottle of the backend started or ended, or so long; whether one did."""
        ...

    def stop(self, slug: str, *, drop_changes: bool) -> str:
        """Stops a bottle; answers the path of the patch that kept its changes, or "" when there was none."""
        ...

    def supply(self, slug: str) -> None:
        """Gives a running bottle its credentials again, from this process's environment."""
        ...

    def attach_argv(self, slug: str, *, pane: bool) -> tuple[str, ...]: ...

    def changes(self, slug: str) -> Changes: ...

    def export(self, slug: str) -> Path:
        """Writes the changes as a patch beside the state folders and answers its path."""
        ...

    def apply(self, slug: str, seen: str) -> str:
        """Applies the changes that were `seen` to the folder that was copied; answers one line that says so."""
        ...

    def activity(self, slug: str, limit: int) -> tuple[Activity | Audited, ...]:
        """The last `limit` decisions of the bottle's bundle, and as many of the operator's; not sorted."""
        ...

    def leftovers(self) -> tuple[Leftover, ...]: ...

    def sweep(self, leftovers: tuple[Leftover, ...]) -> tuple[Fault, ...]: ...

    def init_home(self) -> tuple[Path, ...]:
        """Copies the example manifests that are not there yet; answers what it wrote."""
        ...

    def warm(self) -> None:
        """Starts a bundle ahead, when there is none; a failure is silent, the next launch is merely slower."""
        ...
