"""Verbs of the inbox: `proposals`, `approve`, `reject`."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict

from backends.api import BackendError, Decision, Fault, Preview, Waiting
from botbottle_tui.cli.out import Steps, ask, dump, fail, say, tell
from botbottle_tui.host.launching import Host
from botbottle_tui.host.paths import host_paths
from sidecar_bundle.shared.proposal import Question, what
from sidecar_bundle.shared.visible import visible

SHORT = 8  # digits of an id that are shown


def proposals(args: argparse.Namespace) -> int:
    """Id, bottle, kind, seconds that it waits, what it asks; tab-separated, oldest first."""
    waiting, faults = Host(host_paths()).desk.inbox.waiting()
    if args.json:
        rows = [{**asdict(w.proposal), "slug": w.slug, "error": w.error} for w in waiting]
        dump({"schema": 1, "proposals": rows, "faults": [asdict(f) for f in faults]})
    for one in () if args.json else waiting:
        waits = str(int(time.time() - one.proposal.created))
        fields = (one.proposal.id[:SHORT], one.slug, one.proposal.kind, waits, what(one.proposal.payload))
        say("\t".join(visible(text, keep="") for text in fields))
        if one.error:
            fail(f"{one.proposal.id[:SHORT]}: its last apply failed: {one.error}")
    _tell(faults)
    return 1 if faults else 0


def approve(args: argparse.Namespace) -> int:
    """Shows what it changes and asks, then applies and answers. A question takes its answer from --answer."""
    host = Host(host_paths(), via="command line")
    one = find(host, args.id)
    slug, ident = one.slug, one.proposal.id
    shown = [host.desk.preview(slug, ident)]
    # What was read for the preview is what a yes is about; the bundle may have written another since the search.
    one = shown[0].waiting or one
    payload = one.proposal.payload
    if isinstance(payload, Question) and not args.answer:
        choices = f": {', '.join(payload.choices)}" if payload.choices else ""
        fail("a question wants an answer", f"--answer TEXT{choices}")
        return 2
    if args.for_good:
        shown.append(host.desk.preview_lasting(slug, ident))
    _describe(one, shown)
    if refused := next((p.refused for p in shown if p.refused), ""):
        raise BackendError(f"cannot be approved: {refused}", "bottle-dash reject ID REASON")
    if not args.yes and (status := _agreed("Approve it?")):
        return status
    decision = Decision(slug, ident, "approve", shown[0].seen, answer=args.answer or "")
    if args.for_good:
        decision = Decision(slug, ident, "approve", shown[0].seen, answer="", manifest=shown[1].seen)
    return _decide(host, decision)


def reject(args: argparse.Namespace) -> int:
    """Answers no, with the reason that the agent reads."""
    host = Host(host_paths(), via="command line")
    one = find(host, args.id)
    return _decide(host, Decision(one.slug, one.proposal.id, "reject", reason=" ".join(args.reason)))


def find(host: Host, wanted: str) -> Waiting:
    """The one whose id begins like that; `BackendError` when none or several do."""
    waiting, _ = host.desk.inbox.waiting()
    found = [w for w in waiting if wanted and w.proposal.id.startswith(wanted.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(f"{w.proposal.id[:12]} of {w.slug}" for w in found[:5])
        raise BackendError(f"{wanted} is not one proposal: {several}", "give more digits")
    raise BackendError(f"no proposal {wanted!r} waits", "bottle-dash proposals")


def _describe(one: Waiting, previews: list[Preview]) -> None:
    tell(visible(f"{one.slug}: {one.proposal.kind} {what(one.proposal.payload)}", keep=""))
    # The agent wrote it: at the margin it could pass for the diff that follows.
    for text in getattr(one.proposal.payload, "justification", "").splitlines():
        tell(visible(f"    {text}", keep=""))
    for preview in previews:
        for text in (preview.note, preview.diff):
            if text:
                tell(visible(text))


def _agreed(question: str) -> int:
    """0 when a person said yes, else the exit status."""
    if not sys.stdin.isatty():
        fail("it wants a yes", "--yes where there is no terminal")
        return 2
    if ask(question):
        return 0
    tell("nothing was changed")
    return 2


def _decide(host: Host, decision: Decision) -> int:
    with Steps() as told:
        done, faults = host.desk.decide([decision], told)
    for text in done:
        say(visible(text, keep=""))
    _tell(faults)
    return 1 if faults else 0


def _tell(faults: tuple[Fault, ...]) -> None:
    for fault in faults:
        fail(f"{fault.source}: {fault.message}", fault.hint)
