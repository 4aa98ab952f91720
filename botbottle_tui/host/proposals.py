"""The inbox: what waits for the operator in the queues of all bottles, read without trust, and watched for changes."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from backends.api import Backend, BackendError, Exchange, Fault, Waiting
from botbottle_tui.host import files
from botbottle_tui.host.records import Records
from sidecar_bundle.shared import queue
from sidecar_bundle.shared.proposal import Proposal, ProposalError

ERRORS = "apply-failed.json"
LOOK = 0.05  # seconds between two looks at the folders
SHARE = 4  # after a look that took long: so many times as long until the next
LONGEST = 2.0  # seconds until it in any case
REFRESH = 1.0  # seconds between two searches for bottles


class Inbox:
    """Proposals of every bottle that lives. Safe to use from several threads."""

    def __init__(self, records: Records, backend: Callable[[str], Backend]) -> None:
        self.records, self._backend = records, backend
        self._found: tuple[float, dict[str, tuple[Exchange, float]]] = (0.0, {})
        self._known: dict[str, queue.Known] = {}
        self._pause = LOOK

    def exchange(self, slug: str) -> Exchange:
        """Where a bottle's proposals and answers are; `BackendError` when it takes none."""
        record = self.records.load(slug)
        found = self._backend(record.backend).exchange(slug) if record else None
        if found is None:
            raise BackendError(f"{slug} is not live, or asks nothing", "bottle-dash list active")
        return found

    def slugs(self) -> tuple[str, ...]:
        """The bottles that live and can ask."""
        return tuple(self._exchanges())

    def waiting(self) -> tuple[tuple[Waiting, ...], tuple[Fault, ...]]:
        """What waits, oldest first, and a fault for each bottle whose queue holds what is no proposal."""
        out: list[Waiting] = []
        faults: list[Fault] = []
        exchanges = self._exchanges()
        known = self._known = {slug: self._known.get(slug, {}) for slug in exchanges}
        for slug, (exchange, started) in exchanges.items():
            found, bad = queue.proposals(exchange.queue, known[slug])
            errors = read_errors(self.records.folder(slug))
            for one in found:
                if not answered(exchange, one.id):
                    out.append(Waiting(slug, _dated(one, started), errors.get(one.id, "")))
            if bad:
                more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
                faults.append(Fault(f"proposals of {slug}", f"{bad[0]}{more}"))
        return tuple(sorted(out, key=lambda w: (w.proposal.created, w.key))), tuple(faults)

    def find(self, slug: str, ident: str) -> Waiting:
        """The one that waits, as its file says now; `BackendError` when it was answered or taken back."""
        exchange, record = self.exchange(slug), self.records.load(slug)
        try:
            one = queue.proposal(exchange.queue, ident)
        except ProposalError as error:
            raise BackendError(f"{ident[:8]} of {slug} cannot be read: {error.message}") from None
        if one is None or record is None or answered(exchange, ident):
            raise BackendError(f"{ident[:8]} of {slug} waits no more: it was answered, or taken back")
        return Waiting(slug, _dated(one, record.started), read_errors(self.records.folder(slug)).get(ident, ""))

    def watch(self, seen: str, seconds: float) -> tuple[str, tuple[Waiting, ...], tuple[Fault, ...]]:
        """As `waiting`, with a mark to ask with the next time: waits until it differs from `seen` or time is up."""
        end = time.monotonic() + seconds
        if seen:
            # A bundle that makes looking slow, by many or large files, takes a share of the time and not all of it.
            time.sleep(self._pause)
            while self._mark() == seen and time.monotonic() < end:
                time.sleep(LOOK)
        mark, began = self._mark(), time.monotonic()
        waiting, faults = self.waiting()
        self._pause = min(max(LOOK, SHARE * (time.monotonic() - began)), LONGEST)
        return mark, waiting, faults

    def _exchanges(self) -> dict[str, tuple[Exchange, float]]:
        when, found = self._found
        if time.monotonic() - when > REFRESH:
            found = {}
            for record in self.records.all():
                with contextlib.suppress(BackendError):
                    if exchange := self._backend(record.backend).exchange(record.slug):
                        found[record.slug] = (exchange, record.started)
            self._found = (time.monotonic(), found)
        return found

    def _mark(self) -> str:
        times = {}
        for slug, (exchange, _) in self._exchanges().items():
            paths = (exchange.queue, exchange.answers, self.records.folder(slug) / ERRORS)
            times[slug] = [_changed(path) for path in paths]
        now = time.time_ns()
        young = any(abs(now - t) < queue.SETTLED for three in times.values() for t in three)
        return json.dumps([times, now if young else 0])


def _changed(path: Path) -> int:
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0


def _dated(one: Proposal, started: float) -> Proposal:
    """The bundle's clock is its own: no proposal is older than its bottle, or of the future."""
    return replace(one, created=min(max(one.created, started), time.time()))


def answered(exchange: Exchange, ident: str) -> bool:
    """Whether the operator has decided on it."""
    try:
        return queue.response(exchange.answers, ident) is not None
    except ProposalError:
        return True  # there is an answer; that it cannot be read is nothing that another one would mend


def read_errors(folder: Path) -> dict[str, str]:
    """Why the last apply of each proposal failed, by id."""
    try:
        raw = json.loads((folder / ERRORS).read_text(encoding="utf-8"))
        return {str(k): str(v) for k, v in raw.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def write_error(folder: Path, ident: str, text: str) -> None:
    """Remembers why an apply failed, or with "" that it did not."""
    errors = read_errors(folder)
    if errors.pop(ident, "") != text:
        kept = {**errors, **({ident: text} if text else {})}
        with contextlib.suppress(BackendError):  # it is told in any case; here it is only kept
            files.write(folder / ERRORS, json.dumps(kept) + "\n")
