"""The bundle as init runs it: daemons, control connections, signals and the lifeline in one selector loop."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sidecar_bundle.init import control, supervisor
from sidecar_bundle.init.children import Child, say, spawn
from sidecar_bundle.init.peer import Peer
from sidecar_bundle.shared import layout, wire

SETTLED = ("ready", "needs-credentials")


class Bundle:
    """Keeps configuration, listeners and secrets in memory, so that a restarted daemon gets them again."""

    def __init__(self, scripts: Mapping[str, str], names: tuple[str, ...], env: Mapping[str, str]) -> None:
        self._scripts = scripts
        self._secrets = {k: v for k, v in env.items() if k.startswith(layout.TOKEN_PREFIX)}
        # SSLKEYLOGFILE would make egress write its TLS keys to a file.
        hidden = ("SSLKEYLOGFILE", "MITMPROXY_SSLKEYLOGFILE")
        self._env = {k: v for k, v in env.items() if not k.startswith(layout.TOKEN_PREFIX) and k not in hidden}
        self._supervisor = supervisor.Supervisor(names)
        self._selector = selectors.DefaultSelector()
        self._children: dict[str, Child] = {}
        self._peers: list[Peer] = []
        self._config: dict[str, Any] | None = None
        self._listeners: tuple[int, ...] = ()
        self._tcp = False
        self._ca = ""
        self._exit: int | None = None

    def run(self, control_path: str | None, lifeline: int | None) -> int:
        """Runs until stopped; the exit code."""
        self._watch_signals()
        self._do(self._supervisor.start(time.monotonic()))
        self.load_routes_file()
        if control_path:
            server = wire.listen(control_path)
            server.setblocking(False)
            self._on(server.fileno(), lambda: self._accept(server))
        if lifeline is not None:
            os.set_inheritable(lifeline, False)
            self._on(lifeline, lambda: self._lifeline(lifeline))
        while self._exit is None:
            for key, _events in self._selector.select(self._pause()):
                key.data()
            now = time.monotonic()
            self._do(self._supervisor.tick(now))
            self._answer_waits(now)
        if control_path:
            Path(control_path).unlink(missing_ok=True)
        return self._exit

    def load_routes_file(self) -> None:
        """Configures from the routes file where there is one (a container's); errors keep what was in force."""
        path = self._env.get(layout.ROUTES_ENV, layout.DEFAULT_ROUTES)
        try:
            raw = json.loads(Path(path).read_bytes())
            config = control.check_config({"slug": self._env.get(layout.SLUG_ENV, ""), "routes": raw["routes"]})
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, control.Refused) as error:
            say(f"cannot use {path}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
            return
        self._config, self._tcp = config, not self._listeners
        self._push("egress")

    def _on(self, fd: int, call: Callable[[], None]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, call)

    def _pause(self) -> float | None:
        times = [t for t in (self._supervisor.deadline(), *(p.wait_until for p in self._peers)) if t is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    # Signals and children.

    def _watch_signals(self) -> None:
        read, write = socket.socketpair()
        read.setblocking(False)
        write.setblocking(False)
        signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
        self._wakeup = (read, write)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self._on(read.fileno(), self._signalled)

    def _signalled(self) -> None:
        for number in set(self._wakeup[0].recv(4096)):
            if number in (signal.SIGTERM, signal.SIGINT):
                self._do(self._supervisor.stop(time.monotonic()))
            elif number == signal.SIGHUP:
                self._reload()
            elif number == signal.SIGUSR1:
                self._do(self._supervisor.restart("pipelock", time.monotonic()))
        self._reap()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = next((c for c in self._children.values() if c.pid == pid), None)
            if child is None:
                continue
            child.relay()
            for fd in (child.output, child.channel.fileno()):
                with contextlib.suppress(KeyError):
                    self._selector.unregister(fd)
            child.close()
            del self._children[child.name]
            code = os.waitstatus_to_exitcode(status)
            self._do(self._supervisor.died(child.name, code if code >= 0 else 128 - code, time.monotonic()))
            self._answer_hellos()

    def _do(self, actions: list[supervisor.Action]) -> None:
        for action in actions:
            match action:
                case supervisor.Note(text):
                    say(text)
                case supervisor.Exit(code):
                    self._exit = code
                case supervisor.Terminate(name, hard):
                    with contextlib.suppress(ProcessLookupError, KeyError):
                        os.kill(self._children[name].pid, signal.SIGKILL if hard else signal.SIGTERM)
                case supervisor.Spawn(name):
                    self._spawn(name)

    def _spawn(self, name: str) -> None:
        try:
            child = self._children[name] = spawn(name, self._scripts[name], self._env)
        except OSError as error:
            say(f"cannot start {name}: {error.strerror}")
            self._do(self._supervisor.died(name, 127, time.monotonic()))
            return
        self._on(child.output, lambda: self._relay(child))
        self._on(child.channel.fileno(), lambda: self._heard(child))
        self._push(name)

    def _relay(self, child: Child) -> None:
        if not child.relay():
            self._selector.unregister(child.output)

    def _heard(self, child: Child) -> None:
        messages = child.heard()
        if not messages:
            self._selector.unregister(child.channel.fileno())
        for message in messages:
            if message.get("event") == "ca":
                self._ca = str(message.get("pem", ""))
                self._answer_hellos()
            elif message.get("event") == "state" and message.get("serial") == child.asked:
                # An answer to an earlier push says nothing of the latest.
                child.state, child.detail = str(message.get("state", "")), str(message.get("detail", ""))

    def _push(self, name: str) -> None:
        child = self._children.get(name)
        if child is None or name != "egress" or self._config is None:
            return
        tcp = [self._env.get(layout.LISTEN_HOST_ENV, ""), layout.EGRESS_PORT] if self._tcp else None
        # Whatever it said before no longer holds; it says so again when it has taken this.
        child.state, child.detail, child.asked = "starting", "", child.asked + 1
        fresh = self._listeners if child.listeners != self._listeners else ()
        child.listeners = self._listeners
        child.tell({"config": self._config, "values": self._secrets, "tcp": tcp, "serial": child.asked}, fresh)

    def _reload(self) -> None:
        self.load_routes_file()
        self._push("egress")

    # Control connections.

    def _lifeline(self, fd: int) -> None:
        if os.read(fd, 4096):
            return
        self._selector.unregister(fd)
        say("the owner is gone: shutting down")
        self._do(self._supervisor.stop(time.monotonic()))

    def _accept(self, server: socket.socket) -> None:
        try:
            sock, _ = server.accept()
        except OSError:
            return
        sock.settimeout(2.0)
        peer = Peer(sock)
        self._peers.append(peer)
        self._on(sock.fileno(), lambda: self._serve(peer))

    def _serve(self, peer: Peer) -> None:
        try:
            data, fds = wire.receive(peer.sock)
            peer.fds += fds
            messages = peer.decoder.feed(data)
        except wire.WireError as error:
            peer.answer({"ok": False, "error": str(error)})
            data, messages = b"", []
        except OSError:
            data, messages = b"", []
        for message in messages:
            given, peer.fds = tuple(peer.fds), []
            try:
                self._obey(peer, control.parse(message, given))
            except (control.Refused, OSError) as error:
                for fd in given:
                    os.close(fd)
                peer.answer({"ok": False, "error": str(error)})
        if not data:
            self._selector.unregister(peer.sock.fileno())
            self._peers.remove(peer)
            for fd in peer.fds:
                os.close(fd)
            peer.sock.close()

    def _obey(self, peer: Peer, request: control.Request) -> None:
        now = time.monotonic()
        match request:
            case control.Simple("hello"):
                peer.wants_hello = True
                self._answer_hellos()
                return
            case control.Simple("health"):
                peer.answer(self._health())
                return
            case control.Wait(timeout):
                peer.wait_until = now + timeout
                return
            case control.Configure(config, listeners, tcp):
                self._configure(config, listeners, tcp)
            case control.Secrets(values):
                self._secrets |= values
                self._push("egress")
            case control.Restart(name):
                if name not in self._supervisor.daemons:
                    raise control.Refused(f"no daemon {name[:40]!r} here (running: {' '.join(self._supervisor.names)})")
                self._do(self._supervisor.restart(name, now))
            case control.Simple("reload"):
                self._reload()
            case control.Simple("shutdown"):
                peer.answer({"ok": True})
                self._do(self._supervisor.stop(now))
                return
        peer.answer({"ok": True})

    def _configure(self, config: dict[str, Any], listeners: tuple[int, ...], tcp: bool) -> None:
        if not listeners and not self._listeners and not tcp and not self._tcp:
            raise control.Refused('configure: no listening socket came along, and listen is not "tcp"')
        if listeners:
            for fd in self._listeners:
                os.close(fd)
            self._listeners = listeners
        self._config, self._tcp = config, tcp or (self._tcp and not listeners)
        self._push("egress")

    def _health(self) -> dict[str, Any]:
        daemons = {}
        for name, life in self._supervisor.daemons.items():
            child = self._children.get(name)
            state, detail = (child.state, child.detail) if child else ("backoff", f"ended with {life.code}")
            if self._supervisor.stopping:
                state = "dead"
            daemons[name] = {"state": state, "detail": detail, "restarts": life.restarts}
        return {"ok": True, "daemons": daemons}

    def _answer_hellos(self) -> None:
        egress = "egress" in self._supervisor.names
        failed = egress and not self._ca and "egress" not in self._children
        if egress and not self._ca and not failed:
            return
        for peer in self._peers:
            if peer.wants_hello:
                peer.wants_hello = False
                ok = {"ok": True, "version": wire.VERSION, "ca": self._ca}
                peer.answer({"ok": False, "error": "egress does not start: see the bundle's log"} if failed else ok)

    def _answer_waits(self, now: float) -> None:
        if not any(peer.wait_until is not None for peer in self._peers):
            return
        health = self._health()
        wanted = (*SETTLED, *(() if self._config else ("unconfigured",)))
        settled = all(d["state"] in wanted for d in health["daemons"].values())
        for peer in self._peers:
            if peer.wait_until is not None and (settled or peer.wait_until <= now):
                peer.wait_until = None
                peer.answer(health)
