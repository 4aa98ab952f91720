"""The verb `pin`: shows a git upstream's host key and, after a yes, writes it into the bottle's manifest."""

from __future__ import annotations

import argparse
import base64
import difflib
import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from backends.api import BackendError, Preview
from backends.process import Runner, minimal_env
from botbottle_tui.cli.out import ask, fail, say, tell
from botbottle_tui.host import catalog
from botbottle_tui.host.lasting import Edit
from botbottle_tui.host.launching import Host
from botbottle_tui.host.paths import host_paths
from manifests.catalog import Bottle, build_catalog
from manifests.values import GitRemote
from sidecar_bundle.shared.visible import visible

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
    line = f"{chosen.kind} {chosen.key}"
    every = catalog.bottle_files(host_paths().home)
    path = _declaring(every, bottle, remote)
    old = every[path].decode(errors="surrogateescape")
    new = edited(old, remote, line)
    edit = Edit(Preview(), path.resolve(), every[path], new.encode(errors="surrogateescape"))
    _prove(every, path, edit.after, bottle, remote, line)
    if edit.before == edit.after:
        tell(f"{path} pins this key already")
        return 0
    for row in difflib.unified_diff(old.splitlines(), new.splitlines(), str(path), str(path), lineterm="", n=2):
        say(visible(row))
    if remote.known_host_key:
        tell(f"WARNING: {remote.name} is pinned to another key, which would be replaced:")
        tell(visible(f"  old  {_shown(remote.known_host_key)}\n  new  {_shown(line)}"))
        tell("A changed key can mean that somebody stands in between: ask the host's operator why it changed.")
        if args.yes and not args.replace:
            fail(f"the key of {remote.name} was not replaced", "--replace says that it is meant to be")
            return 2
    if not args.yes:
        if not sys.stdin.isatty():
            fail("pin wants a yes", "--yes together with --fingerprint SHA256:... where there is no terminal")
            return 2
        question = f"Write {chosen.kind} {chosen.fingerprint} into {path}?"
        if not ask(question, "replace" if remote.known_host_key and not args.replace else ""):
            tell("nothing was changed")
            return 2
    edit.write()
    tell(f"pinned; it holds for bottles of {bottle.name} that start from now on")
    return 0


def _shown(line: str) -> str:
    """A key as a person compares it."""
    kind, _, key = line.partition(" ")
    try:
        return f"{kind} {HostKey(kind, key.split()[0]).fingerprint}"
    except (ValueError, IndexError):
        return line


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
    """The manifest with `KnownHostKey` of the remote set, all else as it was. `BackendError` for a shape not known.

    The caller proves what came out.
    """
    lines = text.split("\n")
    name = re.compile(rf"(\s+)Name:\s*['\"]?{re.escape(remote.name)}['\"]?\s*(#.*)?$")
    places = [(i, found[1]) for i, line in enumerate(lines) if (found := name.match(line))]
    if len(places) != 1:
        raise _by_hand(f"the entry of {remote.name}", key)
    at, indent = places[0]
    entry = [at]
    for step in (-1, 1):
        i = at + step
        # The keys of one entry stand at one depth; what is deeper belongs to one of them.
        while 0 <= i < len(lines) and (not lines[i].strip() or lines[i].startswith(indent)):
            entry.append(i)
            i += step
    end = "\r" if lines[at].endswith("\r") else ""
    known = [i for i in entry if re.match(rf"{indent}['\"]?KnownHostKey['\"]?\s*:", lines[i])]
    if known:
        lines[known[0]] = f"{indent}KnownHostKey: {key}{end}"
    else:
        lines.insert(at + 1, f"{indent}KnownHostKey: {key}{end}")
    return "\n".join(lines)


def _prove(every: Mapping[Path, bytes], path: Path, after: bytes, bottle: Bottle, remote: GitRemote, key: str) -> None:
    """`BackendError` unless the edited file says what it said, but for this one key; whoever inherits it included."""

    def pinned(one: Bottle) -> Bottle:
        remotes = tuple(replace(r, known_host_key=key) if r == remote else r for r in one.remotes)
        return replace(one, remotes=remotes)

    found, then = (build_catalog(files, {}, {}) for files in (every, {**every, path: after}))
    others = all(then.bottle(b.name) in (b, pinned(b)) for b in found.bottles)
    if not others or then.bottle(bottle.name) != pinned(bottle):
        raise _by_hand(f"{path}, as {remote.name} is written there,", key)


def _by_hand(what: str, key: str) -> BackendError:
    return BackendError(f"{what} cannot be edited safely", f"write under it by hand: KnownHostKey: {key}")


def _find(bottle_name: str, remote_name: str) -> tuple[Bottle, GitRemote]:
    found = Host(host_paths()).catalog(Path.cwd())
    bottle = found.bottle(bottle_name)
    if bottle is None:
        broken = next((b for b in found.broken if b.kind == "bottle" and b.name == bottle_name), None)
        names = ", ".join(b.name for b in found.bottles) or "none"
        raise BackendError(
            f"bottle {bottle_name} is broken: {broken.error}" if broken else f"no bottle {bottle_name!r}",
            "correct the file" if broken else f"bottles: {names}",
        )
    remote = next((r for r in bottle.remotes if remote_name in (r.name, r.host)), None)
    if remote is None:
        names = ", ".join(r.name for r in bottle.remotes) or "none"
        raise BackendError(f"bottle {bottle_name} has no git remote {remote_name!r}", f"remotes: {names}")
    return bottle, remote


def _declaring(every: Mapping[Path, bytes], bottle: Bottle, remote: GitRemote) -> Path:
    """The file that declares the remote: the bottle's, or the nearest ancestor's."""
    declares = re.compile(rf"(?m)^\s+Name:\s*['\"]?{re.escape(remote.name)}['\"]?\s*(#.*)?$")
    for name in bottle.chain:
        path = bottle.path.parent / f"{name}.md"
        if declares.search(every.get(path, b"").decode(errors="replace")):
            return path
    raise BackendError(
        f"no file of {bottle.name} declares {remote.name} in a form that can be edited", "edit it by hand"
    )
