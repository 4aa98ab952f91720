"""Lanes of threads: polls one at a time with one waiting, pane commands in order, everything else at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from botbottle_tui.core import effect as e
from botbottle_tui.core import msg as m

Perform = Callable[[e.Effect], m.Final]
Post = Callable[[m.Msg], None]


class Lane:
    """One thread that performs effects in order. `newest`: only the newest waits, one that it replaces is answered."""

    def __init__(self, name: str, perform: Perform, post: Post, *, newest: bool) -> None:
        self._perform, self._post, self._newest = perform, post, newest
        self._waiting: deque[e.Effect] = deque()
        self._ready = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def submit(self, effect: e.Effect) -> None:
        """Takes the effect; never blocks."""
        with self._ready:
            replaced = self._waiting.popleft() if self._newest and self._waiting else None
            self._waiting.append(effect)
            if not self._thread.is_alive():
                self._thread.start()
            self._ready.notify()
        if replaced is not None:
            self._post(m.Superseded(replaced.seq))

    def _run(self) -> None:
        while True:
            with self._ready:
                while not self._waiting:
                    self._ready.wait()
                effect = self._waiting.popleft()
            self._post(self._perform(effect))


class Lanes:
    """Sends each effect to its lane. Threads are daemons: one that hangs holds up neither the others nor the end."""

    def __init__(self, perform: Perform, post: Post) -> None:
        self._perform, self._post = perform, post
        self._poll = Lane("poll", perform, post, newest=True)
        self._activity = Lane("activity", perform, post, newest=True)
        self._watch = Lane("watch", perform, post, newest=True)
        self._pane = Lane("pane", perform, post, newest=False)

    def submit(self, effect: e.Effect) -> None:
        """Performs the effect on a thread; its final message is posted from there."""
        match effect:
            case e.Enumerate():
                self._poll.submit(effect)
            case e.ReadActivity():
                self._activity.submit(effect)
            case e.WatchProposals():
                self._watch.submit(effect)
            case e.CheckPane() | e.OpenPane() | e.ClosePane():
                self._pane.submit(effect)
            case _:
                name = type(effect).__name__
                thread = threading.Thread(target=lambda: self._post(self._perform(effect)), name=name, daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # out of threads: the limit of processes is reached
                    self._post(m.Failed(effect.seq, effect, str(error), "raise the limit of processes (ulimit -u)"))
