"""The operator's decisions: shown as what they change, applied by compare-and-set, audited, and answered last."""

from __future__ import annotations

import contextlib
import getpass
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from backends.api import Backend, BackendError, Capability, Decision, Fault, Preview, Progress, Waiting
from botbottle_tui.host import effective, files, lasting, live
from botbottle_tui.host.audit import Audit
from botbottle_tui.host.effective import Refused, What, digest
from botbottle_tui.host.proposals import Inbox, write_error
from sidecar_bundle.shared import queue
from sidecar_bundle.shared.config import BundleConfig
from sidecar_bundle.shared.proposal import CapabilityRequest, HeldRequest, Payload, Question, Response, Status

DOCKERFILE = "Dockerfile"
STALE = "it changed meanwhile: look again"


class Approvals:
    """Previews, decisions and edits of running bottles. Every method raises only `BackendError`."""

    def __init__(self, home: Path, inbox: Inbox, backend: Callable[[str], Backend], via: str = "") -> None:
        self.inbox, self.home, self.via = inbox, home, via
        self.records = inbox.records
        self.audit = Audit(home / "audit")
        self._backend = backend

    # Looking

    def watch(self, seen: str, seconds: float) -> tuple[str, tuple[Waiting, ...], tuple[Fault, ...]]:
        """See `Inbox.watch`."""
        return self.inbox.watch(seen, seconds)

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
            return lasting.edit(self.home, self._bottle(slug), payload).preview
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
            with self._applied(slug, folder, before, after):
                diff = effective.config_diff(before, after)
                self.audit.append(self._entry(slug, what, "operator-edit", "", diff))
        return f"{slug}: {what} changed"

    # How

    def _preview(self, one: Waiting, before: BundleConfig, text: str) -> Preview:
        payload = one.proposal.payload
        seen = _seen(one, before, text)
        shown = text
        try:
            with contextlib.suppress(Refused):
                shown = text or effective.request_text(payload)
            payload = effective.edited(one.proposal, text) if text else payload
            if isinstance(payload, CapabilityRequest):
                diff = self._image_diff(one.slug, payload)
                return Preview(diff, seen, text=shown, note="the agent restarts in another image")
            after = effective.changed(before, payload)
        except Refused as error:
            return Preview(seen=seen, text=shown, refused=str(error))
        said = effective.note(payload, before, after)
        return Preview(effective.config_diff(before, after), seen, text=shown, note=said)

    def _image_diff(self, slug: str, wanted: CapabilityRequest) -> str:
        backend = self._owner(slug)
        if Capability.REBUILD not in backend.capabilities():
            raise Refused(f"{backend.name} builds no image for an agent: it sees this host's programs")
        before = files.read_head(self.records.folder(slug) / DOCKERFILE, 1 << 20).decode(errors="replace")
        return effective.diff(before.splitlines(), wanted.dockerfile.splitlines(), "Dockerfile")

    def _decide(self, decision: Decision, ours: dict[str, tuple[str, str]], progress: Progress) -> str:
        with self._locked(decision.slug) as folder:
            one = self.inbox.find(decision.slug, decision.id)
            if decision.action == "reject":
                return self._answer(one, decision, "rejected", decision.reason, "")
            before = live.load(folder)
            now = effective.config_digest(before)
            first, last = ours.get(one.slug, ("", ""))
            # Several at once: what this very batch has changed since they were looked at is no surprise.
            looked_at = first if now == last else now
            if decision.seen != _seen_with(one, looked_at, decision.text):
                raise BackendError(STALE)
            try:
                payload = effective.edited(one.proposal, decision.text) if decision.text else one.proposal.payload
                after = effective.changed(before, payload)
                keep = lasting.edit(self.home, self._bottle(one.slug), payload) if decision.manifest else None
            except Refused as error:
                raise BackendError(str(error)) from None
            if keep and keep.preview.seen != decision.manifest:
                raise BackendError(f"the manifest changed meanwhile: {keep.preview.file}", "look again")
            try:
                line = self._grant(one, decision, payload, before, after, keep, progress)
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
        payload: Payload,
        before: BundleConfig,
        after: BundleConfig,
        keep: lasting.Edit | None,
        progress: Progress,
    ) -> str:
        folder, slug = self.records.folder(one.slug), one.slug
        status: Status = "modified" if decision.text else "approved"
        match payload:
            case Question(choices=choices):
                if not decision.answer.strip() or (choices and decision.answer not in choices):
                    what = "one of its choices" if choices else "an answer"
                    raise BackendError(f"the question wants {what}")
                return self._answer(one, decision, status, "", "")
            case HeldRequest():
                return self._answer(one, decision, status, decision.reason, "")
            case CapabilityRequest(dockerfile=dockerfile):
                try:
                    diff = self._image_diff(slug, payload)
                except Refused as error:
                    raise BackendError(str(error)) from None
                self._owner(slug).rebuild(slug, dockerfile, progress)
                files.write(folder / DOCKERFILE, dockerfile + "\n")
                return self._answer(one, decision, status, _changed_note(decision), diff)
        diff = effective.config_diff(before, after)
        with self._applied(slug, folder, before, after):
            if keep is None:
                return self._answer(one, decision, status, _changed_note(decision), diff)
            keep.write()
            try:
                whole = f"{diff}\n{keep.preview.diff}"
                return self._answer(one, decision, status, _changed_note(decision), whole) + ", for good"
            except BaseException:
                keep.undo()
                raise

    def _answer(self, one: Waiting, decision: Decision, status: Status, notes: str, diff: str) -> str:
        """The audit's line, and last of all the answer; when that cannot be written, the audit says so."""
        proposal = one.proposal
        why = getattr(proposal.payload, "justification", "") or getattr(proposal.payload, "question", "")
        action = decision.action if status != "modified" else "modify"
        entry = self._entry(one.slug, proposal.kind, action, why, diff, id=proposal.id, notes=notes)
        if decision.answer:
            entry["answer"] = decision.answer
        if isinstance(proposal.payload, HeldRequest):
            entry["request"] = asdict(proposal.payload)
        self.audit.append(entry)
        answers = self.inbox.exchange(one.slug).answers
        try:
            queue.put_response(answers, Response(proposal.id, status, notes, decision.answer, time.time()))
        except OSError as error:
            with contextlib.suppress(BackendError):
                self.audit.append(self._entry(one.slug, proposal.kind, "undone", "the answer was not written", ""))
            raise BackendError(f"the answer cannot be written: {error.strerror}", f"check {answers}") from None
        return f"{one.slug}: {proposal.kind} {status}"

    @contextlib.contextmanager
    def _applied(self, slug: str, folder: Path, before: BundleConfig, after: BundleConfig) -> Iterator[None]:
        """The rules live while the rest is done; whatever fails, the bundle has again those that it had."""
        if before == after:
            yield
            return
        backend = self._owner(slug)
        try:
            backend.configure(slug, after)
            live.save(folder, after)
            yield
        except BaseException as error:
            try:
                backend.configure(slug, before)
                live.save(folder, before)
            except BackendError as again:
                said = error.message if isinstance(error, BackendError) else type(error).__name__
                text = f"{said}; and the rules that were could not be restored: {again.message}"
                raise BackendError(text, f"stop {slug}: its rules are not known") from None
            raise

    @contextlib.contextmanager
    def _locked(self, slug: str) -> Iterator[Path]:
        if self.records.load(slug) is None:
            raise BackendError(f"no bottle {slug}", "bottle-dash list active")
        folder = self.records.folder(slug)
        with live.locked(folder):
            yield folder

    def _owner(self, slug: str) -> Backend:
        record = self.records.load(slug)
        if record is None:
            raise BackendError(f"no bottle {slug}", "bottle-dash list active")
        return self._backend(record.backend)

    def _bottle(self, slug: str) -> str:
        record = self.records.load(slug)
        return record.bottles[0] if record and record.bottles else ""

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


def _seen(one: Waiting, config: BundleConfig, text: str) -> str:
    return _seen_with(one, effective.config_digest(config), text)


def _seen_with(one: Waiting, config: str, text: str) -> str:
    return digest(one.slug, one.proposal.id, one.proposal.kind, repr(one.proposal.payload), config, text)


def _changed_note(decision: Decision) -> str:
    if not decision.text:
        return decision.reason
    return f"granted as the operator changed it:\n{decision.text}" + (f"\n{decision.reason}" if decision.reason else "")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"
