"""Verbs on what was allowed: `routes` of a running bottle, and the `audit` log of decisions."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from backends.api import BackendError
from botbottle_tui.cli.out import ask, dump, fail, say, tell
from botbottle_tui.host import effective, live
from botbottle_tui.host.launching import Host
from botbottle_tui.host.paths import host_paths
from botbottle_tui.shell.editor import edited
from sidecar_bundle.shared.routes import Route, RouteError, check_host, check_path, dump_routes
from sidecar_bundle.shared.visible import visible

MOST = 1 << 20


def routes(args: argparse.Namespace) -> int:
    """Prints the live routes, or changes them after a yes: edited, read from a file, a host more or less."""
    host = Host(host_paths(), via="command line")
    if host.records.load(args.slug) is None:
        raise BackendError(f"no bottle {args.slug}", "bottle-dash list active")
    now = live.load(host.records.folder(args.slug))
    if not (args.edit or args.set or args.add or args.remove):
        if args.json:
            dump({"schema": 1, **dump_routes(now.routes)})
        else:
            for text in effective.lines(now):
                say(visible(text, keep=""))
        return 0
    wanted = host.desk.rules(args.slug, "routes").text
    if args.edit:
        if not sys.stdin.isatty():
            fail("--edit needs a terminal", "--set FILE, --add or --remove where there is none")
            return 2
        wanted = edited(wanted, ".json", os.environ, host.runner.foreground)
    elif args.set:
        wanted = _read(args.set)
    else:
        wanted = json.dumps(dump_routes(_changed(now.routes, args.add or (), args.remove or ())))
    shown = host.desk.preview_rules(args.slug, "routes", wanted)
    if shown.refused:
        raise BackendError(shown.refused, "nothing was changed")
    if not shown.diff:
        tell("nothing changes")
        return 0
    tell(visible(shown.diff))
    if not args.yes:
        if not sys.stdin.isatty():
            fail("it wants a yes", "--yes where there is no terminal")
            return 2
        if not ask("Change them?"):
            tell("nothing was changed")
            return 2
    say(host.desk.change_rules(args.slug, "routes", wanted, shown.seen))
    return 0


def _changed(now: tuple[Route, ...], add: Sequence[str], remove: Sequence[str]) -> tuple[Route, ...]:
    try:
        for text in add:
            host, slash, path = text.partition("/")
            now = effective.with_paths(
                now, check_host(host, "--add"), (check_path(slash + path, "--add"),) if slash else ()
            )
        for text in remove:
            host = check_host(text, "--remove")
            if host not in {r.host for r in now}:
                raise BackendError(f"there is no route to {host}", "bottle-dash routes SLUG")
            now = tuple(replace(r) for r in now if r.host != host)
    except RouteError as error:
        raise BackendError(str(error), "HOST or HOST/PATH, such as api.example.org/v1") from None
    return now


def _read(name: str) -> str:
    try:
        if name == "-":
            return sys.stdin.read(MOST)
        with Path(name).open(encoding="utf-8", errors="replace") as file:
            return file.read(MOST)
    except OSError as error:
        raise BackendError(f"{name} cannot be read: {error.strerror}") from None


def audit(args: argparse.Namespace) -> int:
    """Every decision: when, where, what was done, by whom, to which request; --verify says if the log is whole."""
    log = Host(host_paths()).desk.audit
    if args.verify:
        problems = log.verify()
        for text in problems:
            fail(f"{log.path}: {visible(text, keep='')}")
        if not problems:
            say(f"{log.path}: {sum(1 for _ in log.entries())} decisions, the chain is whole")
        return 1 if problems else 0
    if args.json:
        dump({"schema": 1, "decisions": list(log.entries())})
        return 0
    for entry in log.entries():
        try:
            when = datetime.fromtimestamp(float(entry.get("time", 0)), UTC).isoformat(timespec="seconds")
        except (ValueError, TypeError, OverflowError, OSError):
            when = "?"
        fields = (
            when,
            *(
                str(entry.get(key, ""))
                for key in ("slug", "kind", "action", "who", "what", "answer", "notes", "justification")
            ),
        )
        say("\t".join(visible(text, keep="") for text in fields))
    return 0
