"""Serves the mirrors of one bottle to its agent: a thread per connection, `git daemon` behind a checked request."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sidecar_bundle.gitgate import hook, refs, request, scan
from sidecar_bundle.gitgate.client import REQUEST_SECONDS, peek, refuse
from sidecar_bundle.gitgate.connection import Connection
from sidecar_bundle.gitgate.decisions import Decisions
from sidecar_bundle.gitgate.mirror import RECEIVING, Mirror, git_env
from sidecar_bundle.gitgate.own import Scanners
from sidecar_bundle.gitgate.run import Failed, kill_group, wait
from sidecar_bundle.gitgate.surplus import refuse_surplus
from sidecar_bundle.shared.visible import visible

MAX_CONNECTIONS = 16
IDLE_SECONDS = 60
FETCHING_SECONDS = 600.0
# A push until its last byte is here; it comes from the same machine.
RECEIVING_SECONDS = 180.0
JUDGING_SECONDS = 450.0
MAX_QUESTION = 4 * 1024 * 1024


def say(text: str) -> None:
    """A line for the bundle's log."""
    sys.stderr.write(visible(text, keep="") + "\n")
    sys.stderr.flush()


class Server:
    """The bottle's mirrors and clients. `state` is git's part of the bundle's private state."""

    def __init__(self, state: Path, sockets: Path, scanners: Scanners, decisions: Decisions) -> None:
        self._state = state
        self._socket = str(sockets / "hook")
        self._env = git_env(state)
        self._scanners = scanners
        self._decided = decisions.tell
        self._mirrors: dict[str, Mirror] = {}
        self._connections: dict[str, Connection] = {}
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._judges = threading.BoundedSemaphore(2)
        self._export = state / "export"
        self._export.mkdir(exist_ok=True)
        self.hooks = state / "hooks"
        self._write_hooks()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._socket)
        self._listener.listen(64)
        threading.Thread(target=self._answer_hooks, daemon=True).start()

    def _write_hooks(self) -> None:
        self.hooks.mkdir(exist_ok=True)
        script = Path(__file__).with_name("hook.py")
        for name in ("pre-receive", "post-receive"):
            path = self.hooks / name
            quoted = " ".join("'" + part.replace("'", "'\\''") + "'" for part in (sys.executable, "-I", str(script)))
            path.write_text(f"#!/bin/sh\nexec {quoted} {name}\n")
            path.chmod(0o700)

    def serve(self, mirrors: Mapping[str, Mirror]) -> None:
        """From now on exactly these remotes, by name."""
        self._mirrors = dict(mirrors)
        wanted = {f"{name}{end}": m for name, m in mirrors.items() for end in (".git", "=", "=.git")}
        for link in self._export.iterdir():
            link.unlink()
        for name, mirror in wanted.items():
            (self._export / name).symlink_to(mirror.path)

    def accept(self, listener: socket.socket) -> None:
        """Takes a client from a listening socket that has one."""
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=self._guarded, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Ends every client's processes."""
        for process in list(self._processes):
            kill_group(process)

    def _guarded(self, client: socket.socket) -> None:
        with client:
            client.setblocking(True)
            if not self._room.acquire(blocking=False):
                refuse(client, f"more than {MAX_CONNECTIONS} git connections at once; try again")
                return
            try:
                self._client(client)
            except request.Refused as error:
                self._decided("refuse", "request", None, str(error))
                refuse(client, str(error))
            except Failed as error:
                refuse(client, str(error))
            except OSError as error:
                refuse(client, f"the gate failed: {error.strerror or type(error).__name__}")
            finally:
                self._room.release()

    def _client(self, client: socket.socket) -> None:
        asked = request.parse(peek(client), {name: m.remote for name, m in self._mirrors.items()})
        try:
            self._serve(client, asked)
        except Failed as error:
            self._decided("error", "push" if asked.service == "receive-pack" else "fetch", asked.remote, str(error))
            raise

    def _serve(self, client: socket.socket, asked: request.Request) -> None:
        mirror = self._mirrors[asked.remote.name]
        connection = Connection(mirror, 0.0, asked.service == "receive-pack")
        first = not mirror.fetched
        try:
            if first:
                say(f"fetch from {mirror.remote.name}: the first one, which takes a while if it is large")
            mirror.fetch()
            if first:
                say(f"fetch from {mirror.remote.name}: done in {time.time() - connection.began:.0f} s")
        except Failed as error:
            if not connection.pushes:
                say(f"fetch from {mirror.remote.name}: {error}")
                raise Failed(f"{mirror.remote.name} cannot be fetched, and nothing older is served: {error}") from None
            # A push is scanned first, also when it cannot be forwarded afterwards.
            connection.fetch_fault = str(error)
        if not connection.pushes:
            self._decided("allow", "fetch", mirror.remote)
        limit = RECEIVING_SECONDS if connection.pushes else FETCHING_SECONDS
        connection.deadline = time.monotonic() + limit
        name = secrets.token_hex(16)
        self._connections[name] = connection
        try:
            if connection.pushes:
                mirror.refuse_growth(len(self._pushes(mirror)))
            self._run(client, connection, {hook.CONNECTION_ENV: name, hook.SOCKET_ENV: self._socket})
        finally:
            connection.release(ended=True)
            del self._connections[name]
            # By no signal does git take along what it received. The clock of files may be a little behind.
            mirror.sweep(min([time.time(), *(push.began for push in self._pushes(mirror))]) - 1)

    def _pushes(self, mirror: Mirror) -> list[Connection]:
        return [one for one in list(self._connections.values()) if one.pushes and one.mirror is mirror]

    def _run(self, client: socket.socket, connection: Connection, env: Mapping[str, str]) -> None:
        argv = ["git", "daemon", "--inetd", "--export-all", f"--base-path={self._export}"]
        argv += ["--enable=receive-pack", "--disable=upload-archive", "--informative-errors", "--log-destination=none"]
        argv += [f"--timeout={IDLE_SECONDS}", f"--init-timeout={REQUEST_SECONDS:.0f}", str(self._export)]
        process = subprocess.Popen(
            argv,
            stdin=client.fileno(),
            stdout=client.fileno(),
            stderr=subprocess.DEVNULL,
            env={**self._env, **env, **(RECEIVING if connection.pushes else {})},
            cwd=str(self._export),
            start_new_session=True,
        )
        self._processes.add(process)
        try:
            while not wait(process, 1.0) and time.monotonic() < connection.deadline:
                pass
        finally:
            kill_group(process)
            self._processes.discard(process)

    def _answer_hooks(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer_hook, args=(line,), daemon=True).start()

    def _answer_hook(self, line: socket.socket) -> None:
        def tell(**answer: Any) -> None:
            # A client that is gone changes nothing: what was forwarded is forwarded.
            with contextlib.suppress(OSError):
                line.sendall(json.dumps(answer).encode() + b"\n")

        with line:
            line.settimeout(30)
            try:
                with line.makefile("rb") as lines:
                    question = json.loads(lines.readline(MAX_QUESTION))
                connection = self._connections[question["connection"]]
                if question["hook"] == "post-receive":
                    connection.release()
                    tell(exit=0)
                    return
                rows = [[str(word) for word in row] for row in question["updates"]]
                given = question["quarantine"]
                quarantine = {name: str(given[name]) for name in hook.QUARANTINE if name in given}
                taken = self._judge(connection, rows, quarantine, lambda text: tell(say=text))
                tell(exit=0 if taken else 1)
            except Exception as error:
                # The hook turns the end of the line into a no; only what kind of mistake it was is said.
                say(f"a question of the hook was not answered: {type(error).__name__}")

    def _judge(self, connection: Connection, rows: list[list[str]], quarantine: Mapping[str, str], tell: Any) -> bool:
        """Whether the push was scanned, found clean and forwarded."""
        connection.deadline = time.monotonic() + JUDGING_SECONDS
        remote = connection.mirror.remote
        if connection.judged or not _inside(quarantine, connection.mirror.path):
            tell("push rejected: this is not how git asks")
            return False
        connection.judged = True
        try:
            updates = refs.updates(rows)
            push = scan.Push(connection.mirror, updates, quarantine, self._scanners)
            if not self._judges.acquire(timeout=scan.SECONDS):
                raise Failed("too many pushes at once; push again")
            try:
                refuse_surplus(connection.mirror, updates, quarantine, scan.SECONDS)
                leaks = push.leaks()
            finally:
                self._judges.release()
        except Failed as error:
            say(f"push to {remote.name} rejected: {error}")
            self._decided("refuse", "push", remote, str(error))
            tell(f"push rejected, nothing was sent: {error}")
            return False
        if leaks:
            rules = ", ".join(sorted({leak.rule for leak in leaks}))
            found = f"{len(leaks)} finding{'' if len(leaks) == 1 else 's'} ({rules[:300]})"
            say(f"push to {remote.name} rejected: {found}")
            self._decided("refuse", "push", remote, f"nothing was sent: {found}")
            for text in scan.explain(leaks, self._scanners.name):
                tell(text)
            if self._scanners.alone:
                tell(self._scanners.detail)
            return False
        if self._scanners.alone:
            tell(f"scanned clean, but {self._scanners.detail}")
        return self._forward(connection, updates, quarantine, push.found.commits, tell)

    def _forward(
        self, connection: Connection, updates: list[refs.Update], quarantine: Mapping[str, str], commits: int, tell: Any
    ) -> bool:
        mirror, remote = connection.mirror, connection.mirror.remote
        try:
            if connection.fetch_fault:
                raise Failed(connection.fetch_fault)
            mirror.forward(updates, quarantine, lambda text: tell(f"{remote.host}: {text}"))
        except Failed as error:
            say(f"push to {remote.name} not forwarded: {error}")
            self._decided("error", "push", remote, f"not forwarded: {error}")
            tell(f"push not forwarded, nothing changed: {error}")
            return False
        connection.hold()
        say(f"push to {remote.name} forwarded: {len(updates)} refs, {commits} commits")
        names = ", ".join(f"{'-' if u.deletes else ''}{u.ref.removeprefix('refs/heads/')}" for u in updates[:5])
        more = f" and {len(updates) - 5} more" if len(updates) > 5 else ""
        self._decided("allow", "push", remote, f"{names}{more}, {commits} commit{'' if commits == 1 else 's'}")
        tell(f"forwarded to {remote.upstream}")
        return True


def _inside(quarantine: Mapping[str, str], path: Path) -> bool:
    """Whether the objects of the push lie where this mirror's git puts them. A push that only deletes has none."""
    own = os.path.realpath(path / "objects")
    return all(os.path.realpath(place).startswith(own) for place in quarantine.values())
