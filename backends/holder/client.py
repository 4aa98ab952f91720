"""A client of the holder: puts the terminal into raw mode and shows the agent in it, until it is left."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import termios
import tty
from collections.abc import Callable

from backends.holder import wire
from backends.holder.modes import ORDINARY
from backends.holder.socketpath import connect

_TYPED_LONGEST = 1 << 20
# Ends a synchronized update that was cut, leaves every mode, and goes to a fresh line at the bottom.
_LEAVE = b"\x1b[?2026l" + ORDINARY + b"\x1b[999;1H\r\n"


class ClientError(Exception):
    """Why there is no attaching, in one line; `status` is the exit status to end with."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _SignalledError(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def request(path: str, asked: dict[str, object], timeout: float = 10.0) -> dict[str, object]:
    """Asks the holder at `path` and gives its answer. Raises ClientError when none comes within `timeout` seconds."""
    sock = _connect(path)
    with sock:
        sock.settimeout(timeout)
        decoder = wire.Decoder()
        try:
            sock.sendall(wire.encode_json(wire.REQUEST, asked))
            while data := sock.recv(wire.CHUNK):
                for kind, payload in decoder.feed(data):
                    if kind == wire.RESPONSE:
                        return wire.decode_json(payload)
        except (OSError, wire.WireError) as error:
            raise ClientError(f"the holder at {path} does not answer: {error}", 1) from None
    raise ClientError(f"the holder at {path} closed the connection: it serves its owner only", 1)


def attach(path: str, *, pane: bool, detach: str | None) -> int:
    """Shows the agent in this process's terminal and gives the exit status for the program.

    `detach` is the character whose Ctrl key leaves (None: no key does). Not in a pane, the agent's end ends this too,
    with its status. Raises ClientError; the terminal is as before on every way out.
    """
    if not (os.isatty(0) and os.isatty(1)):
        raise ClientError("attaching needs a terminal: stdin or stdout is none", 2)
    sock = _connect(path)
    with sock:
        sock.setblocking(False)
        return _Client(sock, pane, detach).run()


def _connect(path: str) -> socket.socket:
    try:
        return connect(path)
    except OSError as error:
        if error.errno in (errno.ECONNREFUSED, errno.ENOENT):
            raise ClientError(f"no bottle answers at {path}: it was stopped", 1) from None
        raise ClientError(f"cannot connect to {path}: {error.strerror or error}", 1) from None


class _Client:
    def __init__(self, sock: socket.socket, pane: bool, detach: str | None) -> None:
        self._sock = sock
        self._pane = pane
        self._detach = None if pane or detach is None else _Detach(detach)
        self._decoder = wire.Decoder()
        self._typed = bytearray()
        self._ended = False  # in a pane: the agent has, and a key is awaited
        self._heard = False
        self._leaving = False
        self._last_words = ""

    def run(self) -> int:
        before = termios.tcgetattr(0)
        ending = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
        handlers = {number: signal.signal(number, self._signalled) for number in ending}
        handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, lambda _number, _frame: None)
        wake_read, wake_write = os.pipe()
        for fd in (wake_read, wake_write):
            os.set_blocking(fd, False)
        wakeup = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        try:
            tty.setraw(0, termios.TCSANOW)  # keeps what was typed already
            status = self._talk(wake_read)
        except _SignalledError as signalled:
            status = 128 + signalled.number
        except OSError:
            status = 1  # the terminal is gone
        finally:
            self._leaving = True
            signal.set_wakeup_fd(wakeup)
            _quietly(lambda: _write(_LEAVE))
            # Answers of the terminal to the agent that come too late are not for the shell.
            _quietly(lambda: termios.tcflush(0, termios.TCIFLUSH))
            _quietly(lambda: termios.tcsetattr(0, termios.TCSANOW, before))
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(wake_read)
            os.close(wake_write)
        if self._last_words:
            _quietly(lambda: _write(self._last_words.encode() + b"\n"))
        return status

    def _signalled(self, number: int, _frame: object) -> None:
        # Once only: nothing may stand between the terminal and its restoration.
        if not self._leaving:
            self._leaving = True
            raise _SignalledError(number)

    def _talk(self, wake: int) -> int:
        rows, cols = _size()
        if not self._pane:
            _write(b"\r\n" * rows)  # what stood on the screen goes to the scrollback instead of under the repaint
        attach_ = {"rows": rows, "cols": cols, "term": os.environ.get("TERM", ""), "start": True}
        self._say(wire.encode_json(wire.ATTACH, attach_))
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while True:
            poll.register(self._sock, select.POLLIN | (select.POLLOUT if self._typed else 0))
            ready = dict(poll.poll())
            if wake in ready:
                os.read(wake, 4096)
                self._say(wire.encode_size(*_size()))
            status: int | None = None
            if ready.get(self._sock.fileno(), 0) & ~select.POLLOUT:
                status = self._hear()
            if status is None and 0 in ready:
                status = self._take_keys()
            if status is not None:
                return status
            self._say(b"")

    def _hear(self) -> int | None:
        """Shows what the holder sends; a status when that is the end."""
        try:
            data = self._sock.recv(wire.CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        try:
            frames = self._decoder.feed(data)
        except wire.WireError as error:
            self._last_words = str(error)
            return 1
        for kind, payload in frames:
            self._heard = True
            if kind == wire.OUTPUT:
                self._ended = False
                _write(payload)
            elif kind == wire.EXITED:
                status = wire.decode_status(payload)
                if not self._pane:
                    self._last_words = f"agent ended with status {status}"
                    return status
                self._ended = True
                keys = "Enter starts it again, q closes this pane"
                _write(_LEAVE + f"agent ended with status {status}: {keys}\r\n".encode())
        if not data:
            self._last_words = "the bottle was stopped" if self._heard else "the bottle serves its owner only"
            return 1
        return None

    def _take_keys(self) -> int | None:
        """Passes on what was typed; a status when it asks to leave."""
        data = os.read(0, wire.CHUNK)
        if not data:
            return 1
        if self._ended:
            if data[:1] in (b"q", b"Q"):
                return 0
            if data[:1] in (b"\r", b"\n"):
                self._say(wire.encode_json(wire.REQUEST, {"op": "start"}))
            return None
        leaves = self._detach.search(data) if self._detach else -1
        data = data if leaves < 0 else data[:leaves]
        if data and len(self._typed) + len(data) <= _TYPED_LONGEST:
            self._say(wire.encode(wire.INPUT, data))
        if leaves < 0:
            return None
        self._say(wire.encode(wire.DETACH))
        self._last_words = "detached: the bottle goes on"
        return 0

    def _say(self, frame: bytes) -> None:
        """Sends without ever waiting: a holder that hangs must not take the detach key away."""
        self._typed += frame
        try:
            while self._typed:
                del self._typed[: self._sock.send(self._typed)]
        except BlockingIOError:
            return
        except OSError:
            self._typed.clear()  # reading tells that the holder is gone


class _Detach:
    """Finds Ctrl and a key among typed bytes: as a control character, and as enhanced keyboard protocols send it."""

    def __init__(self, key: str) -> None:
        code = ord(key)
        self._control = bytes([code & 0x1F])
        # The modifier is 1 plus a sum of bits: 4 is Ctrl, 64 and 128 are the locks.
        enhanced = [f"\x1b[{code};{1 + 4 + locks}{kind}u" for locks in (0, 64, 128, 192) for kind in ("", ":1")]
        self._sequences = [text.encode() for text in (*enhanced, f"\x1b[27;5;{code}~")]

    def search(self, data: bytes) -> int:
        """Where the key stands in `data`, or -1."""
        found = [at for at in map(data.find, (self._control, *self._sequences)) if at >= 0]
        return min(found, default=-1)


def _size() -> tuple[int, int]:
    cols, rows = os.get_terminal_size(1)
    return (rows, cols) if rows and cols else (24, 80)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _quietly(action: Callable[[], object]) -> None:
    try:
        action()
    except (OSError, termios.error):
        return
