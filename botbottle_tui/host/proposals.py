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
from sidecar_bundle.shared.proposal import ProposalError

ERRORS = "apply-failed.json"
LOOK = 0.05  # seconds between two looks at the folders
SETTLED = 100_000_000  # nanoseconds; a folder's time says nothing about changes within the tick of its clock
REFRESH = 1.0  # seconds between two searches for bottles


class Inbox:
    """Proposals of every bottle that lives. Safe to use from several threads."""

    def __init__(self, records: Records, backend: Callable[[str], Backend]) -> None:
        self.records, self._backend = records, backend
        self._found: tuple[float, dict[str, tuple[Exchange, float]]] = (0.0, {})

    def exchange(self, slug: str) -> Exchange:
        """Where a bottle's proposals and answers are; `BackendError` when it takes none."""
        record = self.records.load(slug)
        found = self._backend(record.backend).exchange(slug) if record else None
        if found is None:
            raise BackendError(f"{slug} is not live, or asks nothing", "bottle-dash list active")
        return found

    def waiting(self) -> tuple[tuple[Waiting, ...], tuple[Fault, ...]]:
        """What waits, oldest first, and a fault for each bottle whose queue holds what is no proposal."""
        out: list[Waiting] = []
        faults: list[Fault] = []
        now = time.time()
        for slug, (exchange, started) in self._exchanges().items():
            found, bad = queue.proposals(exchange.queue)
            errors = read_errors(self.records.folder(slug))
            for one in found:
                if not _answered(exchange, one.id):
                    # The bundle's clock is its own: no proposal is older than its bottle, or of the future.
                    one = replace(one, created=min(max(one.created, started), now))
                    out.append(Waiting(slug, one, errors.get(one.id, "")))
            if bad:
                more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
                faults.append(Fault(f"proposals of {slug}", f"{bad[0]}{more}"))
        return tuple(sorted(out, key=lambda w: (w.proposal.created, w.key))), tuple(faults)

    def find(self, slug: str, ident: str) -> Waiting:
        """The one that waits; `BackendError` when it was answered or taken back."""
        exchange = self.exchange(slug)
        for one in queue.proposals(exchange.queue)[0]:
            if one.id == ident and not _answered(exchange, ident):
                return Waiting(slug, one, read_errors(self.records.folder(slug)).get(ident, ""))
        raise BackendError(f"{ident[:8]} of {slug} waits no more: it was answered, or taken back")

    def watch(self, seen: str, seconds: float) -> tuple[str, tuple[Waiting, ...], tuple[Fault, ...]]:
        """As `waiting`, with a mark to ask with the next time: waits until it differs from `seen` or time is up."""
        end = time.monotonic() + seconds
        if seen:
            time.sleep(LOOK)
            while self._mark() == seen and time.monotonic() < end:
                time.sleep(LOOK)
        mark = self._mark()
        return (mark, *self.waiting())

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
        young = any(abs(now - t) < SETTLED for three in times.values() for t in three)
        return json.dumps([times, now if young else 0])


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _answered(exchange: Exchange, ident: str) -> bool:
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
