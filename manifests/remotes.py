"""Git upstreams as a bottle declares them, one per host."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from manifests.frontmatter import Document, Node
from manifests.values import GitRemote, ManifestError
from sidecar_bundle.shared.routes import RouteError, check_host

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_USER = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}"
_SSH = re.compile(rf"ssh://(?:({_USER})@)?(\[[0-9A-Fa-f:.]+\]|[^@:/\[\]]+)(?::([0-9]{{1,5}}))?(/.+)\Z")
_SCP = re.compile(rf"({_USER})@(\[[0-9A-Fa-f:.]+\]|[^@:/\[\]]+):(?!//)(.+)\Z")
_PATH = re.compile(r"[A-Za-z0-9/~_.+][A-Za-z0-9/~_.+-]*\Z")
_KEY = re.compile(
    r"(?:[^\s#]+ )?(?:(?:sk-)?ssh-[a-z0-9@.-]+|(?:sk-)?ecdsa-[a-z0-9@.-]+) [A-Za-z0-9+/]{16,}={0,2}(?: .*)?\Z"
)
_ALLOWED = "allowed: ssh://user@host[:port]/path or user@host:path"


@dataclass(frozen=True, slots=True)
class DeclaredRemote:
    """A remote and the place that declares it."""

    remote: GitRemote
    path: Path
    line: int


def read_remotes(doc: Document, node: Node) -> dict[str, DeclaredRemote]:
    """The entries of a checked `git.remotes` mapping by canonical host, or `ManifestError`."""
    found: dict[str, DeclaredRemote] = {}
    for key, entry in node.entries.items():
        dotted, line = f"git.remotes.{key}", node.keys[key]
        host = _host(key)
        if not host:
            raise doc.error(line, dotted, "the key must be a host name or address such as git.example.org")
        if host in found:
            raise doc.error(line, dotted, f"stands twice (first in line {found[host].line})")
        found[host] = DeclaredRemote(_remote(doc, entry, host, dotted), doc.path, line)
    return found


def conflict(remotes: dict[str, DeclaredRemote], path: Path, fallback: int) -> ManifestError | None:
    """The first clash between remotes of one bottle (a shared Name, one extra host with two addresses).

    It is reported at the later entry of the file `path`, else at line `fallback` of it.
    """
    names: dict[str, DeclaredRemote] = {}
    hosts: dict[str, tuple[str, DeclaredRemote]] = {}
    for one in remotes.values():
        remote = one.remote
        first = names.setdefault(remote.name.lower(), one)
        if first is not one:
            message = f"{remote.name!r} is the Name of both {first.remote.host} and {remote.host}; each needs its own"
            return _clash(first, one, "Name", message, path, fallback)
        for host, address in remote.extra_hosts:
            other_address, other = hosts.setdefault(host, (address, one))
            if other_address != address:
                both = f"{other_address} at {other.remote.host} and {address} at {remote.host}"
                return _clash(other, one, f"ExtraHosts.{host}", f"has two addresses: {both}", path, fallback)
    return None


def _clash(
    first: DeclaredRemote, second: DeclaredRemote, key: str, message: str, path: Path, fallback: int
) -> ManifestError:
    at = next((one for one in (second, first) if one.path == path), None)
    host = (at or second).remote.host
    return ManifestError(path, at.line if at else fallback, f"git.remotes.{host}.{key}", message)


def _remote(doc: Document, entry: Node, host: str, dotted: str) -> GitRemote:
    def text(key: str) -> str:
        node = entry.at(key)
        return node.text if node else ""

    def fail(key: str, message: str) -> ManifestError:
        node = entry.at(key)
        return doc.error(node.line if node else entry.line, f"{dotted}.{key}", message)

    name, identity, known = text("Name"), text("IdentityFile"), text("KnownHostKey")
    if not _NAME.match(name) or name.endswith((".git", ".lock", ".")) or ".." in name:
        raise fail("Name", f"{name!r} is not a plain name (allowed: letters, digits, . _ -, without .git at the end)")
    if not identity.startswith(("/", "~/")):
        raise fail("IdentityFile", f"{identity!r} must be an absolute path or begin with ~/")
    if known and not _KEY.match(known):
        raise fail("KnownHostKey", "is not a public host key such as `ssh-ed25519 AAAA...`")
    upstream = text("Upstream")
    parts = _upstream(upstream)
    if parts is None:
        raise fail("Upstream", f"{upstream!r} is not an SSH upstream ({_ALLOWED})")
    extra: list[tuple[str, str]] = []
    hosts = entry.at("ExtraHosts")
    for extra_host, node in (hosts.entries if hosts else {}).items():
        try:
            extra.append((check_host(extra_host), str(ipaddress.ip_address(node.text))))
        except (RouteError, ValueError):
            message = f"must be a host name and its IP address, not {extra_host!r}: {node.text!r}"
            raise doc.error(node.line, f"{dotted}.ExtraHosts.{extra_host}", message) from None
    user, ssh_host, port, path = parts
    return GitRemote(host, ssh_host, name, upstream, user, port, path, identity, known, tuple(extra))


def _upstream(text: str) -> tuple[str, str, int, str] | None:
    """User (`git` if none is given), host, port and path, or None."""
    if ssh := _SSH.match(text):
        user, host, port, path = ssh[1] or "git", _host(ssh[2]), int(ssh[3] or 22), ssh[4]
    elif scp := _SCP.match(text):
        user, host, port, path = scp[1], _host(scp[2]), 22, scp[3]
    else:
        return None
    if not host or not 0 < port < 65536 or not _PATH.match(path) or ".." in path.split("/"):
        return None
    return user, host, port, path


def _host(text: str) -> str:
    """A host name or IP address in canonical form, or ""."""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        pass
    try:
        host = check_host(text)
    except RouteError:
        return ""
    return "" if host.startswith("*.") or text != text.strip() else host
