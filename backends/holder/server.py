"""The holder: owns the agent's terminal, shows it to any number of clients, outlives them and the agent."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence

from backends.holder import wire
from backends.holder.agent import AgentProcess, spawn
from backends.holder.connection import Connection, peer_uid, response, without_replies
from backends.holder.grid import MAX_COLS, MAX_ROWS
from backends.holder.loop import Loop
from backends.holder.modes import ORDINARY
from backends.holder.terminal import Size, Terminal

_CLIENTS = 64
_REPAINT_EVERY = 0.5  # seconds between repaints for a client that cannot keep up
_RETRY = 0.03  # seconds until an owed repaint is thought of again

Start = Callable[[bool], Sequence[str]]


def fixed(argv: Sequence[str], resume_argv: Sequence[str] = ()) -> Start:
    """A `start` that needs no thought: `argv` first, `resume_argv` (default: the same) when started again."""
    return lambda resume: (resume_argv or argv) if resume else argv


class Holder:
    """Serves a listening unix socket until `stop`.

    `start(resume)` gives the argv of each run; it may set `pass_fds` before, and an OSError from it is a start that
    failed. `prepare` runs in the child before exec. `on_started(pid)`, `on_ended(status)` and `on_stop()` tell the
    embedding process; children of it other than the agent are left alone.
    """

    def __init__(
        self,
        listener: socket.socket,
        start: Start,
        env: Mapping[str, str],
        owner_uid: int,
        *,
        prepare: Callable[[], None] | None = None,
        on_started: Callable[[int], None] | None = None,
        on_ended: Callable[[int], None] | None = None,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        self.pass_fds: Sequence[int] = ()
        self._listener = listener
        self._start = start
        self._env = env
        self._owner_uid = owner_uid
        self._prepare = prepare
        self._on_started = on_started
        self._on_ended = on_ended
        self._on_stop = on_stop
        self._clients: list[Connection] = []
        self._turn = 0
        self._stopping = False
        self._loop = Loop()
        self._terminal = Terminal(self._loop, self._spawn, self._output, self._ended, self._watched)
        listener.setblocking(False)
        self._loop.watch(listener.fileno(), self._accept)

    @property
    def pid(self) -> int:
        """The process id of the agent's latest run, 0 before the first."""
        return self._terminal.pid

    @property
    def status(self) -> int | None:
        """The exit status of the run that ended (128+n when signal n ended it), None while the agent runs."""
        return self._terminal.status

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Calls `callback` from `run` whenever `fd` is readable or hung up, until `unwatch`; at times for nothing."""
        self._loop.watch(fd, callback)

    def unwatch(self, fd: int) -> None:
        """Ends `watch`; call it before the descriptor is closed."""
        self._loop.unwatch(fd)

    def stop(self) -> None:
        """Makes `run` end soon; may be called from a signal handler."""
        self._stopping = True
        self._loop.wake()

    def start_agent(self) -> None:
        """Starts the agent, resuming when it ran before; does nothing while it runs. Raises OSError."""
        before = self._terminal.status
        if self._terminal.start():
            if before is not None:
                note = f"\x1b[999;1H\r\nagent ended with status {before}: started again\r\n"
                self._terminal.show(ORDINARY + note.encode())
            if self._on_started is not None:
                self._on_started(self._terminal.pid)

    def run(self, *, start: bool = True) -> None:
        """Starts the agent if it was not yet, serves until `stop` or SIGTERM, then ends the agent and closes all.

        With `start` False no agent is started before somebody asks for it. For the main thread. Raises OSError when
        the first start fails.
        """
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
        signal.signal(signal.SIGTERM, lambda _number, _frame: self.stop())
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            if start and self._terminal.pid == 0:
                self.start_agent()
            while not self._stopping:
                self._loop.turn(self._patience())
                self._terminal.tend()
                self._repaint_the_late()
            if self._on_stop is not None:
                self._on_stop()
        finally:
            self._terminal.close()
            for client in self._clients:
                client.sock.close()
            self._listener.close()
            self._loop.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _patience(self) -> float | None:
        if any(client.stale and not client.waiting for client in self._clients):
            return _RETRY
        return self._terminal.patience

    # What the terminal calls.

    def _spawn(self, resume: bool, size: Size) -> AgentProcess:
        argv = self._start(resume)
        return spawn(argv, self._env, size, self.pass_fds, self._prepare)

    def _watched(self) -> bool:
        return any(client.attached for client in self._clients)

    def _output(self, data: bytes) -> None:
        self._send_all(wire.encode_stream(wire.OUTPUT, data))

    def _ended(self, status: int) -> None:
        self._send_all([wire.encode_status(status)])
        if self._on_ended is not None:
            self._on_ended(status)

    # The clients' connections.

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        if len(self._clients) >= _CLIENTS or peer_uid(sock) not in (0, self._owner_uid):
            sock.close()
            return
        client = Connection(sock)
        self._clients.append(client)
        self._watch(client)

    def _watch(self, client: Connection) -> None:
        writer = (lambda: self._send(client)) if client.waiting else None
        self._loop.watch(client.sock.fileno(), lambda: self._hear(client), writer)

    def _send_all(self, frames: Sequence[bytes]) -> None:
        for client in [c for c in self._clients if c.attached and not c.stale]:
            self._send(client, *frames)

    def _send(self, client: Connection, *frames: bytes) -> None:
        if client not in self._clients:
            return
        waited = client.waiting
        try:
            client.send(*frames)
        except OSError:
            self._drop(client)
            return
        if client.overfull and client.attached:
            client.stale = True
            client.forget_waiting()
        if client.waiting != waited:
            self._watch(client)

    def _drop(self, client: Connection) -> None:
        if client in self._clients:
            self._clients.remove(client)
            self._loop.unwatch(client.sock.fileno())
            client.sock.close()
            self._follow()

    def _hear(self, client: Connection) -> None:
        try:
            data = client.sock.recv(wire.CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        try:
            if not data:
                raise wire.WireError("the client is gone")
            for kind, payload in client.decoder.feed(data):
                self._take(client, kind, payload)
        except wire.WireError:
            self._drop(client)

    def _take(self, client: Connection, kind: int, payload: bytes) -> None:
        if kind == wire.REQUEST:
            self._send(client, response(self._request(wire.decode_json(payload))))
        elif kind == wire.ATTACH:
            self._attach(client, wire.decode_json(payload))
        elif kind == wire.INPUT and client.attached:
            if client is not self._active():
                payload = without_replies(payload)
            if payload:
                self._use(client)
                self._terminal.type(payload)
        elif kind == wire.RESIZE and client.attached:
            self._use(client, wire.decode_size(payload))
        else:
            raise wire.WireError("the client leaves, or says what a client does not say")

    def _attach(self, client: Connection, asked: dict[str, object]) -> None:
        rows, cols = asked.get("rows"), asked.get("cols")
        if not isinstance(rows, int) or not isinstance(cols, int):
            raise wire.WireError("an attach says its size")
        client.term = str(asked.get("term", ""))[:64]
        client.attached = True
        self._use(client, (rows, cols))
        if asked.get("start") is True and (error := self._restart()):
            self._terminal.show(f"\r\n{error}\r\n".encode())
        self._repaint(client)

    def _repaint(self, client: Connection) -> None:
        client.stale = False
        client.repainted = time.monotonic()
        frames = wire.encode_stream(wire.OUTPUT, self._terminal.backlog.screen().render())
        if self._terminal.status is not None:
            frames.append(wire.encode_status(self._terminal.status))
        self._send(client, *frames)

    def _repaint_the_late(self) -> None:
        for client in [c for c in self._clients if c.stale and not c.waiting]:
            if self._terminal.quiet or time.monotonic() - client.repainted >= _REPAINT_EVERY:
                self._repaint(client)

    # Whose size and whose terminal's answers count.

    def _active(self) -> Connection | None:
        """The attached client that was used last."""
        return max((c for c in self._clients if c.attached), key=lambda c: c.active_at, default=None)

    def _use(self, client: Connection, size: Size | None = None) -> None:
        if size is not None:
            client.size = (min(max(size[0], 1), MAX_ROWS), min(max(size[1], 1), MAX_COLS))
        self._turn += 1
        client.active_at = self._turn
        self._follow()

    def _follow(self) -> None:
        if active := self._active():
            self._terminal.resize(active.size)

    # Requests.

    def _restart(self) -> str:
        """Starts the agent if it has ended; answers "" or why that failed."""
        try:
            self.start_agent()
        except OSError as error:
            return f"the agent cannot be started: {error.strerror or error}"
        return ""

    def _request(self, asked: dict[str, object]) -> dict[str, object]:
        match asked.get("op"):
            case "status":
                return {"ok": True, **self._describe()}
            case "snapshot":
                screen = self._terminal.backlog.screen()
                return {"ok": True, "lines": screen.text(), "cursor": [screen.grid.y, screen.grid.x]}
            case "input":
                data = asked.get("data")
                if not isinstance(data, str):
                    return {"ok": False, "error": "input wants its text in `data`"}
                if not self._terminal.running:
                    return {"ok": False, "error": "the agent has ended: start it first"}
                self._terminal.type(data.encode("utf-8", "replace"))
                return {"ok": True}
            case "start":
                error = self._restart()
                return {"ok": False, "error": error} if error else {"ok": True, "pid": self.pid}
            case "stop":
                self.stop()
                return {"ok": True}
        return {"ok": False, "error": "unknown op: the holder knows status, snapshot, input, start and stop"}

    def _describe(self) -> dict[str, object]:
        attached = [client for client in self._clients if client.attached]
        return {
            "state": "running" if self._terminal.running else "ended",
            "exit": self.status,
            "pid": self.pid,
            "clients": len(attached),
            "terms": [client.term for client in attached],
            "rows": self._terminal.size[0],
            "cols": self._terminal.size[1],
            "title": self._terminal.backlog.title,
        }
