"""The git-gate daemon: takes configuration, keys and sockets from init, and serves one bottle's git remotes."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sidecar_bundle.gitgate import ssh
from sidecar_bundle.gitgate.agents import FilteredAgent, OperatorAgent, OwnAgent, short_folder
from sidecar_bundle.gitgate.decisions import Decisions
from sidecar_bundle.gitgate.mirror import Mirror, git_env
from sidecar_bundle.gitgate.own import Scanners
from sidecar_bundle.gitgate.run import Failed
from sidecar_bundle.gitgate.serve import Server, say
from sidecar_bundle.shared import layout, wire
from sidecar_bundle.shared.config import ConfigError, Remote, parse_config


class Gate:
    """The daemon's whole state. All methods run on the main thread."""

    def __init__(self, state: Path) -> None:
        self._state = state / "git"
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.tempdir = str(self._state)
        for stale in (*self._state.glob("leaks-*"), *self._state.glob("gate-*")):
            if stale.suffix != ".git":  # the mirror of a remote with such a name
                shutil.rmtree(stale, ignore_errors=True)
        self._folder = short_folder(self._state)
        self._env = git_env(self._state)
        self._faults: dict[str, str] = {}
        self._scanners = Scanners(os.environ.get(layout.GITLEAKS_ENV, ""), self._folder, self._env)
        self.server = Server(self._state, self._folder, self._scanners, Decisions(state))
        self.listeners: list[socket.socket] = []
        self._configured = False
        self._mirrors: dict[str, Mirror] = {}
        self._own: dict[str, OwnAgent] = {}
        self._filters: dict[str, FilteredAgent] = {}
        self._operator: OperatorAgent | None = None

    def state(self) -> tuple[str, str]:
        """For health: state and detail."""
        if not self._configured:
            return "unconfigured", ""
        if self._scanners.fault:
            return "ready", f"fetches only, pushes are rejected: {self._scanners.fault}"
        if self._faults:
            name, why = next(iter(self._faults.items()))
            more = f" (and {len(self._faults) - 1} more)" if len(self._faults) > 1 else ""
            return "needs-credentials", f"{name}: {why}{more}"
        return "ready", self._scanners.detail

    def take(self, message: dict[str, Any], sockets: list[socket.socket]) -> None:
        """Everything that init knows now."""
        given = dict(zip(message.get("listeners", []), sockets, strict=False))
        if "config" not in message:
            return
        config = parse_config(message["config"])
        self._listen(given.get(layout.GIT_GATE), message.get("tcp"))
        if "ssh-agent" in given:
            if self._operator:
                self._operator.close()
            self._operator = OperatorAgent(given["ssh-agent"])
        with contextlib.suppress(Failed):
            self._scanners.protect({str(k): str(v) for k, v in (message.get("protect") or {}).items()})
        self._reach(config.remotes, {str(k): str(v) for k, v in (message.get("keys") or {}).items()})
        self._configured = True

    def _listen(self, listener: socket.socket | None, tcp: Any) -> None:
        if listener is None and tcp and not self.listeners:
            listener = socket.create_server((str(tcp[0]), layout.GIT_GATE_PORT), backlog=64)
        if listener is not None:
            for old in self.listeners:
                old.close()
            listener.setblocking(False)
            self.listeners = [listener]

    def _reach(self, remotes: tuple[Remote, ...], keys: dict[str, str]) -> None:
        """A mirror and an SSH command for each remote; a remote that cannot be reached says why."""
        for filtered in self._filters.values():
            filtered.close()
        self._filters, self._faults = {}, {}
        kept = {keys.get(r.name, "") for r in remotes}
        for key in [key for key in self._own if key not in kept]:
            self._own.pop(key).close()
        mirrors = {}
        for remote in remotes:
            old = self._mirrors.get(remote.name)
            known = old is not None and old.remote == remote
            mirror = old if old is not None and known else Mirror(self._state, self.server.hooks, remote, self._env)
            mirrors[remote.name] = mirror
            try:
                mirror.reach(self._command(remote, keys.get(remote.name, "")), "")
            except Failed as error:
                mirror.reach((), str(error))
                self._faults[remote.name] = str(error)
        self._mirrors = mirrors
        self.server.serve(mirrors)

    def _command(self, remote: Remote, key: str) -> tuple[str, ...]:
        if not remote.known_host_key:
            raise Failed(ssh.no_host_key(remote))
        if not key:
            raise Failed("the gate has no key for it yet; bottle-dash gives it again when the bottle is attached")
        if "PRIVATE KEY-----" in key:
            if key not in self._own:
                self._own[key] = OwnAgent(self._folder, key, self._env)
            agent, public = self._own[key].path, self._own[key].public_key
        elif self._operator is None:
            raise Failed("its key has a passphrase, and no SSH agent was passed on (ssh-add its IdentityFile)")
        else:
            filtered = FilteredAgent(self._folder, remote.name, key, self._operator)
            self._filters[remote.name] = filtered
            agent, public = filtered.path, key
        dial: tuple[str, ...] = ()
        if os.environ.get(layout.DIALER_ENV):
            dial = (sys.executable, "-I", str(Path(__file__).with_name("connect.py")))
        return ssh.write_config(self._folder, remote, agent=agent, public_key=public, dial=dial)

    def close(self) -> None:
        """Ends what was started; mirrors stay."""
        self.server.close()
        for agent in self._own.values():
            agent.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _loop(gate: Gate, channel: socket.socket, wake: int) -> None:
    decoder, fds, serial = wire.Decoder(), list[int](), 0

    def report() -> None:
        state, detail = gate.state()
        with contextlib.suppress(OSError):
            wire.send(channel, {"event": "state", "state": state, "detail": detail, "serial": serial})

    report()
    while True:
        listeners = {listener.fileno(): listener for listener in gate.listeners}
        ready, _, _ = select.select([channel.fileno(), wake, *listeners], [], [])
        if wake in ready:
            return
        for number in listeners.keys() & set(ready):
            gate.server.accept(listeners[number])
        if channel.fileno() not in ready:
            continue
        data, more = wire.receive(channel)
        fds += more
        if not data:
            return
        for message in decoder.feed(data):
            count = int(message.get("fds", 0))
            taken, fds = fds[:count], fds[count:]
            serial = int(message.get("serial", serial))
            try:
                gate.take(message, [socket.socket(fileno=fd) for fd in taken])
            except (ConfigError, OSError) as error:
                say(f"a configuration was not taken: {error}")
            report()


def main() -> int:
    """Runs until SIGTERM or the end of init; 0 then."""
    os.umask(0o077)
    os.set_inheritable(layout.CHANNEL_FD, False)
    read, write = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(write, b"x"))
    try:
        gate = Gate(Path(os.environ.get(layout.STATE_ENV, layout.DEFAULT_STATE)))
    except (Failed, OSError) as error:
        say(f"cannot start: {error}")
        return 1
    try:
        _loop(gate, socket.socket(fileno=layout.CHANNEL_FD), read)
    finally:
        gate.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
