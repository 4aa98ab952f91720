"""Proposals: seen, reviewed, edited, decided one by one or several at once."""

from __future__ import annotations

from dataclasses import replace

from backends.api import Decision, Preview, Waiting
from botbottle_tui.core.effect import Decide, EditRequest, LoadPreviews, WatchProposals
from botbottle_tui.core.inbox import at, chosen, settled, targets, waiting
from botbottle_tui.core.model import Model, Pane, Step, ask, asked, note, push, say, top
from botbottle_tui.core.msg import Decided, PreviewsLoaded, ProposalsSeen, RequestEdited
from botbottle_tui.core.overlay import Batch, Lasting, Review, Typed
from botbottle_tui.core.review_text import title_of
from botbottle_tui.core.update.failed import failure
from sidecar_bundle.shared.proposal import Question

# The dialogs that a decision closes.
DECIDING = (Review, Lasting, Batch, Typed)


def seen(model: Model, msg: ProposalsSeen) -> Step:
    """What waits now; the next watch is asked for at once."""
    after = settled(model, replace(model, proposals=msg.waiting, mark=msg.mark, inbox_faults=msg.faults))
    known = {w.key for w in msg.waiting if model.proposals is None} | {w.key for w in waiting(model)}
    new = [w for w in msg.waiting if w.key not in known]
    if new:
        more = f", and {len(new) - 1} more" if len(new) > 1 else ""
        after = say(after, f"{new[0].slug} asks: {title_of(new[0])}{more}; w leads there")
    for fault in msg.faults:
        if fault not in model.inbox_faults:
            after = note(after, f"{fault.source}: {fault.message}", error=True)
    return asked(after, WatchProposals(msg.mark))


def mark(model: Model) -> Model:
    """The selected row marked or not, and on to the next."""
    one = chosen(model)
    if one is None:
        return model
    return move(replace(model, marked=model.marked ^ {one.key}), 1)


def move(model: Model, by: int) -> Model:
    """Another row selected."""
    rows = waiting(model)
    if not rows:
        return say(model, "nothing waits here")
    key = rows[max(0, min(at(model) + by, len(rows) - 1))].key
    return replace(model, proposal=key, visited=key)


def next_waiting(model: Model) -> Model:
    """To the selected bottle's from Agents, else to the row under the cursor; from one visited before, round and round.

    The row that took the place of one just answered was not visited: it waits, and is not skipped.
    """
    rows, key = waiting(model), model.proposal
    own = [w.key for w in rows if w.slug == model.selected] if model.focus is Pane.AGENTS else []
    if own and key not in own:
        key = own[0]
    elif model.focus is Pane.PROPOSALS and key == model.visited:
        key = rows[(at(model) + 1) % len(rows)].key
    elif model.focus is Pane.PROPOSALS:
        model = say(model, "the next that waits is under the cursor")
    return replace(model, focus=Pane.PROPOSALS, proposal=key, visited=key)


def review(model: Model) -> Step:
    """The selected proposal, and what it would change."""
    one = chosen(model)
    if one is None:
        return model, ()
    model, effect = ask(replace(model, visited=one.key), LoadPreviews((one.key,)))
    return push(model, Review(one, effect.seq)), (effect,)


def previews(model: Model, msg: PreviewsLoaded) -> Model:
    """The effects, for the dialog that asked; a dialog that was left needs them no more.

    From then on it shows the proposals that these are the effects of: what is decided, and not what the row said.
    """
    out = []
    another = False
    for o in model.overlays:
        if isinstance(o, Review) and o.seq == msg.seq:
            read = _read(o.waiting, msg.previews[0])
            another = read.proposal.payload != o.waiting.proposal.payload
            o = replace(o, waiting=read, preview=msg.previews[0], cursor=0 if another else o.cursor)
        elif isinstance(o, Lasting) and o.seq == msg.seq:
            o = replace(o, preview=msg.previews[0])
        elif isinstance(o, Batch) and o.seq == msg.seq:
            read_all = tuple(map(_read, o.waiting, msg.previews))
            another = [w.proposal.payload for w in read_all] != [w.proposal.payload for w in o.waiting]
            o = replace(o, waiting=read_all, previews=tuple(map(_in_batch, read_all, msg.previews)))
        out.append(o)
    model = replace(model, overlays=tuple(out))
    return say(model, "it changed meanwhile: look again", error=True) if another else model


def _read(one: Waiting, preview: Preview) -> Waiting:
    return preview.waiting or one


def _in_batch(one: Waiting, preview: Preview) -> Preview:
    question = isinstance(one.proposal.payload, Question)
    return replace(preview, refused="a question wants an answer: Enter on its row") if question else preview


def approve(model: Model) -> Step:
    """Approve: in a dialog what it shows, in the pane a dialog that shows it first."""
    match model.overlays:
        case (*_, Review(waiting=one, preview=Preview() as shown, text=text)):
            return decide(model, Decision(one.slug, one.proposal.id, "approve", shown.seen, text))
        case (*_, Lasting(decision=decision, preview=Preview() as shown)):
            return decide(model, replace(decision, manifest=shown.seen))
        case (*_, Batch(waiting=several, previews=tuple() as shown_all)):
            both = zip(several, shown_all, strict=True)
            return decide(
                model, *(Decision(w.slug, w.proposal.id, "approve", p.seen) for w, p in both if not p.refused)
            )
        case ():
            several = targets(model)
            model, effect = ask(model, LoadPreviews(tuple(w.key for w in several)))
            return push(model, Batch(several, effect.seq)), (effect,)
        case _:
            return model, ()


def approve_lasting(model: Model) -> Step:
    """The second diff: what would be written into the manifest."""
    match model.overlays:
        case (*_, Review(waiting=one, preview=Preview() as shown, text=text)):
            decision = Decision(one.slug, one.proposal.id, "approve", shown.seen, text)
            model, effect = ask(model, LoadPreviews((one.key,), text, lasting=True))
            return push(model, Lasting(decision, effect.seq)), (effect,)
        case _:
            return model, ()


def reply(model: Model) -> Step:
    """The answer to a question: the choice under the cursor, or one to type."""
    match model.overlays:
        case (*_, Review(waiting=one, preview=Preview() as shown) as dialog) if dialog.question:
            decision = Decision(one.slug, one.proposal.id, "approve", shown.seen)
            choices = dialog.question.choices
            if choices:
                return decide(model, replace(decision, answer=choices[dialog.cursor]))
            return push(model, Typed("answer", (decision,), tuple(dialog.question.question.splitlines()))), ()
        case _:
            return model, ()


def choose(model: Model, dialog: Review, by: int) -> Model:
    """Another choice of a question under the cursor."""
    last = len(dialog.question.choices) - 1 if dialog.question else 0
    return top(model, replace(dialog, cursor=max(0, min(dialog.cursor + by, last))))


def reject(model: Model) -> Step:
    """Asks for the reason; the agent reads it."""
    one = model.overlays[-1].waiting if model.overlays and isinstance(model.overlays[-1], Review) else None
    several: tuple[Waiting, ...] = (one,) if one else targets(model)
    lines = (
        *(f"{w.slug}: {title_of(w)}" for w in several[:12]),
        *([f"and {len(several) - 12} more"] if len(several) > 12 else []),
        "Why? The agent reads it; Enter rejects, with or without a reason.",
    )
    return push(model, Typed("reason", tuple(Decision(w.slug, w.proposal.id, "reject") for w in several), lines)), ()


def said(model: Model, typed: Typed) -> Step:
    """The line was typed."""
    text = typed.text.strip()
    key = "reason" if typed.purpose == "reason" else "answer"
    return decide(model, *(replace(d, **{key: text}) for d in typed.decisions))  # type: ignore[arg-type]


def decide(model: Model, *decisions: Decision) -> Step:
    """Back to the panes, and on with it."""
    kept = tuple(o for o in model.overlays if not isinstance(o, DECIDING))
    return asked(replace(model, overlays=kept, marked=frozenset()), Decide(decisions))


def decided(model: Model, msg: Decided) -> Model:
    """What was done (Activity reads it from the audit), and what was not and still waits."""
    if msg.done:
        model = say(model, msg.done[0] if len(msg.done) == 1 else f"{len(msg.done)} were answered")
    if msg.faults:
        told = "\n".join(f"{f.source}: {f.message}{f' ({f.hint})' if f.hint else ''}" for f in msg.faults)
        model = failure(model, "Not decided, still waiting", told)
    return model


def edit(model: Model) -> Step:
    """The request in the operator's editor."""
    match model.overlays:
        case (*_, Review(waiting=one, preview=Preview() as shown)):
            return asked(model, EditRequest(one.slug, one.proposal.id, shown.text))
        case _:
            return model, ()


def edited(model: Model, msg: RequestEdited) -> Model:
    """The edited request and its effect, in the review that it came from."""
    match model.overlays:
        case (*_, Review(waiting=one) as dialog) if one.key == (msg.slug, msg.id):
            if dialog.preview and dialog.preview.text == msg.preview.text:
                return say(model, "nothing was changed")
            shown = replace(dialog, waiting=_read(dialog.waiting, msg.preview), text=msg.preview.text)
            model = top(model, replace(shown, preview=msg.preview, scroll=0))
            if msg.preview.refused:
                return say(model, f"{msg.preview.refused}; m edits it again", error=True)
    return model
