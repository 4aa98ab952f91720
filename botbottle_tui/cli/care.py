"""Verbs that look after the machine: `init`, `setup`, `doctor`, `cleanup`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict

from backends.api import BackendError, BackendInfo, Check, HostPaths
from backends.bubblewrap.limits import describe
from backends.bundle_env import BundleEnv, supervise_env, upstream_ca
from botbottle_tui.cli.out import ask, check_line, dump, fail, leave, say, tell
from botbottle_tui.host.launching import Host
from botbottle_tui.host.paths import host_paths


def init(args: argparse.Namespace) -> int:
    """Copies the example manifests."""
    paths = host_paths()
    written = Host(paths).init_home()
    for path in written:
        say(str(path))
    if not written:
        tell(f"nothing to do: every example stands in {paths.home}")
    return 0


def setup(args: argparse.Namespace) -> int:
    """Builds the bundle's environments ahead."""
    paths = host_paths()
    for name, make in (("bundle", BundleEnv), ("supervise", supervise_env)):
        python = make(paths.cache, paths.extra_ca).build(tell)
        tell(f"{name} environment: ready in {python.parent.parent}")
    return 0


def doctor(args: argparse.Namespace) -> int:
    """Probes what is really needed by doing it."""
    checks = examine(host_paths())
    if args.json:
        dump({"schema": 1, "ok": all(c.ok for c in checks), "checks": [asdict(c) for c in checks]})
    else:
        for check in checks:
            say(check_line(check))
    return 0 if all(c.ok for c in checks) else 1


def examine(paths: HostPaths) -> list[Check]:
    """Every check, in the order in which one would repair."""
    host = Host(paths)
    version = ".".join(str(n) for n in sys.version_info[:3])
    checks = [Check("python", sys.version_info >= (3, 11), version, "install Python 3.11 or newer")]
    checks += backend_checks(host.backends())
    bounded, how = describe()
    checks.append(Check("limits", True, how, warn=not bounded))
    checks.append(_tool(host, "git", True))
    checks.append(_tool(host, "tmux", False))
    checks.append(_bundle(paths))
    try:
        count = upstream_ca(paths.extra_ca).count("BEGIN CERTIFICATE")
        checks.append(Check("certificates", count > 0, f"{count} trusted", "apt-get install ca-certificates"))
    except BackendError as error:
        checks.append(Check("certificates", False, error.message, error.hint))
    checks.append(_state(paths))
    return checks


def backend_checks(backends: Sequence[BackendInfo]) -> list[Check]:
    """Whether each can be used, and what to do where not: no fault of the machine while another can be."""
    usable, out = any(b.available.ok for b in backends), []
    for backend in backends:
        check = backend.available
        detail = f"{'usable' if check.ok else 'not usable'}: {check.detail}"
        ok = check.ok or usable
        out.append(Check(f"backend {backend.name}", ok, detail, check.fix, warn=check.warn or not check.ok))
    return out


def _tool(host: Host, name: str, needed: bool) -> Check:
    try:
        done = host.runner.run([name, "-V" if name == "tmux" else "--version"], timeout=10)
        return Check(name, done.ok or not needed, done.stdout.strip() or done.last_line, f"apt-get install {name}")
    except BackendError as error:
        detail = error.message if needed else f"{error.message}: agents open in the foreground"
        return Check(name, not needed, detail, error.hint, warn=not needed)


def _bundle(paths: HostPaths) -> Check:
    try:
        pythons = [make(paths.cache, paths.extra_ca).python() for make in (BundleEnv, supervise_env)]
        return Check("bundle environment", True, ", ".join(map(str, pythons)))
    except BackendError as error:
        return Check("bundle environment", False, error.message, error.hint)


def _state(paths: HostPaths) -> Check:
    place = paths.home
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK | os.X_OK):
        return Check("state folder", False, f"{place} is not writable", "set BOT_BOTTLE_HOME to a folder of yours")
    free = shutil.disk_usage(place).free
    return Check("state folder", free > 200 << 20, f"{paths.home}, {free >> 20} MB free", "free some disk space")


def cleanup(args: argparse.Namespace) -> int:
    """Shows what dead bottles left behind and removes it after one yes."""
    host = Host(host_paths())
    seen = host.leftovers(images=args.images)
    found = tuple(one for one in seen if not one.left)
    if args.json:
        dump({"schema": 1, "leftovers": [asdict(one) for one in seen]})
    else:
        for one in found:
            say(f"{one.backend}\t{one.kind}\t{one.slug or one.ident}\t{one.detail}")
        leave(one for one in seen if one.left)
    # Of what could not be looked at it is not known that nothing is left.
    known = all(one.ident for one in seen)
    if args.dry_run or not found:
        if known and not found:
            tell("nothing to clean up")
        return 0 if known else 1
    if not args.yes:
        if not sys.stdin.isatty():
            fail("cleanup wants a yes", "--yes where there is no terminal, --dry-run to look only")
            return 2
        if not ask(f"Remove these {len(found)}?"):
            return 2
    faults = host.sweep(found)
    for fault in faults:
        fail(fault.message, fault.hint)
    return 1 if faults or not known else 0
