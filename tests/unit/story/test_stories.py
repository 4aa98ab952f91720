"""Runs the stories, and asks that no key of the table is left out of them."""

from __future__ import annotations

import pytest

from botbottle_tui.core.keymap import KEYMAP
from tests.unit.story import deciding, living, starting

STORIES = {n: f for part in (starting, living, deciding) for n, f in vars(part).items() if n.startswith("story_")}


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str) -> None:
    STORIES[name]()


def test_every_key_is_pressed_by_some_story(capsys: pytest.CaptureFixture[str]) -> None:
    import tests.story

    pressed: set[tuple[str, str]] = set()
    press = tests.story.Story.press

    def recorded(self: tests.story.Story, *keys: str) -> tests.story.Story:
        done = press(self, *keys)
        pressed.update(self.pressed)
        return done

    tests.story.Story.press = recorded  # type: ignore[method-assign]
    try:
        for story in STORIES.values():
            story()
    finally:
        tests.story.Story.press = press  # type: ignore[method-assign]
    assert {(b.context, key) for b in KEYMAP for key in b.keys} - pressed == set()
    assert capsys.readouterr() == ("", "")
