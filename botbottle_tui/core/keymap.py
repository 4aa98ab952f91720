"""The one table of keys, and the dispatch, footer, help, Markdown and refusals made from it."""

from __future__ import annotations

from botbottle_tui.core import refusals as no
from botbottle_tui.core.action import Action, Binding, Context
from botbottle_tui.core.model import Model, Pane
from botbottle_tui.core.overlay import (
    Batch,
    ChangesView,
    Cleanup,
    Confirm,
    Failure,
    Help,
    Lasting,
    Picker,
    Preflight,
    Prompt,
    Review,
    Rules,
    Typed,
)


def _moves(context: Context, what: str) -> tuple[Binding, ...]:
    return (
        Binding(context, ("j", "down"), Action.DOWN, f"{what} down"),
        Binding(context, ("k", "up"), Action.UP, f"{what} up"),
        Binding(context, ("page down",), Action.PAGE_DOWN, f"{what} down a page"),
        Binding(context, ("page up",), Action.PAGE_UP, f"{what} up a page"),
        Binding(context, ("g", "home"), Action.FIRST, "to the first"),
        Binding(context, ("G", "end"), Action.LAST, "to the last"),
    )


def _leave(context: Context, what: str = "leave", *keys: str) -> Binding:
    return Binding(context, ("esc", *keys, "ctrl c"), Action.LEAVE, what, short="leave")


def _typing(context: Context) -> tuple[Binding, ...]:
    return (
        Binding(context, ("backspace",), Action.ERASE, "erase a character"),
        Binding(context, ("ctrl u",), Action.ERASE_ALL, "erase the text"),
    )


KEYMAP: tuple[Binding, ...] = (
    Binding("agents", ("enter", "o"), Action.OPEN, "open the bottle (attach)", no.no_open, "open"),
    Binding("agents", ("x",), Action.STOP, "stop the bottle, after a question", no.no_stop, "stop"),
    Binding("agents", ("D",), Action.CHANGES, "what the agent changed; export or apply it", no.no_changes, "changes"),
    Binding("agents", ("e",), Action.EDIT_ROUTES, "edit its routes while it runs", no.no_rules, "routes"),
    Binding("agents", ("p",), Action.EDIT_POLICY, "edit its pipelock policy", no.no_policy),
    Binding("agents", ("/",), Action.FILTER, "filter the rows", no.no_filter, "filter"),
    Binding("agents", tuple("123456789"), Action.JUMP, "to that row"),
    Binding("proposals", ("enter",), Action.REVIEW, "what it would change", no.no_proposal, "review"),
    Binding("proposals", ("a",), Action.APPROVE, "approve it, or all marked, after a look", no.no_proposal, "approve"),
    Binding("proposals", ("x",), Action.REJECT, "reject it, or all marked, with a reason", no.no_proposal, "reject"),
    Binding("proposals", (" ",), Action.MARK, "mark it, to answer several at once", no.no_proposal, "mark"),
    Binding("main", ("w",), Action.NEXT_WAITING, "to the next proposal that waits", no.no_waiting, "waiting"),
    Binding("main", ("n",), Action.NEW, "new agent", no.no_new, "new"),
    Binding("main", ("N",), Action.NEW_OPTIONS, "new agent, choosing backend and workspace", no.no_new),
    Binding("main", ("i",), Action.INIT, "write the example manifests", no.no_init, "init"),
    Binding("main", ("q", "ctrl c"), Action.QUIT, "quit; bottles go on", short="quit"),
    Binding("main", ("tab",), Action.NEXT_PANE, "next pane", short="pane"),
    *_moves("main", "move"),
    Binding("main", ("c",), Action.CLEANUP, "remove what dead bottles left behind", short="cleanup"),
    Binding("main", ("r",), Action.REFRESH, "read manifests and bottles again"),
    Binding("main", ("?",), Action.HELP, "this help", short="help"),
    Binding("main", ("esc",), Action.LEAVE, "clear the filter, back to Agents"),
    Binding("filter", ("enter",), Action.CHOOSE, "keep the filter", short="keep"),
    Binding("filter", ("up",), Action.UP, "move up"),
    Binding("filter", ("down",), Action.DOWN, "move down"),
    *_typing("filter"),
    _leave("filter", "clear the filter"),
    Binding("picker", ("enter",), Action.CHOOSE, "choose", no.no_choice, "choose"),
    Binding("picker", ("up", "ctrl p"), Action.UP, "move up"),
    Binding("picker", ("down", "ctrl n"), Action.DOWN, "move down"),
    Binding("picker", ("page up",), Action.PAGE_UP, "move up a page"),
    Binding("picker", ("page down",), Action.PAGE_DOWN, "move down a page"),
    Binding("picker", ("home",), Action.FIRST, "to the first"),
    Binding("picker", ("end",), Action.LAST, "to the last"),
    *_typing("picker"),
    _leave("picker", "clear what was typed, then leave"),
    Binding("preflight", ("enter",), Action.LAUNCH, "start the agent", no.no_launch, "start"),
    Binding("preflight", ("w",), Action.MODE, "workspace: copy, bind, none", short="workspace"),
    Binding("preflight", ("b",), Action.BACKEND, "backend: the next that can be used here", no.no_backend, "backend"),
    Binding("preflight", ("f",), Action.FOLDER, "edit the folder", no.no_folder, "folder"),
    Binding("preflight", ("v",), Action.TEXTS, "show or hide the text of the files", short="files"),
    Binding("preflight", ("r",), Action.RECHECK, "check again", short="recheck"),
    *_moves("preflight", "scroll"),
    _leave("preflight", "leave; nothing was touched", "q"),
    Binding("folder", ("enter",), Action.CHOOSE, "use this folder", no.no_such_folder, "use"),
    *_typing("folder"),
    _leave("folder", "keep the folder that was"),
    Binding("prompt", ("enter",), Action.ANSWER, "give this value", no.no_answer, "give"),
    *_typing("prompt"),
    _leave("prompt", "leave; nothing is kept"),
    Binding("confirm", ("y",), Action.ANSWER, "yes", no.no_yes, "yes"),
    Binding("confirm", ("k",), Action.ANSWER, "keep the changes as a patch, then stop", no.no_keep, "keep"),
    Binding("confirm", ("d",), Action.ANSWER, "drop the changes, then stop", no.no_drop, "drop"),
    _leave("confirm", "cancel", "n", "q"),
    *_moves("help", "scroll"),
    _leave("help", "leave", "q", "?"),
    Binding("changes", ("e",), Action.EXPORT, "write the changes as a patch", no.no_patch, "export"),
    Binding("changes", ("p",), Action.APPLY, "apply them to the folder, after a question", no.no_patch, "apply"),
    *_moves("changes", "scroll"),
    _leave("changes", "leave", "q"),
    Binding("cleanup", ("y",), Action.SWEEP, "remove all of it", no.no_sweep, "yes, remove"),
    *_moves("cleanup", "scroll"),
    _leave("cleanup", "leave; nothing is removed", "q"),
    Binding("review", ("a",), Action.APPROVE, "approve exactly this", no.no_approve, "approve"),
    Binding("review", ("m",), Action.MODIFY, "change it in your editor first", no.no_modify, "modify"),
    Binding("review", ("x",), Action.REJECT, "reject it, with a reason", short="reject"),
    Binding(
        "review", ("A",), Action.APPROVE_LASTING, "approve for good: in the manifest too", no.no_lasting, "for good"
    ),
    *_moves("review", "scroll"),
    _leave("review", "leave; it waits on", "q"),
    Binding("question", ("enter", "a"), Action.REPLY, "answer with this choice, or type one", no.no_approve, "answer"),
    Binding("question", ("x",), Action.REJECT, "do not answer, with a reason", short="reject"),
    *_moves("question", "move"),
    _leave("question", "leave; it waits on", "q"),
    Binding("lasting", ("y",), Action.APPROVE, "approve it and write this", no.no_lasting_yes, "yes, write it"),
    *_moves("lasting", "scroll"),
    _leave("lasting", "back", "q"),
    Binding("batch", ("y",), Action.APPROVE, "approve those that can be", no.no_batch_yes, "yes, approve"),
    *_moves("batch", "scroll"),
    _leave("batch", "leave; they wait on", "q"),
    Binding("rules", ("y",), Action.CHANGE_RULES, "change them now", no.no_rules_yes, "yes, change"),
    Binding("rules", ("m",), Action.EDIT_AGAIN, "edit again", short="edit again"),
    *_moves("rules", "scroll"),
    _leave("rules", "leave; nothing is changed", "q"),
    Binding("typed", ("enter",), Action.CHOOSE, "send this line", no.no_line, "send"),
    *_typing("typed"),
    _leave("typed", "back"),
    *_moves("failure", "scroll"),
    _leave("failure", "leave", "enter", "q", " "),
)

TITLES: dict[Context, str] = {
    "main": "Everywhere",
    "agents": "Agents",
    "proposals": "Proposals",
    "filter": "While filtering",
    "picker": "Choosing",
    "preflight": "Before a start",
    "folder": "Editing the folder",
    "prompt": "Asked for a value",
    "confirm": "Asked yes or no",
    "help": "Help",
    "changes": "Changes",
    "cleanup": "Cleanup",
    "review": "A proposal",
    "question": "A question of the agent",
    "lasting": "For good",
    "batch": "Approving several",
    "rules": "Changed rules",
    "typed": "Asked for a line",
    "failure": "An error",
}

NAMES = {
    "tab": "Tab", "enter": "Enter", "esc": "Esc", "up": "Up", "down": "Down", "page up": "PgUp", "page down": "PgDn",
    "home": "Home", "end": "End", "backspace": "Backspace", " ": "Space",
}  # fmt: skip


def contexts(model: Model) -> tuple[Context, ...]:
    """Where the keys go now, the nearest first."""
    if not model.overlays:
        if model.filtering:
            return ("filter",)
        if model.focus is Pane.PROPOSALS:
            return ("proposals", "main")
        return ("agents", "main") if model.focus is Pane.AGENTS else ("main",)
    match model.overlays[-1]:
        case Picker():
            return ("picker",)
        case Preflight(folder=None):
            return ("preflight",)
        case Preflight():
            return ("folder",)
        case Prompt():
            return ("prompt",)
        case Confirm():
            return ("confirm",)
        case Help():
            return ("help",)
        case ChangesView():
            return ("changes",)
        case Cleanup():
            return ("cleanup",)
        case Review() as review:
            return ("question",) if review.question else ("review",)
        case Lasting():
            return ("lasting",)
        case Batch():
            return ("batch",)
        case Rules():
            return ("rules",)
        case Typed():
            return ("typed",)
        case Failure():
            return ("failure",)


def resolve(model: Model, key: str) -> Binding | None:
    """The binding of a key where the keys go now."""
    for context in contexts(model):
        for binding in KEYMAP:
            if binding.context == context and key in binding.keys:
                return binding
    return None


def typing(model: Model) -> bool:
    """Whether a character that is no key is text."""
    return contexts(model)[0] in ("filter", "picker", "folder", "prompt", "typed")


def key_name(key: str) -> str:
    """A key as people write it."""
    return NAMES.get(key, key.replace("ctrl ", "Ctrl-"))


def key_names(binding: Binding) -> str:
    """The keys of a binding, `1-9` for the digits."""
    if binding.keys == tuple("123456789"):
        return "1-9"
    return ", ".join(key_name(k) for k in binding.keys)


def footer(model: Model) -> tuple[tuple[str, str], ...]:
    """(key, word) of what can be pressed now, the nearest context first; what is refused now is left out."""
    out = []
    for context in contexts(model):
        for b in KEYMAP:
            if b.context == context and b.short and not b.blocked(model):
                out.append((key_name(b.keys[0]), b.short))
    return tuple(out)


def sections(first: tuple[Context, ...] = ()) -> tuple[tuple[str, tuple[Binding, ...]], ...]:
    """The table by context, those of `first` before the others."""
    order = [*first, *(c for c in TITLES if c not in first)]
    return tuple((TITLES[c], tuple(b for b in KEYMAP if b.context == c)) for c in order)


def reference() -> str:
    """The keys as Markdown, for the README."""
    out: list[str] = []
    for title, bindings in sections():
        out += [f"**{title}**", "", "| key | what it does |", "|---|---|"]
        for b in bindings:
            keys = key_names(b) if b.keys[0] == "1" else ", ".join(f"`{key_name(k)}`" for k in b.keys)
            out.append(f"| {keys} | {b.help} |")
        out.append("")
    return "\n".join(out)
