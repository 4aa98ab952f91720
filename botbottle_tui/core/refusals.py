"""Why a key is refused now: each answers "" when it is not."""

from __future__ import annotations

from backends.api import WorkspaceMode
from botbottle_tui.core.effect import Apply, ChangeRules, Decide, EditRequest, EditRules, Export, Launch, Stop
from botbottle_tui.core.inbox import waiting
from botbottle_tui.core.lists import available, fresh_home, items, picker_at, selected
from botbottle_tui.core.model import Model, waiting_for
from botbottle_tui.core.overlay import (
    Batch,
    ChangesView,
    Cleanup,
    Confirm,
    Lasting,
    Picker,
    Preflight,
    Prompt,
    Review,
    Rules,
    Typed,
)
from sidecar_bundle.shared.proposal import HeldRequest, PipelockRequest, RouteRequest


def never(model: Model) -> str:
    """Never refused."""
    return ""


def _live(model: Model) -> str:
    agent = selected(model)
    if agent is None:
        return "no bottle is selected; n starts one"
    if any(x.slug == agent.slug for x in model.launches) or agent.state == "starting":
        return f"{agent.slug} is still starting"
    if waiting_for(model, Stop, slug=agent.slug):
        return f"{agent.slug} is being stopped"
    return ""


def no_open(model: Model) -> str:
    agent = selected(model)
    if (why := _live(model)) or agent is None:
        return why
    if agent.state == "lost":
        return f"{agent.slug} is gone{f' ({agent.detail})' if agent.detail else ''}; x clears it away"
    if agent.state == "foreign":
        return f"{agent.slug} has no record here, so it cannot be opened; x stops it"
    return ""


def no_stop(model: Model) -> str:
    return _live(model)


def no_changes(model: Model) -> str:
    agent = selected(model)
    if (why := _live(model)) or agent is None:
        return why
    return f"{agent.slug} has no record here, so nothing is known of its workspace" if agent.state == "foreign" else ""


def no_filter(model: Model) -> str:
    return "" if model.agents or model.launches else "there are no rows to filter"


def no_new(model: Model) -> str:
    return "there are no agents yet; i writes examples" if fresh_home(model) else ""


def no_init(model: Model) -> str:
    if model.catalog is None:
        return "the manifests are still being read"
    return "" if fresh_home(model) else "there are manifests already; bottle-dash init adds the missing examples"


def no_choice(model: Model) -> str:
    picker = model.overlays[-1]
    if not isinstance(picker, Picker):
        return ""
    if picker.kind == "agent" and model.catalog is None:
        return "the manifests are still being read"
    if picker.kind == "backend" and model.backends is None:
        return "the backends are still being looked at"
    shown = items(model, picker)
    if not shown:
        return f"nothing matches {picker.filter!r}" if picker.filter else "there is nothing to choose"
    index = picker_at(picker, shown)
    if index < 0:
        return "finding out which agents can start; or move to one"
    at = shown[index]
    return f"{at.blocked}; {at.fix}" if at.blocked and at.fix else at.blocked


def no_launch(model: Model) -> str:
    flight = model.overlays[-1]
    if not isinstance(flight, Preflight):
        return ""
    if flight.error:
        return f"cannot start: {flight.error}"
    if flight.prepared is None:
        return "the checks still run"
    failed = [c for c in flight.prepared.checks if not c.ok]
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        fix = f"; {failed[0].fix}" if failed[0].fix else ""
        return f"cannot start: {failed[0].name}: {failed[0].detail}{fix}{more}"
    return "" if flight.prepared.plan else "cannot start: there is no plan"


def no_backend(model: Model) -> str:
    flight = model.overlays[-1]
    if model.backends is None:
        return "the backends are still being looked at"
    now = flight.spec.backend if isinstance(flight, Preflight) else ""
    if any(b.name != now for b in available(model)):
        return ""
    why = (f"{b.name}: {b.available.detail}; {b.available.fix}" for b in model.backends if not b.available.ok)
    return f"no other backend can be used here ({'. '.join(why) or 'there is none'})"


def no_folder(model: Model) -> str:
    flight = model.overlays[-1]
    none = isinstance(flight, Preflight) and flight.spec.workspace is WorkspaceMode.NONE
    return "the workspace is none; w changes that" if none else ""


def no_such_folder(model: Model) -> str:
    flight = model.overlays[-1]
    empty = isinstance(flight, Preflight) and not (flight.folder or "").strip()
    return "type a folder; Esc keeps the one that was" if empty else ""


def no_answer(model: Model) -> str:
    prompt = model.overlays[-1]
    return "type the value; Esc leaves" if isinstance(prompt, Prompt) and not prompt.text else ""


def _choice(model: Model, key: str) -> str:
    confirm = model.overlays[-1]
    if not isinstance(confirm, Confirm) or any(c.key == key for c in confirm.choices):
        return ""
    keys = ", ".join(f"{c.key} {c.label}" for c in confirm.choices)
    return f"{key} is no answer here: {keys}; Esc cancels"


def no_yes(model: Model) -> str:
    return _choice(model, "y")


def no_keep(model: Model) -> str:
    return _choice(model, "k")


def no_drop(model: Model) -> str:
    return _choice(model, "d")


def no_patch(model: Model) -> str:
    view = model.overlays[-1]
    if not isinstance(view, ChangesView):
        return ""
    if view.changes is None:
        return "the workspace is still being compared"
    if not view.changes.files:
        return view.changes.note or "nothing was changed"
    if waiting_for(model, Export, Apply, slug=view.slug):
        return "that is under way"
    return ""


def no_sweep(model: Model) -> str:
    view = model.overlays[-1]
    if not isinstance(view, Cleanup):
        return ""
    if view.leftovers is None:
        return "still looking for leftovers"
    return "" if view.dead else "there is nothing to remove"


def no_waiting(model: Model) -> str:
    return "" if waiting(model) else "nothing waits for an answer"


def no_proposal(model: Model) -> str:
    return no_waiting(model) or _deciding(model)


def _deciding(model: Model) -> str:
    return "a decision is under way" if waiting_for(model, Decide) else ""


def _rules(model: Model) -> str:
    agent = selected(model)
    if (why := _live(model)) or agent is None:
        return why
    if agent.state in ("lost", "foreign"):
        return f"{agent.slug} has no rules here that could be changed"
    return "that is under way" if waiting_for(model, EditRules, EditRequest, ChangeRules) else ""


def no_rules(model: Model) -> str:
    return _rules(model)


def no_policy(model: Model) -> str:
    agent = selected(model)
    if (why := _rules(model)) or agent is None:
        return why
    return "" if "pipelock" in agent.services else f"pipelock does not run in {agent.slug}"


def no_approve(model: Model) -> str:
    view = model.overlays[-1]
    if not isinstance(view, Review):
        return ""
    if view.preview is None:
        return "still working out what would change"
    return f"cannot be approved: {view.preview.refused}" if view.preview.refused else _deciding(model)


def no_modify(model: Model) -> str:
    view = model.overlays[-1]
    if isinstance(view, Review) and view.preview is None:
        return no_approve(model)
    held = isinstance(view, Review) and isinstance(view.waiting.proposal.payload, HeldRequest)
    return "there is nothing to change in it: a or x answers it" if held else ""


def no_lasting(model: Model) -> str:
    view = model.overlays[-1]
    if isinstance(view, Review) and not isinstance(view.waiting.proposal.payload, RouteRequest | PipelockRequest):
        return "no manifest can keep that; a approves it"
    return no_approve(model)


def no_lasting_yes(model: Model) -> str:
    view = model.overlays[-1]
    if not isinstance(view, Lasting):
        return ""
    if view.preview is None:
        return "still working out what would be written"
    return f"{view.preview.refused}; Esc, then a approves it for this run" if view.preview.refused else ""


def no_batch_yes(model: Model) -> str:
    view = model.overlays[-1]
    if not isinstance(view, Batch):
        return ""
    if view.previews is None:
        return "still working out what would change"
    if all(p.refused for p in view.previews):
        return f"cannot be approved: {view.previews[0].refused}"
    return _deciding(model)


def no_rules_yes(model: Model) -> str:
    view = model.overlays[-1]
    refused = isinstance(view, Rules) and view.preview.refused
    return f"cannot be done: {refused}; m edits it again" if refused else ""


def no_line(model: Model) -> str:
    line = model.overlays[-1]
    empty = isinstance(line, Typed) and line.purpose == "answer" and not line.text.strip()
    return "type the answer; Esc leaves" if empty else ""


def no_quit(model: Model) -> str:
    """What a quit now would interrupt, "" when nothing; the key then asks first."""
    under_way = waiting_for(model, Launch, Stop, Apply, Decide, ChangeRules)
    if under_way is None:
        return ""
    words = {
        Launch: "a start",
        Stop: "a stop",
        Apply: "an apply",
        Decide: "a decision",
        ChangeRules: "a change of rules",
    }
    return words.get(type(under_way.effect), "work") + " is under way"
