"""What waits for the operator, what an answer would change, and the answer: values of the inbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sidecar_bundle.shared.proposal import Proposal


@dataclass(frozen=True, slots=True)
class Waiting:
    """A proposal that waits for the operator, of the bottle `slug`; `error` says why its last apply failed."""

    slug: str
    proposal: Proposal
    error: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from all others."""
        return self.slug, self.proposal.id


@dataclass(frozen=True, slots=True)
class Preview:
    """What a decision or an edit would change: `diff` is its effect ("": none), `refused` why it cannot be done.

    `seen` stands for everything that was compared: a decision that carries it is refused once any of that changed.
    `text` is what can be edited, `note` a word on the effect, `file` the manifest that would be written. `waiting` is
    the proposal as it was read for this: what is shown of it must be this one, or another is decided than was seen.
    """

    diff: str = ""
    seen: str = ""
    refused: str = ""
    text: str = ""
    note: str = ""
    file: str = ""
    waiting: Waiting | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The operator's answer to a proposal. `text` is the request as they changed it, `seen` what they looked at.

    `manifest` is `seen` of the manifest's own preview, for an approval that is to last.
    """

    slug: str
    id: str
    action: Literal["approve", "reject"]
    seen: str = ""
    text: str = ""
    reason: str = ""
    answer: str = ""
    manifest: str = ""


@dataclass(frozen=True, slots=True)
class Audited:
    """A decision about a bottle as the audit log has it; `text` is one line, as untrusted as what was asked for."""

    time: float
    text: str
