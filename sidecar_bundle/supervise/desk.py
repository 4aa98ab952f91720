"""Requests of the agent that wait for the operator: queued as files, and answered when the answer's file is there."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from sidecar_bundle.shared import layout, queue
from sidecar_bundle.shared.config import BundleConfig, parse_config
from sidecar_bundle.shared.proposal import Kind, Response, make_proposal, parse_call
from sidecar_bundle.supervise.delivered import Delivered

POLL = 0.1  # seconds
TELL = 5.0  # seconds between two signs of life
MAX_CALLS = 2 * queue.MAX_PENDING  # several may wait for one proposal


class Busy(Exception):
    """So many calls wait that no more are taken; the text says how many."""


class Gone(Exception):
    """Whoever asked is no longer there."""


@dataclass
class Call:
    """One call as its connection sees it: `gone` once nobody listens, `took` what to note when the answer is out."""

    gone: bool = False
    took: Callable[[], None] | None = None


class Desk:
    """One bottle's requests. `closing` keeps what waits: the next daemon finds it."""

    def __init__(self, state: Path, answers: Path) -> None:
        """Raises `OSError` when the folders cannot be made."""
        self._queue = state / layout.QUEUE_FOLDER
        self._queue.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._answers = answers
        self._delivered = Delivered(state / layout.SUPERVISE)
        self._waiting: Counter[str] = Counter()
        self.config = BundleConfig("")
        self.closing = False

    def configure(self, config: Any) -> None:
        """Raises `ConfigError`."""
        self.config = parse_config(config)

    async def ask(
        self, kind: str, arguments: Any, call: Call, tell: Callable[[float, str], Awaitable[None]]
    ) -> Response:
        """The operator's answer, whenever it comes. `tell` is awaited every `TELL` seconds with the seconds so far.

        The same request finds its earlier proposal or an answer that nobody took. Raises `ProposalError`, `Busy`,
        `queue.QueueFull`, `Gone` or `OSError`. When all who wait for a proposal are gone, it is withdrawn.
        """
        payload = parse_call(kind, arguments)
        known: Kind = next(k for k in get_args(Kind) if k == kind)
        first = make_proposal(known, self.config.slug, payload, time.time())
        count = self._delivered.count(first.id)
        asked = make_proposal(known, self.config.slug, payload, time.time(), str(count)) if count else first
        if (answer := queue.response(self._answers, asked.id)) is None:
            if self._waiting.total() >= MAX_CALLS:
                raise Busy(f"{MAX_CALLS} calls wait already; wait for the operator's answers")
            queue.put_proposal(self._queue, asked)
            answer = await self._wait(asked.id, call, tell)
        queue.drop_proposal(self._queue, asked.id)
        call.took = lambda: self._delivered.took(first.id, count)
        return answer

    async def _wait(self, ident: str, call: Call, tell: Callable[[float, str], Awaitable[None]]) -> Response:
        began = time.monotonic()
        due = began
        self._waiting[ident] += 1
        answer: Response | None = None
        try:
            while (answer := queue.response(self._answers, ident)) is None:
                if call.gone:
                    raise Gone
                if time.monotonic() >= due:
                    due += TELL
                    waited = time.monotonic() - began
                    await tell(waited, f"waiting for the operator ({waited:.0f} s)")
                await asyncio.sleep(POLL)
            return answer
        finally:
            self._waiting[ident] -= 1
            if not self._waiting[ident]:
                del self._waiting[ident]
                if answer is None and not self.closing:
                    queue.drop_proposal(self._queue, ident)
