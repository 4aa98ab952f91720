"""The agent's terminal: its runs one after the other, what they wrote, and what is typed to them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from backends.holder.agent import AgentProcess
from backends.holder.backlog import Backlog
from backends.holder.loop import Loop
from backends.holder.wire import CHUNK

_INPUT_LONGEST = 1 << 20
_ROUNDS = 16  # reads in one go, so that nobody else waits long
_QUIET = 0.03  # seconds without output after which the screen is brought up to date
_STEADY = 0.5  # the same for output that never pauses but is little
_SETTLE = 16 << 10  # bytes read onto the screen in one go
_BEGINNING = 20  # pieces of output; the first can be an echo
_GRACE = 2.0  # seconds that an agent has to end after each signal

Size = tuple[int, int]


class Terminal:
    """One terminal, at most one process in it. `spawn(resume, size)` starts a run; it may raise OSError.

    `output(data)` and `ended(status)` are called from the loop; `watched()` says whether a real terminal sees the
    output and answers its queries.
    """

    def __init__(
        self,
        loop: Loop,
        spawn: Callable[[bool, Size], AgentProcess],
        output: Callable[[bytes], None],
        ended: Callable[[int], None],
        watched: Callable[[], bool],
    ) -> None:
        self.pid = 0  # of the latest run
        self.status: int | None = None  # of the run that ended
        self.size: Size = (24, 80)
        self.backlog = Backlog(*self.size)
        self._loop = loop
        self._spawn = spawn
        self._output = output
        self._ended = ended
        self._watched = watched
        self._agent: AgentProcess | None = None
        self._typed = bytearray()
        self._blocked = False  # the terminal takes no more input for now
        self._heard = 0.0
        self._spoke = 0  # how often the run has written something
        self._settled = 0.0

    @property
    def running(self) -> bool:
        """Whether a process is in it."""
        return self._agent is not None

    @property
    def quiet(self) -> bool:
        """Whether no output came for a moment."""
        return time.monotonic() - self._heard >= _QUIET

    @property
    def patience(self) -> float | None:
        """Seconds until `tend` has something to do; None is never."""
        if self.backlog:
            return _QUIET
        return None if self._agent is None or self._agent.pidfd >= 0 else 0.1

    def start(self) -> bool:
        """Starts a run if none is there, resuming from the second on; False when one was there. Raises OSError."""
        if self._agent is not None:
            return False
        agent = self._spawn(self.pid != 0, self.size)
        self._agent, self.pid, self.status = agent, agent.pid, None
        self._typed.clear()
        self._blocked, self._spoke = False, 0
        self._loop.watch(agent.master, self._read)
        if agent.pidfd >= 0:
            self._loop.watch(agent.pidfd, self._look)
        return True

    def show(self, data: bytes) -> None:
        """Puts bytes on the screen, and before those who watch."""
        if self.backlog.asks(data) and not self._watched():
            # No terminal is there to answer, and some programs wait for it.
            self.type(self.backlog.answer(data))
        else:
            self.backlog.append(data)
        self._output(data)

    def type(self, data: bytes) -> None:
        """Hands bytes to the agent; what an agent that does not read leaves lying beyond a bound is dropped."""
        if self._agent is not None and len(self._typed) + len(data) <= _INPUT_LONGEST:
            self._typed += data
            self._write()

    def resize(self, size: Size) -> None:
        """Gives the terminal its size in (rows, cols)."""
        if size != self.size:
            self.size = size
            self.backlog.resize(*size)
            if self._agent is not None:
                self._agent.resize(*size)

    def tend(self) -> None:
        """Does what was put off while output came. Call it after each turn of the loop."""
        if self._agent is not None and self._agent.pidfd < 0:
            self._look()
        now = time.monotonic()
        steady = len(self.backlog) <= _SETTLE and now - self._settled >= _STEADY
        if self.backlog and (self.quiet or steady):
            self.backlog.settle(_SETTLE)
            self._settled = now

    def close(self) -> None:
        """Ends the agent by hang-up and SIGTERM, then SIGKILL; returns when it is gone, after four seconds at most."""
        agent = self._agent
        if agent is None:
            return
        self._loop.unwatch(agent.master)
        self._loop.unwatch(agent.pidfd)
        agent.close_terminal()
        agent.signal(signal.SIGHUP)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.status is not None:
                break
            agent.signal(number)
            until = time.monotonic() + _GRACE
            while self.status is None and time.monotonic() < until:
                self.status = agent.reap()
                if self.status is None:
                    time.sleep(0.01)
        agent.close()
        self._agent = None

    def _read(self) -> bool:
        """Shows what the agent wrote; False when there is no more for now."""
        agent = self._agent
        if agent is None or agent.master < 0:
            return False
        chunks: list[bytes] = []
        more = True
        while more and len(chunks) < _ROUNDS:
            try:
                data = os.read(agent.master, CHUNK)
            except BlockingIOError:
                more = False
                continue
            except OSError:  # EIO: nobody has the other side open any more
                data = b""
            if data:
                chunks.append(data)
            else:
                more = False
                self._loop.unwatch(agent.master)
                agent.close_terminal()
        if chunks and self._spoke < _BEGINNING:
            # `docker exec` passes a size on only once the command inside runs: it may have been set before.
            self._spoke += 1
            agent.signal(signal.SIGWINCH)
        if chunks:
            self._heard = time.monotonic()
            self.show(b"".join(chunks))
        return more

    def _write(self) -> None:
        agent = self._agent
        if agent is None or agent.master < 0:
            return
        try:
            while self._typed:
                del self._typed[: os.write(agent.master, self._typed)]
        except BlockingIOError:
            pass
        except OSError:
            self._typed.clear()
        if bool(self._typed) != self._blocked:
            self._blocked = bool(self._typed)
            self._loop.watch(agent.master, self._read, self._write if self._blocked else None)

    def _look(self) -> None:
        """Whether the agent has ended: then its last output is shown and its status kept."""
        agent = self._agent
        status = agent.reap() if agent is not None else None
        if agent is None or status is None:
            return
        # What it left running may write for ever and must not hold this up.
        for _ in range(16):
            if not self._read():
                break
        self._loop.unwatch(agent.master)
        self._loop.unwatch(agent.pidfd)
        agent.close()
        self._agent, self.status = None, status
        self._ended(status)
