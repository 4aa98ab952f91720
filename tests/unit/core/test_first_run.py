"""The first minutes: right after `i`, and from a terminal that stands in the home folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from backends.api import WorkspaceMode
from botbottle_tui.core import refusals
from botbottle_tui.core.lists import default_spec, fresh_home
from botbottle_tui.core.model import DashOptions
from botbottle_tui.core.update import home, start
from manifests.catalog import Catalog


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
