"""Verbs on live bottles: `attach`, `stop`, `diff`, `export`, `apply`."""

from __future__ import annotations

import argparse
import sys

from backends.api import BackendError
from botbottle_tui.cli.out import ask, fail, interactive, say, tell, tell_waiting
from botbottle_tui.core.text import files
from botbottle_tui.host.launching import Host
from botbottle_tui.host.paths import host_paths
from sidecar_bundle.shared.visible import visible

LISTED = 30  # changed files that are named before an apply


def attach(args: argparse.Namespace) -> int:
    """Shows the agent's terminal here until it ends or one leaves; an agent that has ended is started again."""
    host = Host(host_paths())
    argv = host.attach_argv(args.slug, pane=False)
    if not interactive():
        fail("attach needs a terminal", f"{args.slug} runs: bottle-dash stop {args.slug} ends it")
        return 2
    status = host.runner.foreground(argv)
    tell_waiting(host.desk.inbox.waiting()[0], args.slug)
    return status


def stop(args: argparse.Namespace) -> int:
    """Stops each bottle named; unexported changes are kept as a patch unless dropped on purpose."""
    host = Host(host_paths())
    status = 0
    for slug in args.slug:
        try:
            status |= _stop(host, slug, yes=args.yes, drop=args.drop_changes)
        except BackendError as error:
            fail(error.message, error.hint)
            status = 1
    return status


def _stop(host: Host, slug: str, *, yes: bool, drop: bool) -> int:
    agents, faults = host.enumerate()
    if slug not in {a.slug for a in agents}:
        record = host.records.load(slug)
        if down := next((f for f in faults if record is not None and f.source == record.backend), None):
            raise BackendError(f"{slug} cannot be stopped now: {down.message}", down.hint)
        raise BackendError(f"no bottle {slug}", "bottle-dash list active")
    changed = 0
    if host.records.load(slug) is not None and not drop:
        changed = _unexported(host, slug)
    if not yes:
        if not sys.stdin.isatty():
            fail(f"stopping {slug} wants a yes", "--yes where there is no terminal")
            return 2
        note = f" {changed} changed files were not brought out; they will be kept." if changed else ""
        if not ask(f"Stop {slug}?" + (" What it changed in its copy will be dropped." if drop else note)):
            tell(f"{slug} goes on")
            return 2
    kept = host.stop(slug, drop_changes=drop)
    say(f"{slug} stopped" + (f"; what it changed is kept in {kept}" if kept else ""))
    return 0


def _unexported(host: Host, slug: str) -> int:
    """How many changed files were not brought out; a copy that cannot be read counts as one, and is kept whole."""
    try:
        found = host.changes(slug)
    except BackendError as error:
        fail(f"the changes of {slug} cannot be read: {error.message}", "the copy is kept")
        return 1
    return 0 if found.exported else len(found.files)


def diff(args: argparse.Namespace) -> int:
    """The changes as a patch on stdout; on a terminal with hidden characters made visible."""
    found = Host(host_paths()).changes(args.slug)
    if not found.files:
        tell(f"no changes: {found.note}")
        return 0
    text = visible(found.patch) if sys.stdout.isatty() else found.patch
    sys.stdout.write(text)
    return 0


def export(args: argparse.Namespace) -> int:
    """Writes the patch and says where."""
    say(str(Host(host_paths()).export(args.slug)))
    return 0


def apply(args: argparse.Namespace) -> int:
    """Applies the changes to the folder that was copied, after a yes to what they are."""
    host = Host(host_paths())
    found = host.changes(args.slug)
    if not found.files:
        raise BackendError(f"bottle {args.slug} has no changes to bring out", found.note)
    for kind, path in found.files[:LISTED]:
        tell(visible(f"{kind}  {path}", keep=""))
    if len(found.files) > LISTED:
        tell(f"and {len(found.files) - LISTED} more")
    tell(f"{found.note}; bottle-dash diff {args.slug} shows them whole")
    if not args.yes:
        if not sys.stdin.isatty():
            fail("apply wants a yes", "--yes where there is no terminal")
            return 2
        if not ask(f"Apply them ({files(len(found.files))})?"):
            tell("nothing was changed")
            return 2
    say(host.apply(args.slug, found.seen))
    return 0
