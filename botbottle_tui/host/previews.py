"""What a decision or an edit would change, worked out before it is made. Nothing is touched here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from backends.api import Backend, BackendError, Capability, Preview, Waiting
from botbottle_tui.host import effective, lasting, live
from botbottle_tui.host.effective import Refused, What, digest
from botbottle_tui.host.proposals import Inbox
from sidecar_bundle.shared.config import BundleConfig
from sidecar_bundle.shared.proposal import CapabilityRequest

DOCKERFILE = "Dockerfile"
REBUILD = "the agent restarts in another image, whose steps run as root in a container with open network"


class Previews:
    """Previews of proposals and of edited rules. Every method raises only `BackendError`."""

    def __init__(self, home: Path, inbox: Inbox, backend: Callable[[str], Backend]) -> None:
        self.inbox, self.home = inbox, home
        self.records = inbox.records
        self._backend = backend

    def preview(self, slug: str, ident: str, text: str = "") -> Preview:
        """What granting it would change; `text` is the request as the operator edited it, "" for as it came."""
        one = self.inbox.find(slug, ident)
        before = live.load(self.records.folder(slug))
        return self._preview(one, before, text)

    def preview_lasting(self, slug: str, ident: str, text: str = "") -> Preview:
        """What granting it for good would change in the bottle's manifest."""
        one = self.inbox.find(slug, ident)
        try:
            payload = effective.edited(one.proposal, text) if text else one.proposal.payload
            return lasting.edit(self.home, self.bottle(slug), payload).preview
        except Refused as error:
            return Preview(refused=str(error))

    def rules(self, slug: str, what: What) -> Preview:
        """The live rules as text to edit."""
        config = live.load(self.records.folder(slug))
        return Preview(seen=effective.config_digest(config), text=effective.rules_text(config, what))

    def preview_rules(self, slug: str, what: What, text: str) -> Preview:
        """What edited rules would change."""
        before = live.load(self.records.folder(slug))
        seen = effective.config_digest(before)
        try:
            after = effective.edited_rules(before, what, text)
        except Refused as error:
            return Preview(seen=seen, text=text, refused=str(error))
        return Preview(effective.config_diff(before, after), seen, text=text)

    def _preview(self, one: Waiting, before: BundleConfig, text: str) -> Preview:
        payload = one.proposal.payload
        seen = seen_as(one, effective.config_digest(before), text)
        shown = text
        try:
            with contextlib.suppress(Refused):
                shown = text or effective.request_text(payload)
            payload = effective.edited(one.proposal, text) if text else payload
            if isinstance(payload, CapabilityRequest):
                diff = self.image_diff(one.slug, payload)
                return Preview(diff, seen, text=shown, note=REBUILD, waiting=one)
            after = effective.changed(before, payload)
        except Refused as error:
            return Preview(seen=seen, text=shown, refused=str(error), waiting=one)
        said = effective.note(payload, before, after)
        return Preview(effective.config_diff(before, after), seen, text=shown, note=said, waiting=one)

    def image_diff(self, slug: str, wanted: CapabilityRequest) -> str:
        """What another Dockerfile changes; raises `Refused` where none can be built."""
        backend = self.owner(slug)
        if Capability.REBUILD not in backend.capabilities():
            raise Refused(f"{backend.name} builds no image for an agent: it sees this host's programs")
        return effective.diff(backend.dockerfile(slug).splitlines(), wanted.dockerfile.splitlines(), "Dockerfile")

    def owner(self, slug: str) -> Backend:
        """The backend of a bottle that is recorded here."""
        record = self.records.load(slug)
        if record is None:
            raise BackendError(f"no bottle {slug}", "bottle-dash list active")
        return self._backend(record.backend)

    def bottle(self, slug: str) -> str:
        """The name of its manifest, "" when that is not known."""
        record = self.records.load(slug)
        return record.bottles[0] if record and record.bottles else ""


def seen_as(one: Waiting, config: str, text: str) -> str:
    """A name of all that a decision is about: the request, the rules and the edit that were looked at."""
    return digest(one.slug, one.proposal.id, one.proposal.kind, repr(one.proposal.payload), config, text)
