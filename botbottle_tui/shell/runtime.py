"""The loop: message in, model forward, screen redrawn, effects out."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import urwid
import urwid.display.raw
from urwid.display import InputClosedError

from botbottle_tui.core import effect as e
from botbottle_tui.core.model import DashOptions, Model
from botbottle_tui.core.overlay import Prompt
from botbottle_tui.shell.terminal import is_terminal, logged, on_signals, report_crash, told
from botbottle_tui.view.screen import screen
from botbottle_tui.view.theme import PALETTE

if TYPE_CHECKING:
    from botbottle_tui.core.msg import Msg
    from botbottle_tui.shell.world import World

__all__ = ["DashOptions", "run_dashboard"]

TICK = 0.5
KEPT_MESSAGES = 200

Key = str | tuple[str, int, int, int]


class Dashboard:
    """The one place where the model changes; all of it runs on the loop's thread, but for `post` and `hand_over`."""

    def __init__(
        self, world: World, options: DashOptions, env: Mapping[str, str], run_foreground: Callable[[Sequence[str]], int]
    ) -> None:
        self._world, self._env, self._run_foreground = world, env, run_foreground
        self._terminal = urwid.display.raw.Screen()
        self.model = Model(options, time.time(), self._size())
        self.loop = urwid.MainLoop(
            screen(self.model), PALETTE, self._terminal, handle_mouse=False, input_filter=self._input
        )
        self.messages: deque[str] = deque(maxlen=KEPT_MESSAGES)
        self.crash: BaseException | None = None

    def run(self) -> None:
        """Until quit, a signal, or a fault, which is then in `crash`."""
        self.loop.set_alarm_in(0, lambda *_: self._begin())
        with on_signals(self.stop):
            try:
                self.loop.run()
            except (OSError, InputClosedError):
                # the terminal hung up: there is nobody to tell, and nothing to restore
                return

    def stop(self) -> None:
        """Ends the loop soon; from any thread or signal handler."""
        self._from_thread(_exit)

    def post(self, msg: Msg) -> None:
        """A message from any thread; dropped once the loop has ended."""
        self._from_thread(self.receive, msg)

    def hand_over(self, argv: Sequence[str]) -> int:
        """From a worker thread: the terminal belongs to `argv` until it ends; answers its exit status."""
        done: Future[int] = Future()
        threading.Thread(target=self._ring, args=(done,), daemon=True).start()

        def run() -> None:
            try:
                with self.loop.paused():
                    status = self._run_foreground(argv)
                self._own_keys()
                done.set_result(status)
            except Exception as error:  # the worker, which waits, makes a failure of it
                done.set_exception(error)

        self._from_thread(run)
        return done.result()

    def _ring(self, done: Future[int]) -> None:
        """A bell for each proposal that comes while another program has the terminal and Proposals is not seen."""
        known, mark = {w.key for w in self.model.proposals or ()}, ""
        while not done.done():
            try:
                mark, waiting, _ = self._world.desk.watch(mark, TICK)
            except Exception:  # the dashboard's own watch tells of it
                time.sleep(TICK)
                continue
            keys = {w.key for w in waiting}
            if keys - known and not done.done():
                sys.stdout.write("\a")
                sys.stdout.flush()
            known |= keys

    def receive(self, msg: Msg) -> None:
        """One message: the model forward, the screen anew, the effects out."""
        try:
            self.messages.append(self._told(msg))
            self.model, effects = self._update(self.model, msg)
            self.loop.widget = screen(self.model)
        except Exception as error:
            self.crash = error
            raise urwid.ExitMainLoop from error
        self._send(effects)

    def _told(self, msg: Msg) -> str:
        asking = bool(self.model.overlays) and isinstance(self.model.overlays[-1], Prompt)
        return "KeyPressed(a secret's)" if asking and isinstance(msg, self._msg.KeyPressed) else told(msg)

    def _send(self, effects: Sequence[e.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, e.Quit):
                raise urwid.ExitMainLoop
            self._lanes.submit(effect)

    def _begin(self) -> None:
        try:
            self.loop.draw_screen()
            effects = self._start()
        except Exception as error:  # an alarm's exception would only be logged
            self.crash = error
            raise urwid.ExitMainLoop from error
        self._send(effects)
        self._tick()

    def _start(self) -> Sequence[e.Effect]:
        # only now: what the first frame does not need, and threads that compete for the interpreter
        from botbottle_tui.core import msg
        from botbottle_tui.core.update import start, update
        from botbottle_tui.shell.editor import edited
        from botbottle_tui.shell.perform import Seams, perform
        from botbottle_tui.shell.tmux import TmuxPanes
        from botbottle_tui.shell.worker import Lanes

        self._msg, self._update = msg, update

        def edit(text: str, suffix: str) -> str:
            return edited(text, suffix, self._env, self.hand_over)

        seams = Seams(self._world, TmuxPanes(self._env), self.hand_over, edit)
        self._lanes = Lanes(lambda effect: perform(effect, seams, self.post), self.post)
        self.model, effects = start(self.model.options, time.time(), self._size())
        self._own_keys()
        return effects

    def _tick(self) -> None:
        self.loop.set_alarm_in(TICK, lambda *_: self._tick())
        self.receive(self._msg.Ticked(time.time()))

    def _input(self, keys: list[Key], _raw: list[int]) -> list[Key]:
        for key in keys:
            if key == "window resize":
                self.loop.screen_size = None
                self.receive(self._msg.Resized(*self._size()))
            elif isinstance(key, str):
                for one in apart(key):
                    self.receive(self._msg.KeyPressed(one))
        return []

    def _size(self) -> tuple[int, int]:
        cols, rows = self._terminal.get_cols_rows()
        return cols, rows

    def _own_keys(self) -> None:
        # ctrl c is a key like any other; ctrl s must not freeze the screen
        self._terminal.tty_signal_keys(intr="undefined", quit="undefined", start="undefined", stop="undefined")
        if (size := self._size()) != self.model.size:
            self.receive(self._msg.Resized(*size))

    def _from_thread(self, call: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop has ended; so has whoever waited for the answer
            self.loop.call_from_thread(call, *args)


def apart(key: str) -> tuple[str, ...]:
    """A key as the keys that were pressed: Esc with another right behind it looks to urwid like one key with Meta."""
    rest = key.removeprefix("meta ")
    return (key,) if rest == key else ("esc", rest)


def _exit() -> None:
    raise urwid.ExitMainLoop


def run_dashboard(
    world: World,
    *,
    cwd: Path,
    home: Path,
    options: DashOptions,
    run_foreground: Callable[[Sequence[str]], int],
) -> int:
    """Runs the dashboard on this process's terminal until it is left; answers the exit status. Bottles go on.

    `home` is the bot-bottle folder, where the log goes. `run_foreground` runs an argv on the terminal and answers its
    exit status. What tmux, the clock and the folders say is filled into `options` here.
    """
    if not is_terminal((sys.stdin, sys.stdout)):
        sys.stderr.write("bottle-dash: the dashboard needs a terminal; bottle-dash --help lists what does not\n")
        return 2
    env = dict(os.environ)
    tmux = bool(env.get("TMUX") and env.get("TMUX_PANE"))
    offset = time.localtime().tm_gmtoff
    with logged(home):
        dashboard = Dashboard(
            world, replace(options, cwd=cwd, home=home, tmux=tmux, utc_offset=offset), env, run_foreground
        )
        try:
            dashboard.run()
        except Exception as error:
            dashboard.crash = dashboard.crash or error
    if dashboard.crash is not None:
        report_crash(home, dashboard.crash, dashboard.messages)
        return 1
    return 0
