"""The bundle as init runs it: daemons, control connections, signals and the lifeline in one selector loop."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sidecar_bundle.init import control, routes_file, supervisor
from sidecar_bundle.init.children import Child, say, spawn
from sidecar_bundle.init.peer import Peer
from sidecar_bundle.init.told import Told
from sidecar_bundle.shared import layout, wire

SETTLED = ("ready", "needs-credentials")


class Bundle:
    """Runs `commands` by name, in that order. What it is told stays in memory, for daemons that start again."""

    def __init__(self, commands: Mapping[str, Sequence[str]], env: Mapping[str, str]) -> None:
        self._commands = commands
        tokens = {k: v for k, v in env.items() if k.startswith(layout.TOKEN_PREFIX)}
        # SSLKEYLOGFILE would make egress write its TLS keys to a file.
        hidden = ("SSLKEYLOGFILE", "MITMPROXY_SSLKEYLOGFILE")
        self._env = {k: v for k, v in env.items() if k not in tokens and k not in hidden}
        self._told = Told(tokens, env.get(layout.LISTEN_HOST_ENV, ""))
        self._supervisor = supervisor.Supervisor(tuple(commands))
        self._selector = selectors.DefaultSelector()
        self._children: dict[str, Child] = {}
        self._peers: list[Peer] = []
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
                # One call may end what another of the same moment is about, and its number may serve anew.
                if self._selector.get_map().get(key.fd) == key:
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
            config = routes_file.read(path, self._env.get(layout.SLUG_ENV, ""), self._supervisor.kept())
            if config is None:
                return
            control.check_daemons(config, self._supervisor.kept())
        except control.Refused as error:
            say(str(error))
            return
        self._told.use_file(config)
        self._renew(config)

    def _on(self, fd: int, call: Callable[[], None]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, call)

    def _pause(self) -> float | None:
        times = [t for t in (self._supervisor.deadline(), *(p.wait_until for p in self._peers)) if t is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

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
                self._do(self._supervisor.restart(layout.PIPELOCK, time.monotonic()))
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
            child = self._children[name] = spawn(name, self._commands[name], self._env)
        except OSError as error:
            say(f"cannot start {name}: {error.strerror}")
            self._do(self._supervisor.died(name, 127, time.monotonic()))
            return
        self._on(child.output, lambda: self._relay(child))
        self._on(child.channel.fileno(), lambda: self._line(child))
        self._push(name)

    def _relay(self, child: Child) -> None:
        if not child.relay():
            self._selector.unregister(child.output)

    def _line(self, child: Child) -> None:
        messages = child.heard()
        if messages is None:
            self._selector.unregister(child.channel.fileno())
        for message in messages or ():
            if message.get("event") == "state" and child.name == layout.EGRESS:
                self._do(self._supervisor.release(time.monotonic()))
            if message.get("event") == "ca" and child.name == layout.EGRESS:
                self._ca = str(message.get("pem", ""))
                self._answer_hellos()
            elif message.get("event") == "state" and message.get("serial") == child.asked:
                # An answer to an earlier push says nothing of the latest.
                child.state, child.detail = str(message.get("state", "")), str(message.get("detail", ""))
        self._send(child)

    def _push(self, name: str) -> None:
        child = self._children.get(name)
        if child is None or self._told.config is None:
            return
        # Whatever it said before no longer holds; it says so again when it has taken this.
        child.state, child.detail, child.asked, child.stale = "starting", "", child.asked + 1, True
        self._send(child)

    def _send(self, child: Child) -> None:
        child.flush()
        if child.stale and not child.unsent:
            child.tell(self._told.message(child.name), self._told.sockets(child.name))
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if child.stale or child.unsent else 0)
        key = self._selector.get_map().get(child.channel.fileno())
        if key and key.events != events:
            self._selector.modify(key.fd, events, key.data)

    def _renew(self, config: Mapping[str, Any]) -> None:
        self._do(self._supervisor.keep(config["daemons"], time.monotonic()))
        for name in self._supervisor.kept():
            self._push(name)

    # Control connections.

    def _reload(self) -> None:
        self._push(layout.EGRESS)
        self.load_routes_file()

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
            case control.Wait(timeout, daemons):
                peer.wait_until, peer.wait_for = now + timeout, daemons
                return
            case control.Configure(config):
                control.check_daemons(config, self._supervisor.kept())
                self._told.configure(request)
                self._renew(config)
            case control.Secrets():
                self._told.learn(request)
                for name in self._supervisor.kept():
                    if name != layout.SUPERVISE:
                        self._push(name)
            case control.Restart(name):
                kept = self._supervisor.kept()
                if name not in kept:
                    raise control.Refused(f"no daemon {name[:40]!r} here (running: {' '.join(kept)})")
                self._do(self._supervisor.restart(name, now))
            case control.Simple("reload"):
                self._reload()
            case control.Simple("shutdown"):
                peer.answer({"ok": True})
                self._do(self._supervisor.stop(now))
                return
        peer.answer({"ok": True})

    def _health(self) -> dict[str, Any]:
        daemons = {}
        for name in self._supervisor.kept():
            life, child = self._supervisor.daemons[name], self._children.get(name)
            state, detail = (child.state, child.detail) if child else life.absent()
            if self._supervisor.stopping:
                state, detail = "stopping", ""
            daemons[name] = {"state": state, "detail": detail, "restarts": max(life.restarts, 0)}
        return {"ok": True, "daemons": daemons}

    def _answer_hellos(self) -> None:
        lacking = layout.EGRESS in self._supervisor.kept() and not self._ca
        failed = lacking and layout.EGRESS not in self._children
        if lacking and not failed:
            return
        for peer in self._peers:
            if peer.wants_hello:
                peer.wants_hello = False
                ok = {"ok": True, "version": wire.VERSION, "ca": self._ca}
                peer.answer({"ok": False, "error": "egress does not start: see the bundle's log"} if failed else ok)

    def _answer_waits(self, now: float) -> None:
        if not (waiting := [peer for peer in self._peers if peer.wait_until is not None]):
            return
        health = self._health()
        wanted = (*SETTLED, *(() if self._told.config else ("unconfigured",)))
        unsettled = {name for name, daemon in health["daemons"].items() if daemon["state"] not in wanted}
        for peer in waiting:
            missing = unsettled if peer.wait_for is None else unsettled.intersection(peer.wait_for)
            if not missing or (peer.wait_until or 0.0) <= now:
                peer.wait_until = None
                peer.answer(health)
