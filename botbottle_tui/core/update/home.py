"""Manifests, backends and the last choices: what a new flow starts from, and an empty HOME."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from backends.api import BackendInfo, WorkspaceMode
from botbottle_tui.core.effect import Enumerate, InitHome, LoadBackends, LoadCatalog, Suggest
from botbottle_tui.core.lists import agent_items, available, default_backend, default_spec, likely_agent
from botbottle_tui.core.model import Model, Step, asked, note, pop, say, waiting_for
from botbottle_tui.core.overlay import Picker
from botbottle_tui.core.refusals import no_choice
from botbottle_tui.core.update import launch
from manifests.catalog import Catalog

SUGGESTED_FROM = 16  # agents tried for the first cursor: a look, not a search


def catalog_loaded(model: Model, catalog: Catalog) -> Step:
    """The manifests were read; warnings are said when they are new."""
    before = model.catalog.warnings if model.catalog else ()
    again = replace(model, catalog=catalog, suggested=model.suggested if catalog == model.catalog else None)
    for warning in catalog.warnings:
        if warning not in before:
            again = say(note(again, warning, error=True), warning, error=True)
    return settle(again)


def backends_loaded(model: Model, backends: tuple[BackendInfo, ...]) -> Step:
    """The backends were looked at; a picker that waited for them and has no choice to offer goes on."""
    model = replace(model, backends=backends)
    model, effects = settle(model)
    match model.overlays:
        case (*_, Picker(kind="backend", options=False, cursor="") as picker) if len(available(model)) == 1:
            model, more = launch.after_agent(pop(model), picker.spec, False)
            return model, effects + more
        case (*rest, Picker(kind="backend", cursor="") as picker):
            model = replace(model, overlays=(*rest, replace(picker, cursor=default_backend(model))))
    return model, effects


def settle(model: Model) -> Step:
    """Sets the cursors that wait for an agent; asks once which one can start, when nothing was launched before."""
    cursor = likely_agent(model)
    if cursor:
        waits = model.overlays[-1] if model.overlays else None
        overlays = tuple(
            replace(o, cursor=cursor, entered=False)
            if isinstance(o, Picker) and o.kind == "agent" and not o.cursor
            else o
            for o in model.overlays
        )
        model = replace(model, overlays=overlays)
        now = overlays[-1] if overlays else None
        if isinstance(waits, Picker) and waits.entered and isinstance(now, Picker) and not no_choice(model):
            return launch.picked(model, now)
        return model, ()
    known = model.catalog is not None and model.backends is not None and model.last_loaded
    whole = [i.key for i in agent_items(model) if not i.blocked][:SUGGESTED_FROM]
    if not known or not whole or waiting_for(model, Suggest):
        return model, ()
    # without a workspace: whether the agent can start is asked, not what a copy would cost
    specs = (replace(default_spec(model, name), workspace=WorkspaceMode.NONE) for name in whole)
    return asked(model, Suggest(tuple(specs)))


def init(model: Model) -> Step:
    """Writes the examples."""
    return asked(model, InitHome())


def initialised(model: Model, paths: tuple[Path, ...]) -> Step:
    """The examples are there: read them."""
    model = say(model, f"wrote {len(paths)} examples to {model.options.home}; n starts an agent")
    model = replace(model, catalog=None)  # so that n waits for them instead of knowing of none
    return asked(model, LoadCatalog(model.options.cwd))


def refresh(model: Model) -> Step:
    """Everything read again, but what is being read already."""
    wanted = (LoadCatalog(model.options.cwd), LoadBackends(), Enumerate())
    return asked(say(model, "reading again"), *(e for e in wanted if not waiting_for(model, type(e))))
