"""What the lists show, derived from the model: rows of agents, rows of pickers, lines of activity."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from backends.api import Agent, Audited, BackendInfo, LaunchSpec, WorkspaceMode
from botbottle_tui.core.effect import Stop
from botbottle_tui.core.model import Model, Note, waiting_for
from botbottle_tui.core.overlay import Picker
from sidecar_bundle.shared.activity import Activity


@dataclass(frozen=True, slots=True)
class Item:
    """A row of a picker. `blocked` says why it cannot be chosen, "" when it can; `fix` what to do about that."""

    key: str
    detail: str = ""
    blocked: str = ""
    fix: str = ""


def rows(model: Model) -> tuple[Agent, ...]:
    """The rows of Agents: launches under way, then live bottles, those that match the filter."""
    starting = {x.slug for x in model.launches}
    out = [Agent(x.slug, x.name, x.backend, "starting", x.since, (), x.line) for x in model.launches]
    out += [a for a in model.agents or () if a.slug not in starting]
    if model.filter:
        needle = model.filter.lower()
        out = [a for a in out if needle in f"{a.slug} {a.name} {a.backend} {a.state}".lower()]
    return tuple(out)


def row_note(model: Model, agent: Agent) -> str:
    """What is to be said of a row beyond its state."""
    if waiting_for(model, Stop, slug=agent.slug):
        return "stopping"
    return agent.detail


def at(model: Model, shown: tuple[Agent, ...] | None = None) -> int:
    """The index of the selected row, -1 when there is none."""
    slugs = [a.slug for a in (rows(model) if shown is None else shown)]
    return slugs.index(model.selected) if model.selected in slugs else -1


def selected(model: Model) -> Agent | None:
    """The selected row."""
    return next((a for a in rows(model) if a.slug == model.selected), None)


def reselect(before: Model, after: Model) -> Model:
    """`after` with a row selected: the same bottle, or the one that took its place."""
    now = rows(after)
    if at(after, now) >= 0:
        return after
    if not now:
        return replace(after, selected="", activity=(), activity_of="", activity_back=0)
    index = min(max(at(before), 0), len(now) - 1)
    return choose(after, now[index].slug)


def choose(model: Model, slug: str) -> Model:
    """That row selected; Activity begins anew when it is another bottle's."""
    if slug == model.selected:
        return model
    return replace(model, selected=slug, activity=(), activity_of="", activity_back=0)


def fresh_home(model: Model) -> bool:
    """Whether there is no manifest at all, so that `init` is offered."""
    c = model.catalog
    return c is not None and not (c.agents or c.bottles or c.broken)


def available(model: Model) -> tuple[BackendInfo, ...]:
    """The backends that can be used here."""
    return tuple(b for b in model.backends or () if b.available.ok)


def default_backend(model: Model) -> str:
    """The backend chosen by flag or variable, else the last used, else the first that works, else ""."""
    if model.options.backend:
        return model.options.backend
    names = [b.name for b in available(model)]
    if model.last and model.last.backend in names:
        return model.last.backend
    return names[0] if names else ""


def default_spec(model: Model, agent: str = "") -> LaunchSpec:
    """The spec that a new flow starts with: flags, else the last launch's choices, else the defaults."""
    folder = model.folder or model.options.cwd
    # what was chosen for one folder says nothing about another
    last = model.last.workspace if model.last and model.last.cwd == folder else WorkspaceMode.COPY
    mode = model.options.workspace or last
    if model.folder is None and model.options.cwd_is_private:
        mode = WorkspaceMode.NONE
    return LaunchSpec(
        agent=agent,
        backend=default_backend(model),
        cwd=folder,
        workspace=mode,
        remote_control=model.options.remote_control,
    )


def items(model: Model, picker: Picker) -> tuple[Item, ...]:
    """The rows of a picker that match what was typed."""
    match picker.kind:
        case "agent":
            every = agent_items(model)
        case "backend":
            every = tuple(
                Item(b.name, b.strength)
                if b.available.ok
                else Item(b.name, "", b.available.detail or "it cannot be used here", b.available.fix)
                for b in model.backends or ()
            )
        case "workspace":
            every = (
                Item("copy", f"the agent works on a copy of {picker.spec.cwd}; bring it back with D"),
                Item("bind", f"the agent writes into {picker.spec.cwd} itself"),
                Item("none", "no folder from outside"),
            )
    needle = picker.filter.lower()
    return tuple(i for i in every if needle in i.key.lower())


def agent_items(model: Model) -> tuple[Item, ...]:
    """Every agent of the catalog by name, with how many run; broken ones with their error."""
    catalog = model.catalog
    if catalog is None:
        return ()
    running = Counter(a.name for a in model.agents or () if a.state in ("running", "starting", "done"))
    running.update(x.name for x in model.launches)
    errors = {b.name: str(b.error) for b in catalog.broken if b.kind == "bottle"}
    whole = {b.name for b in catalog.bottles}
    out: list[Item] = []
    for agent in catalog.agents:
        words = [f"({running[agent.name]} running)"] if running[agent.name] else []
        if agent.source == "repository":
            words.append("from this repository" + (", in place of the one in HOME" if agent.shadows else ""))
        why = "" if agent.bottle in whole else errors.get(agent.bottle, f"there is no bottle {agent.bottle}")
        out.append(Item(agent.name, " ".join([agent.bottle, *words]), why))
    out += [Item(b.name, "", str(b.error)) for b in catalog.broken if b.kind == "agent"]
    used = {a.bottle for a in catalog.agents}
    out += [Item(f"bottle {name}", "", why) for name, why in errors.items() if name not in used]
    return tuple(sorted(out, key=lambda i: i.key))


def likely_agent(model: Model) -> str:
    """The agent that the picker's cursor starts on: the last used, else the first that can start; "" if not known."""
    if model.catalog is None:
        return ""
    shown = agent_items(model)
    whole = [i.key for i in shown if not i.blocked]
    if model.last and model.last.agent in whole:
        return model.last.agent
    if model.suggested in whole:
        return model.suggested or ""
    if model.suggested is None and whole and not (model.backends is not None and not default_backend(model)):
        return ""
    return next(iter(whole or [i.key for i in shown]), "")


def picker_at(picker: Picker, shown: tuple[Item, ...]) -> int:
    """The index of the row under the picker's cursor, -1 when there is none."""
    return next((i for i, item in enumerate(shown) if item.key == picker.cursor), -1)


def activity(model: Model) -> tuple[Activity | Audited | Note, ...]:
    """The lines of Activity, oldest first: the selected bottle's, and the dashboard's own."""
    lines: list[Activity | Audited | Note] = []
    if model.activity_of == model.selected:
        lines += model.activity
    lines += [n for n in model.notes if n.slug in ("", model.selected)]
    return tuple(sorted(lines, key=lambda line: line.time))
