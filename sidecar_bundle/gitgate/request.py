"""The first line that a git client sends: which service it wants, of which declared remote. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sidecar_bundle.shared.config import Remote
from sidecar_bundle.shared.visible import visible

MAX_REQUEST = 4096
SERVICES = {"git-upload-pack": "upload-pack", "git-receive-pack": "receive-pack"}
# `/Name.git`, and `/Name=` with what git's prefix rewriting leaves of a spelling: see `insteadOf` in the agent's git
# configuration. No name holds a `=`, so that one upstream's path never becomes another's.
_PATH = re.compile(r"/([A-Za-z0-9][A-Za-z0-9._-]*?)(?:\.git/?|=(?:\.git)?/?)\Z")


class Refused(Exception):
    """What the client is told instead of an answer; one line."""


@dataclass(frozen=True, slots=True)
class Request:
    """A service (`upload-pack`, `receive-pack`) of a remote, and the path as it was asked for."""

    service: str
    remote: Remote
    path: str


def length(head: bytes) -> int:
    """The length of the packet whose first four bytes are `head`. Raises `Refused`."""
    try:
        size = int(head, 16)
    except ValueError:
        size = 0
    if not re.fullmatch(rb"[0-9a-fA-F]{4}", head) or not 4 < size <= MAX_REQUEST:
        raise Refused("this is not the git protocol")
    return size


def parse(packet: bytes, remotes: Mapping[str, Remote]) -> Request:
    """The request in a whole packet; `remotes` by name. Raises `Refused`, also for what is not declared."""
    line = packet[4:].split(b"\0", 1)[0].decode("utf-8", "replace").rstrip("\n")
    command, _, path = line.partition(" ")
    service = SERVICES.get(command)
    if service is None:
        raise Refused(f"{visible(command[:40], keep='')} is not served, only fetch and push are")
    match = _PATH.match(path)
    remote = remotes.get(match[1]) if match else None
    if remote is None:
        raise Refused(undeclared(path, remotes))
    return Request(service, remote, path)


def undeclared(path: str, names: Iterable[str]) -> str:
    """The reason for a path that is no declared remote's."""
    known = ", ".join(sorted(names)) or "none"
    shown = visible(path[:100], keep="")
    what = f"{shown} is not a declared upstream (declared: {known})"
    return f"{what}; the operator adds it under git.remotes in the bottle's manifest"


def error_packet(reason: str) -> bytes:
    """The packet that makes git say `fatal: remote error: REASON`."""
    data = b"ERR git-gate: " + visible(reason, keep="").encode("utf-8", "replace")[:900]
    return b"%04x" % (len(data) + 4) + data
