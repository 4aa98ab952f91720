"""The pane beside the dashboard: found by its @bottle option in our own window, split once, respawned after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.api import BackendError

if TYPE_CHECKING:
    from libtmux import Pane

LEAST = 40  # columns that the dashboard keeps, or half of a window narrower than twice that
FORMAT = "#{pane_id}\t#{@bottle}"


def least(columns: int) -> int:
    """The dashboard's least width in a window of so many columns."""
    return min(LEAST, (columns - 1) // 2)


def beside(columns: int) -> int:
    """The columns of the pane that is split off: 62 % of them, as long as the dashboard keeps its least."""
    return max(1, min(columns * 62 // 100, columns - 1 - least(columns)))


@dataclass(slots=True)
class TmuxPanes:
    """`env` is the environment that holds $TMUX and $TMUX_PANE. Call it from one worker thread only.

    Nothing is remembered but our own pane: another pane is found anew each time, so one that was closed by hand is no
    surprise, and a restarted dashboard finds the one that is there.
    """

    env: Mapping[str, str]
    cwd: str = "/"
    _own: Pane | None = None

    def shown(self) -> str:
        """The bottle that the pane shows, "" when there is none. A dashboard that was squeezed gets its width back."""
        found = self._find()
        if found is None:
            return ""
        window, own = self._widths()
        if own < least(window):
            self._tmux("resize-pane", "-t", self._pane().pane_id or "", "-x", str(least(window)))
        return found[1]

    def show(self, slug: str, argv: Sequence[str], *, focus: bool) -> None:
        """The pane runs `argv`, and the keyboard goes there when `focus`."""
        found = self._find()
        # each word as an argument of its own: tmux then runs the program itself, no shell reads the words
        if found:
            pane = found[0]
            self._tmux("respawn-pane", "-k", "-c", self.cwd, "-t", pane, *argv)
        else:
            own = self._pane().pane_id or ""
            window, width = self._widths()
            size = ("-h", "-d", "-l", str(beside(min(window, width))), "-c", self.cwd)
            pane = self._tmux("split-window", *size, "-P", "-F", "#{pane_id}", "-t", own, *argv)[0]
        self._tmux("set-option", "-p", "-t", pane, "@bottle", slug)
        if focus:
            self._tmux("select-pane", "-t", pane)

    def close(self) -> None:
        """The pane goes, if there is one."""
        if found := self._find():
            self._tmux("kill-pane", "-t", found[0])

    def _widths(self) -> tuple[int, int]:
        """Columns of our window and of our pane."""
        words = ("-p", "-t", self._pane().pane_id or "", "#{window_width} #{pane_width}")
        window, pane = self._tmux("display-message", *words)[0].split()
        return int(window), int(pane)

    def _find(self) -> tuple[str, str] | None:
        for row in self._tmux("list-panes", "-t", self._pane().pane_id or "", "-F", FORMAT):
            pane, _, slug = row.partition("\t")
            if slug:
                return pane, slug
        return None

    def _pane(self) -> Pane:
        if self._own is None:
            # imported here, on a worker thread, because it takes longer than the first frame may
            from libtmux import Pane
            from libtmux.exc import LibTmuxException

            try:
                self._own = Pane.from_env(self.env)
            except LibTmuxException as error:
                raise BackendError(f"tmux: {error}", "the bottle opens in this terminal instead") from error
        return self._own

    def _tmux(self, command: str, *args: str) -> list[str]:
        from libtmux.exc import LibTmuxException

        try:
            done = self._pane().server.cmd(command, *args)
        except LibTmuxException as error:
            raise BackendError(f"tmux: {error}") from error
        if done.returncode != 0 or done.stderr:
            raise BackendError(f"tmux: {' '.join(done.stderr) or f'{command} ended with {done.returncode}'}")
        return list(done.stdout)
