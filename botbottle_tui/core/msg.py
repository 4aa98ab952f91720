"""Everything that can happen, as values: keys and time, and the one final message of each effect (those with `seq`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backends.api import Agent, Audited, BackendInfo, Changes, Fault, LaunchSpec, Leftover, Prepared, Preview, Waiting
from botbottle_tui.core.effect import Effect, What
from manifests.catalog import Catalog
from sidecar_bundle.shared.activity import Activity


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A key by urwid's name, or one typed or pasted character."""

    key: str


@dataclass(frozen=True, slots=True)
class Resized:
    cols: int
    rows: int


@dataclass(frozen=True, slots=True)
class Ticked:
    """Half a second went by; `now` is seconds since the epoch."""

    now: float


@dataclass(frozen=True, slots=True)
class Progressed:
    """A line of a launch under way, or with no `slug` of a decision; not its final message, so it has no `seq`."""

    slug: str
    line: str


@dataclass(frozen=True, slots=True)
class CatalogLoaded:
    seq: int
    catalog: Catalog


@dataclass(frozen=True, slots=True)
class BackendsLoaded:
    seq: int
    backends: tuple[BackendInfo, ...]


@dataclass(frozen=True, slots=True)
class LastLoaded:
    seq: int
    spec: LaunchSpec | None


@dataclass(frozen=True, slots=True)
class HomeInitialised:
    seq: int
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """The shape of an answer that says no more than which effect it answers."""

    seq: int


class Warmed(Done):
    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Enumerated:
    seq: int
    agents: tuple[Agent, ...]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class BottlesWatched:
    """`moved`: one started or ended, or whoever tells of it went away."""

    seq: int
    moved: bool


@dataclass(frozen=True, slots=True)
class ActivityRead:
    seq: int
    slug: str
    lines: tuple[Activity | Audited, ...]


@dataclass(frozen=True, slots=True)
class Suggested:
    """`agent` is "" when no checks passed."""

    seq: int
    agent: str


@dataclass(frozen=True, slots=True)
class SpecPrepared:
    seq: int
    prepared: Prepared


@dataclass(frozen=True, slots=True)
class Launched:
    seq: int
    agent: Agent
    spec: LaunchSpec


@dataclass(frozen=True, slots=True)
class Stopped:
    """`kept` is the path of the patch that kept its changes, or ""."""

    seq: int
    slug: str
    kept: str


@dataclass(frozen=True, slots=True)
class ChangesLoaded:
    seq: int
    changes: Changes


@dataclass(frozen=True, slots=True)
class Exported:
    seq: int
    slug: str
    path: Path


@dataclass(frozen=True, slots=True)
class Applied:
    seq: int
    slug: str
    line: str


@dataclass(frozen=True, slots=True)
class LeftoversFound:
    seq: int
    leftovers: tuple[Leftover, ...]


@dataclass(frozen=True, slots=True)
class Swept:
    seq: int
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class PaneShown:
    """The pane beside the dashboard shows this bottle; "" when there is no such pane."""

    seq: int
    slug: str


@dataclass(frozen=True, slots=True)
class ForegroundEnded:
    seq: int
    slug: str
    status: int


@dataclass(frozen=True, slots=True)
class ProposalsSeen:
    """What waits, oldest first; `mark` is what the next watch compares with."""

    seq: int
    mark: str
    waiting: tuple[Waiting, ...]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class PreviewsLoaded:
    """In the order in which they were asked for."""

    seq: int
    previews: tuple[Preview, ...]


@dataclass(frozen=True, slots=True)
class RequestEdited:
    """`preview.text` is what the operator wrote, "" when it is the request as it came."""

    seq: int
    slug: str
    id: str
    preview: Preview


@dataclass(frozen=True, slots=True)
class Decided:
    """A line for each that was done, a fault for each that was not and still waits."""

    seq: int
    done: tuple[str, ...]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class RulesEdited:
    seq: int
    slug: str
    what: What
    preview: Preview


@dataclass(frozen=True, slots=True)
class RulesChanged:
    seq: int
    slug: str
    line: str


@dataclass(frozen=True, slots=True)
class Supplied:
    seq: int
    slug: str


class Ended(Done):
    """The answer to `Quit`, which nobody reads any more."""

    __slots__ = ()


class Superseded(Done):
    """A newer request of the same lane took this one's place."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """What the effect began is undone. `message` says what and why, `hint` what to do."""

    seq: int
    effect: Effect
    message: str
    hint: str = ""


Final = (
    CatalogLoaded
    | BackendsLoaded
    | LastLoaded
    | HomeInitialised
    | Warmed
    | Enumerated
    | BottlesWatched
    | ActivityRead
    | Suggested
    | SpecPrepared
    | Launched
    | Stopped
    | ChangesLoaded
    | Exported
    | Applied
    | LeftoversFound
    | Swept
    | PaneShown
    | ForegroundEnded
    | ProposalsSeen
    | PreviewsLoaded
    | RequestEdited
    | Decided
    | RulesEdited
    | RulesChanged
    | Supplied
    | Ended
    | Superseded
    | Failed
)

Msg = KeyPressed | Resized | Ticked | Progressed | Final
