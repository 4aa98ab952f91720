"""A story: keys pressed on the whole dashboard without threads, and what the screen then says.

`update` and the real `perform` run inline on a world in memory; effects of the types in `held` wait for `release`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import urwid.testing

from botbottle_tui.core import effect as e
from botbottle_tui.core import msg as m
from botbottle_tui.core.keymap import contexts, resolve
from botbottle_tui.core.model import DashOptions, Model
from botbottle_tui.core.update import start, update
from botbottle_tui.shell.perform import Seams, perform
from botbottle_tui.view.screen import screen
from tests.fake_world import CWD, HOME, NOW, FakePanes, FakeWorld

OPTIONS = DashOptions(cwd=CWD, home=HOME)


@dataclass
class Story:
    """Begin one with `Story.of(world)`; every step answers the story, so steps chain."""

    world: FakeWorld
    model: Model
    panes: FakePanes = field(default_factory=FakePanes)
    status: int = 0
    held: tuple[type[e.Effect], ...] = ()
    waiting: list[e.Effect] = field(default_factory=list)
    foregrounds: list[tuple[str, ...]] = field(default_factory=list)
    pressed: set[tuple[str, str]] = field(default_factory=set)
    ended: bool = False
    editor: Callable[[str], str] = str
    edits: list[str] = field(default_factory=list)
    watch: e.WatchProposals | None = None

    @classmethod
    def of(
        cls,
        world: FakeWorld | None = None,
        *,
        options: DashOptions = OPTIONS,
        size: tuple[int, int] = (80, 24),
        held: Iterable[type[e.Effect]] = (),
    ) -> Story:
        """A dashboard that has just come up."""
        model, effects = start(options, NOW, size)
        story = cls(world or FakeWorld(), model, held=tuple(held))
        story._do(effects)
        return story

    def _do(self, effects: Iterable[e.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, e.Quit):
                self.ended = True
            elif isinstance(effect, self.held):
                self.waiting.append(effect)
            elif isinstance(effect, e.WatchProposals) and effect.seen == self.world.desk.mark():
                self.watch = effect  # it hangs until something differs
            else:
                seams = Seams(self.world, self.panes, self._hand_over, self._edit)
                self.happens(perform(effect, seams, self.happens))

    def _hand_over(self, argv: Iterable[str]) -> int:
        self.foregrounds.append(tuple(argv))
        return self.status

    def _edit(self, text: str, suffix: str) -> str:
        self.edits.append(text)
        return self.editor(text)

    def happens(self, msg: m.Msg) -> Story:
        """A message, and all that follows from it."""
        self.model, effects = update(self.model, msg)
        self._do(effects)
        if self.watch and self.watch.seen != self.world.desk.mark():
            watch, self.watch = self.watch, None
            self._do((watch,))
        return self

    def press(self, *keys: str) -> Story:
        """Keys, one after the other; a word of several letters that is no key's name is typed."""
        for key in keys:
            if resolve(self.model, key):
                self.pressed.add((next(c for c in contexts(self.model) if _bound(c, key)), key))
            self.happens(m.KeyPressed(key))
        return self

    def types(self, text: str) -> Story:
        """Each character as a key."""
        return self.press(*text)

    def tick(self, seconds: float = 0.5, times: int = 1) -> Story:
        """Time goes by."""
        for _ in range(times):
            self.happens(m.Ticked(self.model.now + seconds))
        return self

    def hold(self, *kinds: type[e.Effect]) -> Story:
        """From now on these effects hang."""
        self.held = kinds
        return self

    def release(self) -> Story:
        """What hung is done, in order."""
        waiting, self.waiting, self.held = self.waiting, [], ()
        self._do(waiting)
        return self

    def text(self) -> str:
        """The screen as text."""
        return "\n".join(urwid.testing.render_text(screen(self.model), self.model.size))

    def sees(self, *words: str) -> Story:
        """The screen holds each of these, wrapped or not."""
        text = " ".join(self.text().replace("│", " ").split())
        for word in words:
            assert " ".join(word.split()) in text, f"{word!r} is not on the screen:\n{self.text()}"
        return self

    def sees_no(self, *words: str) -> Story:
        """The screen holds none of these."""
        text = " ".join(self.text().replace("│", " ").split())
        for word in words:
            assert word not in text, f"{word!r} is on the screen:\n{self.text()}"
        return self

    def resize(self, cols: int, rows: int) -> Story:
        """The terminal has another size."""
        return self.happens(m.Resized(cols, rows))

    def called(self, name: str) -> list[tuple[object, ...]]:
        """The arguments of each call of a method of the world."""
        return [call[1:] for call in self.world.calls if call[0] == name]


def _bound(context: str, key: str) -> bool:
    from botbottle_tui.core.keymap import KEYMAP

    return any(b.context == context and key in b.keys for b in KEYMAP)


def in_tmux(**more: object) -> DashOptions:
    """Options of a dashboard inside tmux."""
    return replace(OPTIONS, tmux=True, **more)  # type: ignore[arg-type]
