"""What the dialogs say: the lines of each overlay, wrapped to its width, so that scrolling and painting agree."""

from __future__ import annotations

from functools import lru_cache

from backends.api import Changes, Leftover
from botbottle_tui.core.action import Context
from botbottle_tui.core.keymap import contexts, footer, key_names, sections
from botbottle_tui.core.model import Model, pop
from botbottle_tui.core.overlay import (
    Batch,
    ChangesView,
    Cleanup,
    Confirm,
    Failure,
    Help,
    Lasting,
    Overlay,
    Picker,
    Preflight,
    Prompt,
    Review,
    Rules,
    Typed,
)
from botbottle_tui.core.preflight_text import LABEL, preflight_lines, preflight_status
from botbottle_tui.core.review_text import LABEL as REVIEW_LABEL
from botbottle_tui.core.review_text import (
    batch_lines,
    batch_status,
    diff_style,
    lasting_lines,
    review_lines,
    rules_lines,
    title_of,
    typed_lines,
)
from botbottle_tui.core.styled import Line, line, wrapped
from botbottle_tui.core.text import clean, files

DIFF_LINES = 20_000
WIDEST = 104


def width(model: Model) -> int:
    """Columns inside a dialog."""
    return max(10, min(model.size[0] - 2, WIDEST) - 4)


def height(model: Model) -> int:
    """Rows inside a dialog that scroll: all but the footer, the border and what is pinned above."""
    pinned = len(head(model, model.overlays[-1])) if model.overlays else 0
    return max(1, model.size[1] - 2 - 2 - pinned)


def title(overlay: Overlay) -> str:
    """The dialog's title."""
    match overlay:
        case Picker(kind="agent"):
            return "New agent"
        case Picker(kind="backend"):
            return f"Backend for {clean(overlay.spec.agent)}"
        case Picker():
            return f"Workspace for {clean(overlay.spec.agent)}"
        case Preflight():
            return f"Start {clean(overlay.spec.agent)}?"
        case Prompt():
            return f"A value for {clean(overlay.questions[len(overlay.answers)].name)}"
        case Confirm() | Failure():
            return clean(overlay.title)
        case Help():
            return "Keys"
        case ChangesView():
            return f"Changes of {clean(overlay.slug)}"
        case Cleanup():
            return "Cleanup"
        case Review():
            return f"{'Question' if overlay.question else 'Proposal'} of {clean(overlay.waiting.slug)}"
        case Lasting():
            return f"For good: {clean(overlay.preview.file if overlay.preview else overlay.decision.slug)}"
        case Batch():
            return "Approve?"
        case Rules():
            return f"{'Routes' if overlay.what == 'routes' else 'Pipelock policy'} of {clean(overlay.slug)}"
        case Typed(purpose="reason"):
            return "Reject?"
        case Typed():
            return "Your answer"


def head(model: Model, overlay: Overlay) -> tuple[Line, ...]:
    """What stays in place above the lines that scroll."""
    match overlay:
        case Picker():
            return (line(f"> {overlay.filter}▏", "bold") if overlay.filter else line("type to filter", "dim"),)
        case Preflight():
            return tuple(wrapped(preflight_status(overlay), width(model)))
        case ChangesView(changes=Changes() as changes):
            state = "exported" if changes.exported else "not exported"
            text = f"{files(len(changes.files))} changed, {state}" if changes.files else "nothing was changed"
            return tuple(wrapped((line(text, "bold"),), width(model)))
        case Cleanup(dead=tuple() as found) if found:
            return tuple(wrapped((line(f"y removes these {len(found)}, all dead:", "bold"),), width(model)))
        case Batch():
            return tuple(wrapped((batch_status(overlay),), width(model)))
        case Typed():
            return tuple(wrapped((line(f"> {overlay.text}▏"),), width(model)))
        case Review() if not overlay.question:
            return tuple(wrapped((line(title_of(overlay.waiting), "bold"),), width(model)))[:2]
        case _:
            return ()


def body(model: Model, overlay: Overlay) -> tuple[Line, ...]:
    """The lines that scroll; a picker has rows instead."""
    columns = width(model)
    match overlay:
        case Picker():
            return ()
        case Preflight():
            return tuple(wrapped(preflight_lines(model, overlay), columns, LABEL))
        case Prompt():
            question = overlay.questions[len(overlay.answers)]
            lines = (
                line(question.text, "bold"),
                line(f"> {'•' * len(overlay.text)}▏"),
                line(f"({len(overlay.answers) + 1} of {len(overlay.questions)}; never shown, never written)", "dim"),
            )
            return tuple(wrapped(lines, columns))
        case Confirm():
            choices: tuple[Line, ...] = tuple((("key", f"{c.key}  "), ("", clean(c.label))) for c in overlay.choices)
            cancel: Line = (("key", "Esc"), ("", "  cancel"))
            return tuple(wrapped((*(line(x) for x in overlay.lines), (), *choices, cancel), columns))
        case Help():
            return help_lines(contexts(pop(model)), columns)
        case ChangesView():
            if overlay.changes is None:
                return (line("comparing the workspace…", "dim"),)
            return changes_lines(overlay.changes, columns)
        case Cleanup():
            return tuple(wrapped(cleanup_lines(overlay), columns))
        case Review():
            return tuple(wrapped(review_lines(model, overlay), columns, REVIEW_LABEL))
        case Lasting():
            return tuple(wrapped(lasting_lines(overlay), columns))
        case Batch():
            return tuple(wrapped(batch_lines(overlay), columns))
        case Rules():
            return tuple(wrapped(rules_lines(overlay), columns))
        case Typed():
            return tuple(wrapped(typed_lines(overlay), columns))
        case Failure():
            told = [line(x) for x in overlay.message.splitlines() or [""]]
            hint = [(), line(overlay.hint, "bold")] if overlay.hint else []
            return tuple(wrapped((*told, *hint), columns))


def last_scroll(model: Model, overlay: Overlay) -> int:
    """The furthest that the overlay scrolls: its last line at the bottom."""
    return max(0, len(body(model, overlay)) - height(model))


@lru_cache(maxsize=8)
def help_lines(first: tuple[Context, ...], columns: int) -> tuple[Line, ...]:
    out: list[Line] = []
    for heading, bindings in sections(first):
        out.append(line(heading, "bold"))
        out += [(("key", f"  {key_names(b):<17} "), ("", b.help)) for b in bindings]
        out.append(())
    marks = (
        "Marks: > the selected row, * the bottle in the pane beside, # marked, + new, ! an error, = a decision of yours"
    )
    return tuple(wrapped((*out, line(marks, "dim")), columns, 20))


@lru_cache(maxsize=4)
def changes_lines(changes: Changes, columns: int) -> tuple[Line, ...]:
    words = {"A": "added   ", "M": "changed ", "D": "deleted "}
    out: list[Line] = [line(changes.note, "warn")] if changes.note else []
    out += [(("bold", words.get(kind, clean(kind))), ("", clean(path))) for kind, path in changes.files]
    out.append(())
    patch = changes.patch.split("\n")
    out += [line(text, diff_style(text)) for text in patch[:DIFF_LINES]]
    if len(patch) > DIFF_LINES:
        out.append(line(f"… {len(patch) - DIFF_LINES} more lines: e exports all of it", "warn"))
    return tuple(wrapped(out, columns))


def cleanup_lines(view: Cleanup) -> list[Line]:
    if view.leftovers is None:
        return [line("looking for what dead bottles left behind…", "dim")]
    out = [_leftover(one) for one in view.dead] or [line("Nothing is left behind.")]
    if left := [one for one in view.leftovers if one.left]:
        out += [(), line("Left alone:", "bold"), *map(_leftover, left)]
    return out


def _leftover(one: Leftover) -> Line:
    return (
        ("dim", f"{one.backend}: "),
        ("bold", f"{one.kind} "),
        ("", clean(one.ident)),
        ("dim", clean(f" {_of(one)}")),
    )


def _of(leftover: Leftover) -> str:
    slug = f"of {leftover.slug}" if leftover.slug not in ("", leftover.ident) else ""
    return " ".join(x for x in (slug, leftover.detail, leftover.left) if x)


def hint(model: Model, columns: int) -> str:
    """The footer's line: as many keys as fit, and always the one that shows the others or leads out."""
    keys = [f"{key} {word}" for key, word in footer(model)]
    last = next((way for way in ("? help", "Esc leave") if way in keys), "")
    if last:
        keys.remove(last)
    out = last
    for i in range(len(keys), -1, -1):
        out = "  ".join([*keys[:i], last] if last else keys[:i])
        if len(out) <= columns:
            break
    return out
