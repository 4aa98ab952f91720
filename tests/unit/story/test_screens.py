"""Screens as text files in tests/screens at three sizes; UPDATE_SCREENS=1 rewrites them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import urwid
import urwid.testing

from backends.api import Agent, Leftover
from botbottle_tui.core import effect as e
from botbottle_tui.core.msg import Progressed
from botbottle_tui.view.screen import screen
from botbottle_tui.view.theme import PALETTE, STATE_STYLES
from manifests.catalog import Catalog
from sidecar_bundle.shared.activity import Activity
from tests.fake_world import NOW, FakeWorld
from tests.story import Story, in_tmux
from tests.unit.story.worlds import SECRET, asking, three, unwell

SCREENS = Path(__file__).parents[2] / "screens"
SIZES = ((50, 15), (60, 20), (80, 24), (160, 50))


def everything() -> FakeWorld:
    world = three()
    states = ("starting", "done", "error", "lost", "foreign")
    world.live += [Agent(f"{s}-{i}", "reviewer", "bubblewrap", s, NOW - i) for i, s in enumerate(states)]
    return world


def wide() -> FakeWorld:
    world = FakeWorld(live=[Agent("漢字の瓶-1", "reviewer 🍾", "bubblewrap", "running", NOW - 70, ("egress",))])
    world.lines["漢字の瓶-1"] = (
        Activity(
            NOW, "egress", "refuse", "GET", "例え.example", "/道" * 40 + "\u202e\x1b[2J", "no 🍾 for é\u200b", 403
        ),
    )
    return world


SCENES: dict[str, Callable[[tuple[int, int]], Story]] = {
    "empty-home": lambda size: Story.of(FakeWorld(manifests=Catalog()), size=size),
    "agents": lambda size: (
        Story.of(everything(), options=in_tmux(), size=size).tick(100).press("j", "enter", "k").tick()
    ),
    "starting": lambda size: (
        Story.of(three(), size=size, held=[e.Launch])
        .press("n", "enter", "enter")
        .happens(Progressed("builder-1", "building the sandbox"))
    ),
    "picker": lambda size: Story.of(three(), size=size).press("n", "down"),
    "backends": lambda size: Story.of(size=size).press("N", "enter", "down"),
    "preflight": lambda size: Story.of(size=size).press("n", "end", "enter"),
    "prompt": lambda size: Story.of(FakeWorld(secrets=(SECRET,)), size=size).press("n", "enter", "enter").types("abc"),
    "stop": lambda size: Story.of(three(), size=size).press("2", "x"),
    "changes": lambda size: Story.of(three(), size=size).press("2", "D"),
    "cleanup": lambda size: Story.of(
        replace_left(three(), Leftover("bubblewrap", "folder", "/run/bot-bottle/old-9", "old-9", "its keeper is dead")),
        size=size,
    ).press("c"),
    "proposals": lambda size: Story.of(asking(), size=size).press("w", " ", "j").tick(),
    "review": lambda size: Story.of(asking(), size=size).press("w", "enter"),
    "question": lambda size: Story.of(asking(), size=size).press("w", "j", "enter"),
    "batch": lambda size: Story.of(asking(), size=size).press("w", "g", " ", " ", " ", "a"),
    "health": lambda size: Story.of(unwell(), size=size).tick(times=2),
    "help": lambda size: Story.of(three(), size=size).press("?"),
    "wide": lambda size: Story.of(wide(), size=size).tick(100).tick(),
}


def replace_left(world: FakeWorld, *left: Leftover) -> FakeWorld:
    return replace(world, left=left)


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("scene", SCENES)
def test_screen(scene: str, size: tuple[int, int]) -> None:
    path = SCREENS / f"{scene}-{size[0]}x{size[1]}.txt"
    rows = urwid.testing.render_text(screen(SCENES[scene](size).model), size)
    assert [urwid.calc_width(row, 0, len(row)) for row in rows] == [size[0]] * size[1]
    text = "\n".join(row.rstrip() for row in rows) + "\n"
    if os.environ.get("UPDATE_SCREENS") == "1":
        path.write_text(text)
    assert text == path.read_text()


def test_no_screen_is_left_over() -> None:
    expected = {f"{scene}-{c}x{r}.txt" for scene in SCENES for c, r in SIZES}
    assert {p.name for p in SCREENS.iterdir() if p.suffix == ".txt"} == expected


def test_without_colour_every_mark_is_text_or_a_mono_attribute() -> None:
    mono = {name: spec for name, _, _, spec, _, _ in PALETTE}
    assert set(STATE_STYLES.values()) <= set(mono)
    assert mono["cursor"] == mono["error"] == mono["toast"] == "standout" and mono["title focus"] == "bold"
    text = SCENES["agents"]((80, 24)).text()
    for word in (*STATE_STYLES, "> 1", "*2", "REFUSED", "═ Agents"):
        assert word in text
    assert "! " in SCENES["picker"]((80, 24)).press("enter").text()


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (24, 9), (25, 12), (400, 9), (120, 9)])
@pytest.mark.parametrize("scene", SCENES)
def test_odd_sizes_are_drawn(scene: str, size: tuple[int, int]) -> None:
    story = SCENES[scene]((80, 24)).resize(*size)
    assert len(urwid.testing.render_text(screen(story.model), size)) == size[1]


def test_a_thousand_agents_cost_the_rows_on_screen() -> None:
    live = [Agent(f"agent-{i:04}", "builder", "bubblewrap", "running", NOW - i) for i in range(1000)]
    story = Story.of(FakeWorld(live=live), size=(160, 50)).press("G")
    import botbottle_tui.view.panes as panes

    built: list[int] = []
    row = panes.agent_row
    try:
        panes.agent_row = lambda *args: built.append(args[2]) or row(*args)  # type: ignore[assignment,func-returns-value]
        story.sees("agent-0000")
    finally:
        panes.agent_row = row
    assert 40 <= len(built) <= 50 and min(built) > 940
