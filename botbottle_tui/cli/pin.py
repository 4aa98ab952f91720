"""The verb `pin`: shows a git upstream's host key and, after a yes, writes it into the bottle's manifest."""

from __future__ import annotations

import argparse
import base64
import difflib
import hashlib
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from backends.api import BackendError
from backends.process import Runner, minimal_env
from botbottle_tui.cli.out import ask, fail, say, tell
from botbottle_tui.host.launching import Host
from botbottle_tui.host.paths import host_paths
from manifests.catalog import Bottle
from manifests.values import GitRemote

_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
_SCAN_SECONDS = 20


@dataclass(frozen=True, slots=True)
class HostKey:
    """A public host key."""

    kind: str
    key: str

    @property
    def fingerprint(self) -> str:
        """As OpenSSH writes it."""
        digest = hashlib.sha256(base64.b64decode(self.key)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def pin(args: argparse.Namespace) -> int:
    """Asks the host for its keys; a person, or a fingerprint that a person gave, decides."""
    if args.yes and not args.fingerprint:
        fail("--yes pins only a key that you know", "give --fingerprint SHA256:... as its operator publishes it")
        return 2
    bottle, remote = _find(args.bottle, args.remote)
    keys = scan(Runner(), remote)
    tell(f"{remote.ssh_host}:{remote.port} shows these keys (compare with what its operator publishes):")
    for key in keys:
        say(f"{key.kind}\t{key.fingerprint}")
    chosen = keys[0]
    if args.fingerprint:
        found = [key for key in keys if key.fingerprint == args.fingerprint.rstrip("=")]
        if not found:
            raise BackendError(f"no key of {remote.ssh_host} has the fingerprint {args.fingerprint}", "pin nothing")
        chosen = found[0]
    path = _declaring(bottle, remote)
    old = path.read_text(encoding="utf-8")
    new = edited(old, remote, f"{chosen.kind} {chosen.key}")
    if old == new:
        tell(f"{path} pins this key already")
        return 0
    for line in difflib.unified_diff(old.splitlines(), new.splitlines(), str(path), str(path), lineterm="", n=2):
        say(line)
    if not args.yes:
        if not sys.stdin.isatty():
            fail("pin wants a yes", "--yes together with --fingerprint SHA256:... where there is no terminal")
            return 2
        if not ask(f"Write {chosen.kind} {chosen.fingerprint} into {path}?"):
            return 2
    _write(path, old, new)
    tell(f"pinned; it holds for bottles of {bottle.name} that start from now on")
    return 0


def scan(runner: Runner, remote: GitRemote) -> list[HostKey]:
    """The keys that the host shows now, the strongest kind first. `BackendError` when it shows none."""
    address = dict(remote.extra_hosts).get(remote.ssh_host, remote.ssh_host)
    argv = ["ssh-keyscan", "-T", "10", "-p", str(remote.port), "--", address]
    done = runner.run(argv, timeout=_SCAN_SECONDS, env=minimal_env())
    found = []
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in _KINDS and re.fullmatch(r"[A-Za-z0-9+/]{16,}={0,2}", words[2]):
            found.append(HostKey(words[1], words[2]))
    if not found:
        said = next((row for row in done.stderr.splitlines() if row and not row.startswith("#")), "no answer")
        raise BackendError(
            f"{remote.ssh_host}:{remote.port} shows no host key: {said}", "is the upstream right, and up?"
        )
    return sorted(set(found), key=lambda k: _KINDS.index(k.kind))


def edited(text: str, remote: GitRemote, key: str) -> str:
    """The manifest with `KnownHostKey` of the remote set, all else as it was. `BackendError` for a shape not known."""
    lines = text.split("\n")
    name = re.compile(rf"(\s+)Name:\s*['\"]?{re.escape(remote.name)}['\"]?\s*(#.*)?$")
    places = [(i, found[1]) for i, line in enumerate(lines) if (found := name.match(line))]
    if len(places) != 1:
        raise BackendError(
            f"the entry of {remote.name} cannot be edited safely", f"write under it by hand: KnownHostKey: {key}"
        )
    at, indent = places[0]
    entry = [at]
    for step in (-1, 1):
        i = at + step
        # The keys of one entry stand at one depth; what is deeper belongs to one of them.
        while 0 <= i < len(lines) and (not lines[i].strip() or lines[i].startswith(indent)):
            entry.append(i)
            i += step
    known = [i for i in entry if lines[i].startswith(f"{indent}KnownHostKey:")]
    if known:
        lines[known[0]] = f"{indent}KnownHostKey: {key}"
    else:
        lines.insert(at + 1, f"{indent}KnownHostKey: {key}")
    return "\n".join(lines)


def _find(bottle_name: str, remote_name: str) -> tuple[Bottle, GitRemote]:
    catalog = Host(host_paths()).catalog(Path.cwd())
    bottle = catalog.bottle(bottle_name)
    if bottle is None:
        broken = next((b for b in catalog.broken if b.kind == "bottle" and b.name == bottle_name), None)
        names = ", ".join(b.name for b in catalog.bottles) or "none"
        raise BackendError(
            f"bottle {bottle_name} is broken: {broken.error}" if broken else f"no bottle {bottle_name!r}",
            "correct the file" if broken else f"bottles: {names}",
        )
    remote = next((r for r in bottle.remotes if remote_name in (r.name, r.host)), None)
    if remote is None:
        names = ", ".join(r.name for r in bottle.remotes) or "none"
        raise BackendError(f"bottle {bottle_name} has no git remote {remote_name!r}", f"remotes: {names}")
    return bottle, remote


def _declaring(bottle: Bottle, remote: GitRemote) -> Path:
    """The file that declares the remote: the bottle's, or the nearest ancestor's."""
    folder = bottle.path.parent
    for name in bottle.chain:
        path = folder / f"{name}.md"
        try:
            if re.search(rf"(?m)^\s+Name:\s*['\"]?{re.escape(remote.name)}['\"]?\s*(#.*)?$", path.read_text("utf-8")):
                return path
        except OSError as error:
            raise BackendError(f"cannot read {path}: {error.strerror}") from None
    raise BackendError(
        f"no file of {bottle.name} declares {remote.name} in a form that can be edited", "edit it by hand"
    )


def _write(path: Path, old: str, new: str) -> None:
    """Replaces the file whole, and only if nobody changed it meanwhile."""
    real = path.resolve()
    try:
        if real.read_text(encoding="utf-8") != old:
            raise BackendError(f"{path} changed meanwhile", "run it again")
        fd, temporary = tempfile.mkstemp(dir=real.parent, prefix=".pin-")
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(new)
            Path(temporary).chmod(real.stat().st_mode & 0o777)
            Path(temporary).replace(real)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise BackendError(f"cannot write {path}: {error.strerror}") from None
