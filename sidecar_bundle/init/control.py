"""The control socket's requests, checked and turned into values that the bundle obeys. No I/O of its own."""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar_bundle.shared import layout
from sidecar_bundle.shared.config import REMOTE_NAME, ConfigError, dump_config, parse_config
from sidecar_bundle.shared.routes import SLOT

MAX_WAIT = 120.0
MAX_SECRET = 65536
OUTLET_DNS = "outlet-dns"
# Sockets by name, and the daemon that gets them.
LISTENERS: Mapping[str, str] = {
    "egress": layout.EGRESS,
    OUTLET_DNS: layout.EGRESS,
    "outlet-https": layout.EGRESS,
    "outlet-http": layout.EGRESS,
    "git-gate": layout.GIT_GATE,
    "supervise": layout.SUPERVISE,
}


class Refused(Exception):
    """A request that cannot be honoured; the text is the one line of the error."""


@dataclass(frozen=True, slots=True)
class Configure:
    """New rules. `listeners` by name (owned by the receiver) replace earlier ones; `tcp` asks for ports of its own.

    `host` is the address that these ports are on, None for that of the environment.
    """

    config: dict[str, Any]
    listeners: dict[str, int]
    tcp: bool
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Secrets:
    """Tokens by slot, protected values and git keys by name; what is not named keeps its value.

    `agent` is a socket that is connected to the operator's SSH agent (owned by the receiver).
    """

    values: dict[str, str]
    protect: dict[str, str]
    keys: dict[str, str]
    agent: int | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Health, but answered when the named daemons (None: all) have settled or `timeout` seconds are over."""

    timeout: float
    daemons: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Restart:
    """Ends one daemon so that it starts anew."""

    daemon: str


@dataclass(frozen=True, slots=True)
class Simple:
    """hello, health, reload or shutdown."""

    op: str


Request = Configure | Secrets | Wait | Restart | Simple


def parse(message: Mapping[str, Any], fds: tuple[int, ...]) -> Request:
    """The request in a message; raises `Refused`. Without it, `fds` stay the caller's to close."""
    op = message.get("op")
    if fds and op not in ("configure", "secrets"):
        raise Refused(f"{op} takes no file descriptor")
    match op:
        case "hello" | "health" | "reload" | "shutdown":
            return Simple(op)
        case "configure":
            return _configure(message, fds)
        case "secrets":
            return _secrets(message, fds)
        case "wait":
            timeout = message.get("timeout", 10.0)
            if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 <= timeout <= MAX_WAIT:
                raise Refused(f"timeout must be seconds from 0 to {MAX_WAIT:.0f}")
            names = message.get("daemons")
            if names is not None and (not isinstance(names, list) or any(n not in layout.DAEMONS for n in names)):
                raise Refused(f"daemons must be a list of some of {', '.join(layout.DAEMONS)}")
            return Wait(float(timeout), None if names is None else tuple(names))
        case "restart":
            return Restart(str(message.get("daemon", "")))
    raise Refused(f"unknown op {str(op)[:40]!r} (allowed: hello configure secrets health wait reload restart shutdown)")


def check_daemons(config: Mapping[str, Any], kept: Sequence[str]) -> None:
    """Raises `Refused` for a configuration with a daemon that is not among `kept`."""
    for name in config["daemons"]:
        if name not in kept:
            raise Refused(f"config: {name} does not run here (running: {' '.join(kept) or 'nothing'})")


def check_config(config: Any) -> dict[str, Any]:
    """The configuration as the daemons take it, parsed by the parser of all; raises `Refused`."""
    try:
        return dump_config(parse_config(config))
    except ConfigError as error:
        raise Refused(str(error)) from None


def _secrets(message: Mapping[str, Any], fds: tuple[int, ...]) -> Secrets:
    """Raises `Refused`, whose text never holds a value."""
    given = {key: message[key] for key in ("values", "protect", "keys") if key in message}
    if not given and not fds:
        raise Refused("secrets: values, protect or keys must be given")
    for key, values in given.items():
        if not isinstance(values, Mapping):
            raise Refused(f"{key} must be a mapping of names to text")
        if any(not isinstance(v, str) or "\0" in v or len(v) > MAX_SECRET for v in values.values()):
            raise Refused(f"{key}: a value is not text, or is longer than {MAX_SECRET} characters")
    for slot, value in given.get("values", {}).items():
        if not SLOT.match(slot):
            raise Refused("values: a name is not EGRESS_TOKEN_<n>")
        if not value.isascii() or (value and not value.strip().isprintable()):
            raise Refused(f"values: the value of {slot} is not one line of ASCII text")
    if any(not REMOTE_NAME.match(name) for name in given.get("keys", {})):
        raise Refused("keys: a name is not a remote's")
    if len(fds) > 1:
        raise Refused("secrets takes one file descriptor, connected to the SSH agent")
    for fd in fds:
        _check_socket(fd, "ssh-agent", listening=False)
    tokens = {slot: value.strip() for slot, value in given.get("values", {}).items()}
    return Secrets(tokens, dict(given.get("protect", {})), dict(given.get("keys", {})), fds[0] if fds else None)


def _configure(message: Mapping[str, Any], fds: tuple[int, ...]) -> Configure:
    config = check_config(message.get("config"))
    listen, _, host = str(message.get("listen") or "").partition(":")
    if listen not in ("", "tcp") or (host and not _is_address(host)):
        raise Refused('listen must be "tcp" or "tcp:ADDRESS", or be left out when a listening socket comes along')
    names = message.get("listeners", ["egress"] if fds else [])
    if not isinstance(names, list) or any(n not in LISTENERS for n in names) or len(set(names)) != len(names):
        raise Refused(f"listeners must be a list of some of {', '.join(LISTENERS)}, each once")
    if len(names) != len(fds):
        raise Refused(f"{len(names)} listeners are named, and {len(fds)} file descriptors came along")
    for name, fd in zip(names, fds, strict=True):
        _check_socket(fd, name, listening=name != OUTLET_DNS)
    return Configure(config, dict(zip(names, fds, strict=True)), listen == "tcp", host or None)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _check_socket(fd: int, name: str, *, listening: bool) -> None:
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        raise Refused(f"{name}: the file descriptor is not a socket")
    with socket.socket(fileno=os.dup(fd)) as sock:
        kind = socket.SOCK_DGRAM if name == OUTLET_DNS else socket.SOCK_STREAM
        if sock.type != kind or bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) != listening:
            what = "a listening socket" if listening else "a datagram socket" if name == OUTLET_DNS else "connected"
            raise Refused(f"{name}: the file descriptor is not {what}")
