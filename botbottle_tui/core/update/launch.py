"""The flow of a new agent: pickers, preflight, values asked for, and the launch itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from backends.api import LaunchSpec, WorkspaceMode
from botbottle_tui.core.effect import (
    Decide,
    EditRequest,
    EditRules,
    Enumerate,
    Foreground,
    Launch,
    LoadCatalog,
    OpenPane,
    Prepare,
    Warm,
)
from botbottle_tui.core.lists import available, choose, default_backend, default_spec, items, likely_agent, picker_at
from botbottle_tui.core.model import Launching, Model, Pane, Step, ask, asked, note, pop, push, say, top, waiting_for
from botbottle_tui.core.msg import Launched, SpecPrepared
from botbottle_tui.core.overlay import Picker, Preflight, Prompt
from sidecar_bundle.shared.weak import weak

Edit = Callable[[str], str]


def begin(model: Model, *, options: bool) -> Step:
    """The agent picker, its cursor on the agent most likely meant; manifests edited meanwhile are read again."""
    model = push(model, Picker("agent", default_spec(model), options, likely_agent(model)))
    return asked(model, *(() if waiting_for(model, LoadCatalog) else (LoadCatalog(model.options.cwd),)))


def filtered(model: Model, picker: Picker) -> Model:
    """The picker with another filter: the cursor stays where it is shown, else goes to the first."""
    shown = items(model, picker)
    if picker_at(picker, shown) < 0 and shown and (picker.filter or picker.cursor):
        picker = replace(picker, cursor=shown[0].key)
    return top(model, picker)


def picked(model: Model, picker: Picker) -> Step:
    """A row was chosen: on to the next choice, or to the preflight."""
    match picker.kind:
        case "agent":
            return after_agent(model, replace(picker.spec, agent=picker.cursor), picker.options)
        case "backend":
            spec = replace(picker.spec, backend=picker.cursor)
            if picker.options:
                return push(model, Picker("workspace", spec, True, spec.workspace.value)), ()
            return preflight(model, spec)
        case "workspace":
            return preflight(model, replace(picker.spec, workspace=WorkspaceMode(picker.cursor)))


def after_agent(model: Model, spec: LaunchSpec, options: bool) -> Step:
    """The backend picker, unless there is nothing to choose."""
    spec = replace(spec, backend=default_backend(model))
    if options or (not model.options.backend and len(available(model)) != 1):
        return push(model, Picker("backend", spec, options, spec.backend)), ()
    return preflight(model, spec)


def preflight(model: Model, spec: LaunchSpec) -> Step:
    """The preflight, its checks asked for."""
    model, effect = ask(model, Prepare(spec))
    return push(model, Preflight(spec, effect.seq)), (effect,)


def _again(model: Model, spec: LaunchSpec) -> Step:
    flight = model.overlays[-1]
    model, effect = ask(model, Prepare(spec))
    texts = isinstance(flight, Preflight) and flight.texts
    return top(model, Preflight(spec, effect.seq, texts=texts)), (effect,)


def prepared(model: Model, msg: SpecPrepared) -> Model:
    """The checks are done; those of a preflight that was left or changed since are dropped."""
    overlays = tuple(
        replace(o, prepared=msg.prepared, spec=msg.prepared.spec)
        if isinstance(o, Preflight) and o.seq == msg.seq
        else o
        for o in model.overlays
    )
    return replace(model, overlays=overlays)


def next_mode(model: Model) -> Step:
    """Copy, bind, none, and round again; checked anew."""
    flight = model.overlays[-1]
    if not isinstance(flight, Preflight):
        return model, ()
    modes = list(WorkspaceMode)
    mode = modes[(modes.index(flight.spec.workspace) + 1) % len(modes)]
    return _again(model, replace(flight.spec, workspace=mode))


def next_backend(model: Model) -> Step:
    """The next backend that can be used here, and round again; checked anew."""
    flight, names = model.overlays[-1], [b.name for b in available(model)]
    if not isinstance(flight, Preflight):
        return model, ()
    at = names.index(flight.spec.backend) if flight.spec.backend in names else -1
    return _again(model, replace(flight.spec, backend=names[(at + 1) % len(names)]))


def recheck(model: Model) -> Step:
    """The same launch, checked anew."""
    flight = model.overlays[-1]
    return _again(model, flight.spec) if isinstance(flight, Preflight) else (model, ())


def edit_folder(model: Model) -> Model:
    """The folder as text to edit."""
    flight = model.overlays[-1]
    return top(model, replace(flight, folder=str(flight.spec.cwd))) if isinstance(flight, Preflight) else model


def use_folder(model: Model, flight: Preflight) -> Step:
    """The edited folder, checked anew; a relative one is below the folder that the dashboard runs in."""
    text = (flight.folder or "").strip()
    folder = Path(text) if text.startswith("~") else model.options.cwd / text
    return _again(model, replace(flight.spec, cwd=folder))


def toggle_texts(model: Model) -> Model:
    """The text of the generated files, shown or not."""
    flight = model.overlays[-1]
    return top(model, replace(flight, texts=not flight.texts)) if isinstance(flight, Preflight) else model


def confirmed(model: Model) -> Step:
    """The preflight was accepted: ask for values, if any, else launch."""
    flight = model.overlays[-1]
    if not isinstance(flight, Preflight) or flight.prepared is None or flight.prepared.plan is None:
        return model, ()
    questions = tuple(e for e in flight.prepared.plan.env if e.kind == "secret")
    return (push(model, Prompt(questions)), ()) if questions else launch(model, flight, ())


def given(model: Model, prompt: Prompt) -> Step:
    """A value was given: on to the next question, or launch."""
    answers = (*prompt.answers, (prompt.questions[len(prompt.answers)].name, prompt.text))
    if len(answers) < len(prompt.questions):
        return top(model, replace(prompt, answers=answers, text="")), ()
    model = pop(model)
    flight = model.overlays[-1]
    return launch(model, flight, answers) if isinstance(flight, Preflight) else (model, ())


def launch(model: Model, flight: Preflight, answers: tuple[tuple[str, str], ...]) -> Step:
    """A row that is starting, and the launch asked for."""
    assert flight.prepared is not None and flight.prepared.plan is not None
    plan = flight.prepared.plan
    row = Launching(plan.slug, plan.agent, plan.backend, model.now)
    for name, value in answers:
        if reason := weak(value):
            model = note(model, f"{name} is not protected: {reason}", plan.slug, error=True)
    model = replace(model, overlays=(), launches=(*model.launches, row), filter="", focus=Pane.AGENTS)
    return asked(choose(model, plan.slug), Launch(plan, flight.spec, answers))


def progressed(model: Model, slug: str, line: str) -> Model:
    """The last line of a launch under way, or of a decision."""
    if not slug:
        flights = (replace(f, line=line) if isinstance(f.effect, Decide) else f for f in model.in_flight)
        return replace(model, in_flight=tuple(flights))
    return replace(model, launches=tuple(replace(x, line=line) if x.slug == slug else x for x in model.launches))


def launched(model: Model, msg: Launched) -> Step:
    """It runs: show it, unless the operator is busy with something else and there is no pane for it."""
    agent = msg.agent
    model = replace(
        model,
        launches=tuple(x for x in model.launches if x.slug != agent.slug),
        agents=(*(a for a in model.agents or () if a.slug != agent.slug), agent),
        last=msg.spec,
        folder=msg.spec.cwd,
        fence=model.seq,
    )
    model = note(model, "started", agent.slug)
    idle = not model.overlays and not model.filtering and not waiting_for(model, Foreground, EditRequest, EditRules)
    if model.options.tmux:
        return asked(model, OpenPane(agent.slug, focus=idle), Enumerate(), Warm())
    if idle:
        return asked(model, Foreground(agent.slug), Enumerate(), Warm())
    return asked(say(model, f"{agent.slug} runs; Enter on its row opens it"), Enumerate(), Warm())
