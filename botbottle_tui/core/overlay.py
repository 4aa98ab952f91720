"""What may lie on top of the panes: each overlay a value that holds all it needs, the top one gets the keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from backends.api import Changes, Decision, EnvVar, LaunchSpec, Leftover, Prepared, Preview, Waiting
from botbottle_tui.core.effect import Apply, Quit, Stop, What
from sidecar_bundle.shared.proposal import Question

PickerKind = Literal["agent", "backend", "workspace"]


@dataclass(frozen=True, slots=True)
class Picker:
    """A list to choose from. `cursor` is the key of the row under it, "" until one is known.

    `entered` says that Enter came before the cursor: it is taken as soon as that is known. `spec` holds what was
    chosen so far; `options` is the flow that stops at every choice.
    """

    kind: PickerKind
    spec: LaunchSpec
    options: bool = False
    cursor: str = ""
    filter: str = ""
    entered: bool = False


@dataclass(frozen=True, slots=True)
class Preflight:
    """A launch before it happens. `prepared` is None while the checks of request `seq` run.

    `folder` is the text being edited, None when it is not.
    """

    spec: LaunchSpec
    seq: int
    prepared: Prepared | None = None
    error: str = ""
    folder: str | None = None
    texts: bool = False
    scroll: int = 0


@dataclass(frozen=True, slots=True)
class Prompt:
    """Asks for the values of `?text` entries, one after the other; what is typed is never shown."""

    questions: tuple[EnvVar, ...]
    answers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    text: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to answer a question: its key, and the effect that follows, a value like any other."""

    key: str
    label: str
    effect: Stop | Apply | Quit


@dataclass(frozen=True, slots=True)
class Confirm:
    """A question. `about` is a bottle whose changes request `seq` looks up, when that matters to the answer."""

    title: str
    lines: tuple[str, ...]
    choices: tuple[Choice, ...]
    about: str = ""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Help:
    scroll: int = 0


@dataclass(frozen=True, slots=True)
class ChangesView:
    """What an agent changed; `changes` is None while request `seq` runs."""

    slug: str
    seq: int
    changes: Changes | None = None
    scroll: int = 0


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What a cleanup would remove, and what it leaves alone; `leftovers` is None while request `seq` runs."""

    seq: int
    leftovers: tuple[Leftover, ...] | None = None
    scroll: int = 0

    @property
    def dead(self) -> tuple[Leftover, ...]:
        """What a yes removes."""
        return tuple(one for one in self.leftovers or () if not one.left)


@dataclass(frozen=True, slots=True)
class Review:
    """One proposal; `preview` is None while request `seq` works it out. `text` is the request as it was edited.

    `cursor` is the choice of a question that has choices.
    """

    waiting: Waiting
    seq: int
    preview: Preview | None = None
    text: str = ""
    cursor: int = 0
    scroll: int = 0

    @property
    def question(self) -> Question | None:
        """The question, if it is one."""
        payload = self.waiting.proposal.payload
        return payload if isinstance(payload, Question) else None


@dataclass(frozen=True, slots=True)
class Lasting:
    """An approval for good before it happens: what would be written into the manifest."""

    decision: Decision
    seq: int
    preview: Preview | None = None
    scroll: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Proposals to be approved by one yes, each with what it would change."""

    waiting: tuple[Waiting, ...]
    seq: int
    previews: tuple[Preview, ...] | None = None
    scroll: int = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """Edited rules of a bottle before they hold."""

    slug: str
    what: What
    preview: Preview
    scroll: int = 0


@dataclass(frozen=True, slots=True)
class Typed:
    """One line to type: the reason of a rejection, or the answer to a question."""

    purpose: Literal["reason", "answer"]
    decisions: tuple[Decision, ...]
    lines: tuple[str, ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that stays until a key."""

    title: str
    message: str
    hint: str = ""
    scroll: int = 0


Overlay = (
    Picker
    | Preflight
    | Prompt
    | Confirm
    | Help
    | ChangesView
    | Cleanup
    | Review
    | Lasting
    | Batch
    | Rules
    | Typed
    | Failure
)
