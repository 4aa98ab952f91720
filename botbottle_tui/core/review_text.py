"""What the dialogs about proposals and rules say: who asks for what and why, and what a yes would change."""

from __future__ import annotations

from backends.api import Preview, Waiting
from botbottle_tui.core.inbox import WORDS
from botbottle_tui.core.model import Model
from botbottle_tui.core.overlay import Batch, Lasting, Review, Rules, Typed
from botbottle_tui.core.styled import Line, Style, line
from botbottle_tui.core.text import age, clean
from sidecar_bundle.shared.proposal import HeldRequest, PipelockRequest, what

LABEL = 9
MOST_LINES = 5_000


def diff_style(text: str) -> Style:
    """How a line of a unified diff looks."""
    if text.startswith(("diff ", "index ", "--- ", "+++ ", "new file", "deleted file", "old mode", "new mode")):
        return "bold"
    if text.startswith("@@"):
        return "hunk"
    return "add" if text.startswith("+") else "del" if text.startswith("-") else ""


def diff_lines(diff: str) -> list[Line]:
    """A diff, its hidden characters visible."""
    texts = diff.split("\n") if diff else []
    more = [line(f"… {len(texts) - MOST_LINES} more lines", "warn")] if len(texts) > MOST_LINES else []
    return [line(text, diff_style(text)) for text in texts[:MOST_LINES]] + more


def _field(label: str, text: str, style: Style = "") -> list[Line]:
    rows = text.splitlines() or [""]
    return [(("dim", f"{label if i == 0 else '':<{LABEL}}"), (style, clean(row))) for i, row in enumerate(rows)]


def review_lines(model: Model, review: Review) -> list[Line]:
    """One proposal, and what approving it would change."""
    one = review.waiting
    payload = one.proposal.payload
    out = _field("bottle", f"{one.slug}, {age(model.now - one.proposal.created)} ago", "bold")
    if one.error:
        out += _field("failed", one.error, "bad")
    if review.question:
        return out + _question(review)
    if isinstance(payload, PipelockRequest):
        out += _field("refused", payload.url)
    if isinstance(payload, HeldRequest):
        for finding in payload.findings:
            out += _field("carries", finding, "bad")
        out += _field("", "a sends the request as it is, this once; x refuses it")
    if review.text:
        out += _field("", "edited by you: this is what is approved, not what was asked for", "warn")
    out += [(), *preview_lines(review.preview, held=isinstance(payload, HeldRequest)), ()]
    # Last, because the agent wrote it and may make it long: what a yes does stays in sight.
    why = getattr(payload, "justification", "")
    return out + _field("why", why) if why else out


def _question(review: Review) -> list[Line]:
    assert review.question is not None
    out = [*_field("asks", review.question.question, "bold"), ()]
    for i, choice in enumerate(review.question.choices):
        mark = "> " if i == review.cursor else "  "
        out.append((("bold" if i == review.cursor else "", mark + clean(choice)),))
    return out if review.question.choices else [*out, line("Enter types an answer", "dim")]


def preview_lines(preview: Preview | None, *, held: bool = False) -> list[Line]:
    """The effect of a yes."""
    if preview is None:
        return [line("working out what would change…", "dim")]
    if preview.refused:
        return [line(f"cannot be done: {preview.refused}", "bad")]
    out = [line(preview.note, "warn")] if preview.note else []
    if held:
        return out
    return [*out, *(diff_lines(preview.diff) or ([] if out else [line("nothing changes", "dim")]))]


def lasting_lines(lasting: Lasting) -> list[Line]:
    """What would be written into the manifest."""
    said = line("It is allowed now, and written into the manifest for every later start:", "dim")
    return [said, *preview_lines(lasting.preview)]


def batch_lines(batch: Batch) -> list[Line]:
    """Each proposal with its effect."""
    out: list[Line] = []
    previews = batch.previews or (None,) * len(batch.waiting)
    for one, preview in zip(batch.waiting, previews, strict=True):
        held = isinstance(one.proposal.payload, HeldRequest)
        out += [line(f"{one.slug}: {title_of(one)}", "bold"), *preview_lines(preview, held=held), ()]
    return out


def batch_status(batch: Batch) -> Line:
    """How many of them one yes approves."""
    if batch.previews is None:
        return line("working out what would change…", "dim")
    good = sum(not p.refused for p in batch.previews)
    if good < len(batch.previews):
        return line(f"y approves {good} of {len(batch.previews)}; the others cannot be, and wait on", "bold")
    return line(f"y approves {'this one' if good == 1 else f'these {good}'}", "bold")


def rules_lines(rules: Rules) -> list[Line]:
    """What edited rules would change."""
    return preview_lines(rules.preview)


def typed_lines(typed: Typed) -> list[Line]:
    """What is asked."""
    return [line(x) for x in typed.lines]


def title_of(one: Waiting) -> str:
    """A proposal in a line."""
    return f"{WORDS[one.proposal.kind]} {what(one.proposal.payload)}"
