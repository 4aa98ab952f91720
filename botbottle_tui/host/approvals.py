"""The operator's decisions: applied by compare-and-set, audited, and answered last."""

from __future__ import annotations

import contextlib
import getpass
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from backends.api import Backend, BackendError, Decision, Fault, Progress, Waiting
from botbottle_tui.host import effective, files, lasting, live
from botbottle_tui.host.audit import Audit, told
from botbottle_tui.host.effective import Refused, What
from botbottle_tui.host.previews import DOCKERFILE, Previews, seen_as
from botbottle_tui.host.proposals import Inbox, answered, write_error
from sidecar_bundle.shared import queue
from sidecar_bundle.shared.config import BundleConfig
from sidecar_bundle.shared.proposal import (
    CapabilityRequest,
    HeldRequest,
    Payload,
    Proposal,
    ProposalError,
    Question,
    Response,
    Status,
    make_response,
    what,
)

ACTIONS = {"approved": "approve", "modified": "modify", "rejected": "reject"}
STALE = "it changed meanwhile: look again"


class Approvals(Previews):
    """Decisions on proposals and edits of running bottles. Every method raises only `BackendError`."""

    def __init__(self, home: Path, inbox: Inbox, backend: Callable[[str], Backend], via: str = "") -> None:
        super().__init__(home, inbox, backend)
        self.audit, self.via = Audit(home / "audit"), via

    # Looking

    def watch(self, seen: str, seconds: float) -> tuple[str, tuple[Waiting, ...], tuple[Fault, ...]]:
        """See `Inbox.watch`; the first time, what a crash left half done is undone before."""
        undone = () if seen else tuple(self._settle_all())
        mark, waiting, faults = self.inbox.watch(seen, seconds)
        return mark, waiting, (*undone, *faults)

    # Deciding

    def decide(self, decisions: Sequence[Decision], progress: Progress) -> tuple[tuple[str, ...], tuple[Fault, ...]]:
        """Each in turn: a line for what was done, a fault for what was not, which then still waits."""
        done: list[str] = []
        faults: list[Fault] = []
        ours: dict[str, tuple[str, str]] = {}
        for one in decisions:
            try:
                done.append(self._decide(one, ours, progress))
            except BackendError as error:
                faults.append(Fault(f"{one.slug} {one.id[:8]}", error.message, error.hint))
        return tuple(done), tuple(faults)

    def change_rules(self, slug: str, what: What, text: str, seen: str) -> str:
        """Edited rules made live; answers what was done in one line."""
        with self._locked(slug) as folder:
            before = live.load(folder)
            if effective.config_digest(before) != seen:
                raise BackendError(f"the rules of {slug} were changed meanwhile: look again")
            try:
                after = effective.edited_rules(before, what, text)
            except Refused as error:
                raise BackendError(str(error)) from None
            if after == before:
                return f"{slug}: nothing changed"
            with live.applied(folder, self.owner(slug), before, after, None, "", what):
                diff = effective.config_diff(before, after)
                self.audit.append(self._entry(slug, what, "operator-edit", "", diff))
        return f"{slug}: {what} changed"

    # How

    def _decide(self, decision: Decision, ours: dict[str, tuple[str, str]], progress: Progress) -> str:
        with self._locked(decision.slug) as folder:
            one = self.inbox.find(decision.slug, decision.id)
            response = _response(decision, one.proposal)
            if decision.action == "reject":
                return self._answer(one, response, "", {})
            before = live.load(folder)
            now = effective.config_digest(before)
            first, last = ours.get(one.slug, ("", ""))
            # Several at once: what this very batch has changed since they were looked at is no surprise.
            looked_at = first if now == last else now
            if decision.seen != seen_as(one, looked_at, decision.text):
                raise BackendError(STALE)
            try:
                payload = effective.edited(one.proposal, decision.text) if decision.text else one.proposal.payload
                after = effective.changed(before, payload)
                keep = lasting.edit(self.home, self.bottle(one.slug), payload) if decision.manifest else None
            except Refused as error:
                raise BackendError(str(error)) from None
            if keep and keep.preview.seen != decision.manifest:
                raise BackendError(f"the manifest changed meanwhile: {keep.preview.file}", "look again")
            try:
                line = self._grant(one, decision, response, payload, before, after, keep, progress)
            except BackendError as error:
                write_error(folder, decision.id, error.message + (f" ({error.hint})" if error.hint else ""))
                raise
            write_error(folder, decision.id, "")
            ours[one.slug] = (first or now, effective.config_digest(after))
            return line

    def _grant(
        self,
        one: Waiting,
        decision: Decision,
        response: Response,
        payload: Payload,
        before: BundleConfig,
        after: BundleConfig,
        keep: lasting.Edit | None,
        progress: Progress,
    ) -> str:
        folder, slug = self.records.folder(one.slug), one.slug
        more = {"granted": what(payload)} if decision.text else {}
        match payload:
            case Question(choices=choices):
                if not decision.answer.strip() or (choices and decision.answer not in choices):
                    wanted = "one of its choices" if choices else "an answer"
                    raise BackendError(f"the question wants {wanted}")
            case CapabilityRequest(dockerfile=dockerfile):
                try:
                    diff = self.image_diff(slug, payload)
                except Refused as error:
                    raise BackendError(str(error)) from None
                self.owner(slug).rebuild(slug, dockerfile, progress)
                files.write(folder / DOCKERFILE, dockerfile + "\n")
                return self._answer(one, response, diff, more)
        diff = effective.config_diff(before, after)
        if keep:
            diff, more = f"{diff}\n{keep.preview.diff}", {**more, "for_good": keep.preview.file}
        with live.applied(folder, self.owner(slug), before, after, keep, decision.id, one.proposal.kind):
            return self._answer(one, response, diff, more)

    def _answer(self, one: Waiting, response: Response, diff: str, more: Mapping[str, str]) -> str:
        """The audit's line, and last of all the answer; when that cannot be written, the audit says so."""
        proposal = one.proposal
        why = getattr(proposal.payload, "justification", "") or getattr(proposal.payload, "question", "")
        more = {
            **more,
            "id": proposal.id,
            "what": what(proposal.payload),
            "notes": response.notes,
            **({"answer": response.answer} if response.answer else {}),
        }
        entry = self._entry(one.slug, proposal.kind, ACTIONS[response.status], why, diff, **more)
        if isinstance(proposal.payload, HeldRequest):
            entry["request"] = asdict(proposal.payload)
        self.audit.append(entry)
        answers = self.inbox.exchange(one.slug).answers
        try:
            queue.put_response(answers, response)
        except OSError as error:
            with contextlib.suppress(BackendError):
                why = "the answer was not written"
                self.audit.append(self._entry(one.slug, proposal.kind, "undone", why, "", id=proposal.id))
            raise BackendError(f"the answer cannot be written: {error.strerror}", f"check {answers}") from None
        return f"{one.slug}: {told(entry)}"

    @contextlib.contextmanager
    def _locked(self, slug: str) -> Iterator[Path]:
        if self.records.load(slug) is None:
            raise BackendError(f"no bottle {slug}", "bottle-dash list active")
        folder = self.records.folder(slug)
        with live.locked(folder):
            self._settle(slug, folder)
            yield folder

    def _settle(self, slug: str, folder: Path) -> None:
        """Undoes the decision that a crash ended in the middle: it may be in force, and nobody knows of it."""
        begun, left = live.unfinished(folder), ""
        if begun is None:
            return
        # The answer is the last step: where it is there, nothing was left to do.
        if not begun.id or not answered(self.inbox.exchange(slug), begun.id):
            diff = effective.config_diff(live.load(folder), begun.before)
            left = live.restore(folder, self.owner(slug), begun.before, begun.keep)
            entry = self._entry(slug, begun.kind, "undone", "it ended in the middle", diff, id=begun.id, notes=left)
            self.audit.append(entry)
        live.finish(folder)
        if left:
            raise BackendError(left, "look at the manifest")

    def _settle_all(self) -> Iterator[Fault]:
        for slug in self.inbox.slugs():
            try:
                if (self.records.folder(slug) / live.PENDING).exists():
                    with self._locked(slug):
                        pass
            except BackendError as error:
                yield Fault(f"rules of {slug}", error.message, error.hint)

    def _entry(self, slug: str, kind: str, action: str, why: str, diff: str, **more: str) -> dict[str, object]:
        return {
            "time": round(time.time(), 3),
            "slug": slug,
            "kind": kind,
            "action": action,
            "justification": why,
            "diff": diff,
            "who": f"{_user()}{f' ({self.via})' if self.via else ''}",
            **more,
        }


def _response(decision: Decision, asked: Proposal) -> Response:
    """What the agent is told, before anything is done: what it could not read is refused."""
    status: Status = "rejected" if decision.action == "reject" else "modified" if decision.text else "approved"
    notes = [decision.reason] if decision.reason else []
    try:
        if decision.text:
            granted = effective.granted_text(effective.edited(asked, decision.text))
            notes.insert(0, f"granted as the operator changed it:\n{granted}")
        return make_response(decision.id, status, "\n".join(notes), decision.answer, time.time())
    except Refused as error:
        raise BackendError(str(error)) from None
    except ProposalError as error:
        raise BackendError(f"the answer {error.message}", "say it in fewer words") from None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"
