"""The first minutes: right after `i`, and from a terminal that stands in the home folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from backends.api import BackendInfo, Check, LaunchSpec, WorkspaceMode
from botbottle_tui.core import msg as m
from botbottle_tui.core import refusals
from botbottle_tui.core.effect import CheckPane, Prepare
from botbottle_tui.core.lists import default_spec, fresh_home
from botbottle_tui.core.model import DashOptions
from botbottle_tui.core.overlay import Picker, Preflight
from botbottle_tui.core.update import home, start, update
from manifests.catalog import AgentManifest, Bottle, Catalog


def test_n_right_after_i_waits_for_the_examples() -> None:
    model, _ = start(DashOptions(), 0.0, (80, 24))
    model = replace(model, catalog=Catalog())
    assert fresh_home(model) and refusals.no_new(model)
    model, effects = home.initialised(model, (Path("a.md"),))
    assert effects and not refusals.no_new(model)


def test_no_copy_of_the_home_folder_is_offered() -> None:
    model, _ = start(DashOptions(cwd=Path("/home/me"), cwd_is_private=True), 0.0, (80, 24))
    assert default_spec(model).workspace is WorkspaceMode.NONE
    chosen = replace(model, folder=Path("/home/me/project"))
    assert default_spec(chosen).workspace is WorkspaceMode.COPY
    elsewhere, _ = start(DashOptions(cwd=Path("/home/me/project")), 0.0, (80, 24))
    assert default_spec(elsewhere).workspace is WorkspaceMode.COPY


def test_nothing_is_done_that_nobody_sees() -> None:
    model, _ = start(DashOptions(tmux=True), 0.0, (20, 24))
    after, effects = update(model, m.KeyPressed("n"))
    assert after.overlays == () and effects == ()
    wide, _ = update(model, m.Resized(80, 24))
    assert update(wide, m.KeyPressed("n"))[0].overlays != ()


def test_a_squeezed_dashboard_asks_the_pane_beside_for_room() -> None:
    model, _ = start(DashOptions(tmux=True), 0.0, (80, 24))
    model = replace(model, shown="shell-aaaaa", in_flight=())
    _, effects = update(model, m.Resized(25, 24))
    assert [type(e) for e in effects] == [CheckPane]
    assert update(model, m.Resized(60, 24))[1] == ()


def test_a_mode_chosen_for_one_folder_is_no_default_for_another() -> None:
    here, there = Path("/home/me/here"), Path("/home/me/there")
    model, _ = start(DashOptions(cwd=here), 0.0, (80, 24))
    model = replace(model, last=LaunchSpec("a", "fake", there, WorkspaceMode.BIND))
    assert default_spec(model).workspace is WorkspaceMode.COPY
    assert default_spec(replace(model, folder=there)).workspace is WorkspaceMode.BIND


def test_an_enter_that_comes_early_is_taken_when_the_cursor_is_known() -> None:
    path = Path("/m/x.md")
    catalog = Catalog(
        agents=(AgentManifest("shell", path, "home", "shell"),), bottles=(Bottle("shell", path, ("shell",)),)
    )
    backend = BackendInfo("fake", Check("fake", True, ""), "none")
    model, _ = start(DashOptions(), 0.0, (80, 24))
    model = replace(model, catalog=catalog, backends=(backend,), last_loaded=True, in_flight=())
    model, _ = update(model, m.KeyPressed("n"))
    model, _ = update(model, m.KeyPressed("enter"))
    assert isinstance(model.overlays[-1], Picker) and model.overlays[-1].entered
    model, effects = home.settle(replace(model, suggested="shell"))
    assert isinstance(model.overlays[-1], Preflight) and [type(e) for e in effects] == [Prepare]
    moved, _ = update(replace(model, overlays=()), m.KeyPressed("n"))
    assert isinstance(moved.overlays[-1], Picker) and not moved.overlays[-1].entered
