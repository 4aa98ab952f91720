"""Everything on the screen, as one value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TypeVar

from backends.api import Agent, Audited, BackendInfo, Fault, LaunchSpec, Waiting, WorkspaceMode
from botbottle_tui.core.effect import Effect, slug_of
from botbottle_tui.core.overlay import Overlay
from manifests.catalog import Catalog
from sidecar_bundle.shared.activity import Activity


class Pane(Enum):
    """The panes, in the order in which Tab visits them."""

    AGENTS = "agents"
    PROPOSALS = "proposals"
    ACTIVITY = "activity"


@dataclass(frozen=True, slots=True)
class DashOptions:
    """What the dashboard was started with. Empty or None: not chosen, so the flow may ask.

    `utc_offset` is seconds east of UTC, for the times in Activity. `cwd_is_private` says that no bottle may get `cwd`
    (the home folder or above), so that none is offered.
    """

    cwd: Path = Path("/")
    cwd_is_private: bool = False
    home: Path = Path("~/.bot-bottle")
    backend: str = ""
    workspace: WorkspaceMode | None = None
    tmux: bool = False
    utc_offset: int = 0
    remote_control: bool = False


@dataclass(frozen=True, slots=True)
class Launching:
    """A row that is no agent yet. `line` is the last line of its progress."""

    slug: str
    name: str
    backend: str
    since: float
    line: str = ""


@dataclass(frozen=True, slots=True)
class InFlight:
    """An effect that has not answered yet; `line` is the last line of its progress."""

    effect: Effect
    since: float
    line: str = ""


@dataclass(frozen=True, slots=True)
class Toast:
    """One line that stays until the next key."""

    text: str
    error: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """The dashboard's own line in Activity; `slug` is "" when it is about no bottle."""

    time: float
    text: str
    slug: str = ""
    error: bool = False


SMALLEST = (24, 9)  # columns, rows


@dataclass(frozen=True, slots=True)
class Model:
    """`seq` numbers requests; an enumeration asked before `fence` is stale. `shown` is the bottle in the other pane.

    `proposal` is the selected one, `visited` the one that a key led to or opened last, `arrived` when each was first
    seen, `mark` what the last watch answered.
    `supplied` are the bottles whose lost credentials were given again, until they are well.
    `folder` is the workspace of the last launch from here; the last launch of another dashboard tells all but that.
    """

    options: DashOptions
    now: float = 0.0
    size: tuple[int, int] = (80, 24)
    catalog: Catalog | None = None
    backends: tuple[BackendInfo, ...] | None = None
    last: LaunchSpec | None = None
    last_loaded: bool = False
    folder: Path | None = None
    suggested: str | None = None
    agents: tuple[Agent, ...] | None = None
    launches: tuple[Launching, ...] = ()
    faults: tuple[Fault, ...] = ()
    activity: tuple[Activity | Audited, ...] = ()
    activity_of: str = ""
    activity_back: int = 0
    activity_fault: str = ""
    notes: tuple[Note, ...] = ()
    proposals: tuple[Waiting, ...] | None = None
    proposal: tuple[str, str] = ("", "")
    visited: tuple[str, str] = ("", "")
    marked: frozenset[tuple[str, str]] = frozenset()
    arrived: tuple[tuple[tuple[str, str], float], ...] = ()
    inbox_faults: tuple[Fault, ...] = ()
    mark: str = ""
    supplied: frozenset[str] = frozenset()
    focus: Pane = Pane.AGENTS
    selected: str = ""
    filter: str = ""
    filtering: bool = False
    shown: str = ""
    overlays: tuple[Overlay, ...] = ()
    toast: Toast | None = None
    pasting: bool = False
    ticks: int = 0
    seq: int = 0
    fence: int = 0
    in_flight: tuple[InFlight, ...] = ()


Step = tuple[Model, tuple[Effect, ...]]
E_ = TypeVar("E_", bound=Effect)

NOTES_KEPT = 200


def ask(model: Model, effect: E_) -> tuple[Model, E_]:
    """The effect with a number of its own, and a model that waits for its answer."""
    numbered = replace(effect, seq=model.seq + 1)
    waiting = (*model.in_flight, InFlight(numbered, model.now))
    return replace(model, seq=numbered.seq, in_flight=waiting), numbered


def asked(model: Model, *effects: Effect) -> Step:
    """`ask` for several effects, as a finished step."""
    out: list[Effect] = []
    for effect in effects:
        model, numbered = ask(model, effect)
        out.append(numbered)
    return model, tuple(out)


def waiting_for(model: Model, *kinds: type[Effect], slug: str = "") -> InFlight | None:
    """The oldest effect of these kinds (and about that bottle, if given) that has not answered."""
    return next(
        (f for f in model.in_flight if isinstance(f.effect, kinds) and (not slug or slug_of(f.effect) == slug)), None
    )


def push(model: Model, overlay: Overlay) -> Model:
    """The overlay on top of all others."""
    return replace(model, overlays=(*model.overlays, overlay))


def pop(model: Model) -> Model:
    """Without the top overlay."""
    return replace(model, overlays=model.overlays[:-1])


def top(model: Model, overlay: Overlay) -> Model:
    """The top overlay replaced."""
    return replace(model, overlays=(*model.overlays[:-1], overlay))


def say(model: Model, text: str, *, error: bool = False) -> Model:
    """A toast."""
    return replace(model, toast=Toast(text, error))


def note(model: Model, text: str, slug: str = "", *, error: bool = False) -> Model:
    """A line of the dashboard's own in Activity."""
    return replace(model, notes=(*model.notes, Note(model.now, text, slug, error))[-NOTES_KEPT:])
