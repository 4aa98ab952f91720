"""What init was told, kept in memory only, and the part of it that each daemon may know."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from sidecar_bundle.init.control import LISTENERS, Configure, Refused, Secrets
from sidecar_bundle.shared import layout

SSH_AGENT = "ssh-agent"


class Told:
    """Configuration, sockets and secrets; a restarted daemon gets them again from here."""

    def __init__(self, tokens: Mapping[str, str], listen_host: str) -> None:
        self.config: dict[str, Any] | None = None
        self.tcp = False
        self._host = listen_host
        self._sockets: dict[str, socket.socket] = {}
        self._tokens, self._protect, self._keys = dict(tokens), dict[str, str](), dict[str, str]()

    def configure(self, request: Configure) -> None:
        """Takes new rules, and sockets in place of those of the same name; raises `Refused` where nothing listens."""
        if not request.listeners and not self._sockets.keys() & LISTENERS.keys() and not request.tcp and not self.tcp:
            raise Refused('configure: no listening socket came along, and listen is not "tcp"')
        for name, fd in request.listeners.items():
            self._hold(name, fd)
        self.config = request.config
        if request.host is not None:
            self._host = request.host
        self.tcp = request.tcp or (self.tcp and not request.listeners)

    def use_file(self, config: dict[str, Any]) -> None:
        """Rules of a container's file: with no socket from outside, daemons listen on ports of their own."""
        self.config, self.tcp = config, not self._sockets

    def learn(self, secrets: Secrets) -> None:
        """What is not named keeps its value."""
        self._tokens |= secrets.values
        self._protect |= secrets.protect
        self._keys |= secrets.keys
        if secrets.agent is not None:
            self._hold(SSH_AGENT, secrets.agent)

    def sockets(self, name: str) -> dict[str, socket.socket]:
        """The daemon's sockets by name."""
        owner = {**LISTENERS, SSH_AGENT: layout.GIT_GATE}
        return {one: sock for one, sock in self._sockets.items() if owner[one] == name}

    def message(self, name: str) -> dict[str, Any]:
        """All that the daemon may know, without its sockets: tokens for egress only, git keys for git-gate only."""
        port = {
            layout.EGRESS: layout.EGRESS_PORT,
            layout.GIT_GATE: layout.GIT_GATE_PORT,
            layout.SUPERVISE: layout.SUPERVISE_PORT,
        }.get(name)
        message: dict[str, Any] = {"config": self.config}
        if port is not None:
            message["tcp"] = [self._host, port] if self.tcp else None
        match name:
            case layout.EGRESS:
                message |= {"values": self._tokens, "protect": self._protect}
            case layout.PIPELOCK:
                values = {*self._tokens.values(), *self._protect.values()} - {""}
                message |= {"secrets": sorted(values)}
            case layout.GIT_GATE:
                message |= {"protect": self._protect, "keys": self._keys}
        return message

    def _hold(self, name: str, fd: int) -> None:
        old = self._sockets.get(name)
        if old is not None and os.fstat(fd).st_ino == os.fstat(old.fileno()).st_ino:
            # The same once more: the daemon goes on with it, since who just connects would be lost in an exchange.
            os.close(fd)
            return
        if old is not None:
            old.close()
        self._sockets[name] = socket.socket(fileno=fd)
