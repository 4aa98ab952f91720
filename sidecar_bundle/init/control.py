"""The control socket's requests, checked and turned into calls on the bundle. No I/O of its own."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar_bundle.shared.routes import SLOT, RouteError, parse_routes

MAX_WAIT = 120.0


class Refused(Exception):
    """A request that cannot be honoured; the text is the one line of the error."""


@dataclass(frozen=True, slots=True)
class Configure:
    """New rules. `listeners` (owned by the receiver) replace earlier ones; `tcp` asks for a port of its own."""

    config: dict[str, Any]
    listeners: tuple[int, ...]
    tcp: bool


@dataclass(frozen=True, slots=True)
class Secrets:
    """Values of credentials; slots that are not named keep theirs."""

    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class Wait:
    """Health, but answered when every daemon has settled or `timeout` seconds are over."""

    timeout: float


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
    if fds and op != "configure":
        raise Refused(f"{op} takes no file descriptor")
    match op:
        case "hello" | "health" | "reload" | "shutdown":
            return Simple(op)
        case "configure":
            return _configure(message, fds)
        case "secrets":
            return Secrets(check_secrets(message.get("values")))
        case "wait":
            timeout = message.get("timeout", 10.0)
            if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 <= timeout <= MAX_WAIT:
                raise Refused(f"timeout must be seconds from 0 to {MAX_WAIT:.0f}")
            return Wait(float(timeout))
        case "restart":
            return Restart(str(message.get("daemon", "")))
    raise Refused(f"unknown op {str(op)[:40]!r} (allowed: hello configure secrets health wait reload restart shutdown)")


def check_config(config: Any) -> dict[str, Any]:
    """The configuration as egress takes it, its routes parsed by the parser of all; raises `Refused`."""
    if not isinstance(config, Mapping) or set(config) - {"slug", "routes"}:
        raise Refused("config must be a mapping of slug and routes")
    try:
        parse_routes({"routes": config.get("routes")})
    except RouteError as error:
        raise Refused(f"config: {error}") from None
    return {"slug": str(config.get("slug", ""))[:100], "routes": list(config["routes"])}


def check_secrets(values: Any) -> dict[str, str]:
    """Values by slot; raises `Refused`, whose text never holds a value."""
    if not isinstance(values, Mapping):
        raise Refused("values must be a mapping of EGRESS_TOKEN_<n> to text")
    for slot, value in values.items():
        if not isinstance(slot, str) or not SLOT.match(slot):
            raise Refused("values: a name is not EGRESS_TOKEN_<n>")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable() or len(value) > 65536:
            raise Refused(f"values: the value of {slot} is not one line of ASCII text")
    return {slot: value.strip() for slot, value in values.items()}


def _configure(message: Mapping[str, Any], fds: tuple[int, ...]) -> Configure:
    config = check_config(message.get("config"))
    if message.get("listen") not in (None, "tcp"):
        raise Refused('listen must be "tcp", or be left out when a listening socket comes along')
    for fd in fds:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            raise Refused("a file descriptor is not a socket")
        with socket.socket(fileno=os.dup(fd)) as sock:
            if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise Refused("a file descriptor is not a listening socket")
    return Configure(config, fds, message.get("listen") == "tcp")
