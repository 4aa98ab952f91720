"""Requests held for the operator: a proposal in the queue, and its answer when it comes."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sidecar_bundle.shared import queue
from sidecar_bundle.shared.proposal import MAX_FINDINGS, HeldRequest, ProposalError, make_proposal

LIMIT = 3600.0  # seconds
POLL = 0.1  # seconds


class Inbox:
    """`proposals` is the bundle's own folder, `answers` the operator's."""

    def __init__(self, proposals: Path, answers: Path) -> None:
        self._proposals, self._answers = proposals, answers

    async def ask(
        self, bottle: str, method: str, host: str, path: str, findings: Sequence[str], gone: Callable[[], bool]
    ) -> str:
        """Waits until the operator lets the request pass ("") or not (why); ends early when `gone`."""
        payload = HeldRequest(method[:32], host[:255], path[:1024], tuple(f[:300] for f in findings[:MAX_FINDINGS]))
        # Each request is asked for on its own: an answer is never good for a second one that looks like it.
        proposal = make_proposal("dlp-ask", bottle, payload, time.time(), secrets.token_hex(16))
        try:
            self._proposals.mkdir(mode=0o700, parents=True, exist_ok=True)
            queue.put_proposal(self._proposals, proposal)
        except queue.QueueFull as error:
            return str(error)
        except OSError as error:
            return f"the operator cannot be asked ({error.strerror})"
        end = time.monotonic() + LIMIT
        try:
            while time.monotonic() < end:
                answer = queue.response(self._answers, proposal.id)
                if answer is not None:
                    return "" if answer.status == "approved" else f"the operator said no{_notes(answer.notes)}"
                if gone():
                    return "the client went away before the operator answered"
                await asyncio.sleep(POLL)
            return f"the operator has not answered within {LIMIT / 60:.0f} minutes"
        except ProposalError as error:
            return f"the operator's answer cannot be read ({error})"
        finally:
            queue.drop_proposal(self._proposals, proposal.id)


def _notes(notes: str) -> str:
    return f": {' '.join(notes.split())[:400]}" if notes.strip() else ""
