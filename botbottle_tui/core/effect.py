"""Everything the program may ask of the world, as values; `perform` answers each with exactly one final message."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from backends.api import Decision, LaunchPlan, LaunchSpec, Leftover

What = Literal["routes", "pipelock"]


@dataclass(frozen=True, slots=True)
class Plain:
    """The shape of an effect that needs no more than its number."""

    seq: int = 0


@dataclass(frozen=True, slots=True)
class AboutBottle:
    """The shape of an effect on one bottle."""

    slug: str
    seq: int = 0


# the two shapes are shared by inheritance, not decorated anew: each dataclass costs the first frame half a millisecond


@dataclass(frozen=True, slots=True)
class LoadCatalog:
    cwd: Path
    seq: int = 0


class LoadBackends(Plain):
    __slots__ = ()


class LoadLast(Plain):
    __slots__ = ()


class InitHome(Plain):
    __slots__ = ()


class Warm(Plain):
    """Start a bundle ahead, so that the next launch is quick."""

    __slots__ = ()


class Enumerate(Plain):
    __slots__ = ()


@dataclass(frozen=True, slots=True)
class WatchBottles:
    """Answers as soon as a bottle of this backend starts or ends, or after some seconds."""

    backend: str
    seq: int = 0


@dataclass(frozen=True, slots=True)
class ReadActivity:
    slug: str
    limit: int
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Suggest:
    """Which of these launches is the first whose checks pass? Asked once, when nothing was launched before."""

    specs: tuple[LaunchSpec, ...]
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Prepare:
    spec: LaunchSpec
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Launch:
    """`answers` are values of `?text` entries by variable name: never shown, never logged."""

    plan: LaunchPlan
    spec: LaunchSpec
    answers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    slug: str
    drop_changes: bool = False
    seq: int = 0


class LoadChanges(AboutBottle):
    __slots__ = ()


class Export(AboutBottle):
    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Apply:
    slug: str
    seen: str = ""
    seq: int = 0


class FindLeftovers(Plain):
    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Sweep:
    leftovers: tuple[Leftover, ...]
    seq: int = 0


class CheckPane(Plain):
    """Which bottle does the pane beside the dashboard show?"""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class OpenPane:
    """Show the bottle in the pane beside the dashboard; `focus` moves the keyboard there."""

    slug: str
    focus: bool = True
    seq: int = 0


class ClosePane(Plain):
    __slots__ = ()


class Foreground(AboutBottle):
    """Give this terminal to the bottle until its client ends."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class WatchProposals:
    """Answers as soon as what waits differs from `seen`, or after some seconds; "" is answered at once."""

    seen: str = ""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class LoadPreviews:
    """What would granting these (bottle, id) change, or with `lasting` change in the manifest?"""

    targets: tuple[tuple[str, str], ...]
    text: str = ""
    lasting: bool = False
    seq: int = 0


@dataclass(frozen=True, slots=True)
class EditRequest:
    """Give this terminal to the operator's editor with a request in it."""

    slug: str
    id: str
    text: str
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Decide:
    decisions: tuple[Decision, ...]
    seq: int = 0


@dataclass(frozen=True, slots=True)
class EditRules:
    """Give this terminal to the operator's editor with a bottle's rules in it; `text` "" stands for the live ones."""

    slug: str
    what: What
    text: str = ""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class ChangeRules:
    slug: str
    what: What
    text: str
    seen: str
    seq: int = 0


class Supply(AboutBottle):
    """Give the bottle's bundle its credentials again, from this process's environment."""

    __slots__ = ()


class Quit(Plain):
    """End the dashboard; bottles go on."""

    __slots__ = ()


Effect = (
    LoadCatalog
    | LoadBackends
    | LoadLast
    | InitHome
    | Warm
    | Enumerate
    | WatchBottles
    | ReadActivity
    | Suggest
    | Prepare
    | Launch
    | Stop
    | LoadChanges
    | Export
    | Apply
    | FindLeftovers
    | Sweep
    | CheckPane
    | OpenPane
    | ClosePane
    | Foreground
    | WatchProposals
    | LoadPreviews
    | EditRequest
    | Decide
    | EditRules
    | ChangeRules
    | Supply
    | Quit
)

LABELS: dict[type[Effect], str] = {
    LoadCatalog: "reading manifests",
    LoadBackends: "looking at backends",
    LoadLast: "reading the last choices",
    InitHome: "writing examples",
    Warm: "warming a bundle",
    Enumerate: "listing bottles",
    WatchBottles: "watching bottles",
    ReadActivity: "reading activity",
    Suggest: "finding which agents can start",
    Prepare: "checking",
    Launch: "starting",
    Stop: "stopping",
    LoadChanges: "comparing the workspace",
    Export: "writing the patch",
    Apply: "applying the changes",
    FindLeftovers: "looking for leftovers",
    Sweep: "cleaning up",
    CheckPane: "looking at the pane",
    OpenPane: "opening the pane",
    ClosePane: "closing the pane",
    Foreground: "in the foreground",
    WatchProposals: "watching for proposals",
    LoadPreviews: "working out what would change",
    EditRequest: "in the editor",
    Decide: "deciding",
    EditRules: "in the editor",
    ChangeRules: "changing the rules",
    Supply: "giving credentials",
    Quit: "ending",
}


def label(effect: Effect) -> str:
    """What is being done, for the status line."""
    what = LABELS[type(effect)]
    if isinstance(effect, Launch):
        return f"{what} {effect.plan.slug}"
    if isinstance(effect, Stop | LoadChanges | Export | Apply | OpenPane | Foreground | ChangeRules | Supply):
        return f"{what}: {effect.slug}"
    return what


def slug_of(effect: Effect) -> str:
    """The bottle that an effect is about, or ""."""
    if isinstance(effect, Launch):
        return effect.plan.slug
    if isinstance(
        effect, Stop | LoadChanges | Export | Apply | OpenPane | Foreground | ReadActivity | ChangeRules | Supply
    ):
        return effect.slug
    return ""
