"""Keys: a bound key to its action, a refused one to its reason, a typed character to the text it belongs to."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from botbottle_tui.core.action import Action, Binding
from botbottle_tui.core.body import height, last_scroll
from botbottle_tui.core.effect import Apply, Quit, Stop
from botbottle_tui.core.keymap import key_name, resolve, typing
from botbottle_tui.core.lists import activity, choose, items, picker_at, reselect, rows
from botbottle_tui.core.lists import at as row_at
from botbottle_tui.core.model import SMALLEST, Model, Pane, Step, asked, pop, push, say, top
from botbottle_tui.core.overlay import (
    Batch,
    ChangesView,
    Choice,
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
from botbottle_tui.core.refusals import no_quit
from botbottle_tui.core.text import clean
from botbottle_tui.core.update import agents, cleanup, home, inbox, launch, rules, work

FAR = 1_000_000


def pressed(model: Model, key: str) -> Step:
    """A key, where the keys go now."""
    if (model.size[0] < SMALLEST[0] or model.size[1] < SMALLEST[1]) and (key != "q" or model.overlays):
        return model, ()  # nobody sees what it would do
    if key in ("begin paste", "end paste"):
        return replace(model, pasting=key == "begin paste"), ()
    if model.pasting and (not typing(model) or len(key) > 1):
        return model, ()  # pasted text is text: it presses no key
    model = replace(model, toast=None)
    binding = resolve(model, key) if not model.pasting else None
    if binding is None:
        if typing(model):
            return typed(model, lambda text: text + key) if len(key) == 1 and key.isprintable() else (model, ())
        return say(model, f"{clean(key_name(key))} does nothing here; {_way_out(model)}"), ()
    if reason := binding.blocked(model):
        return say(_remembered(model, binding), reason, error=True), ()
    return act(model, binding, key)


def _remembered(model: Model, binding: Binding) -> Model:
    """An Enter that came before the agent picker knew where its cursor goes is not lost."""
    match model.overlays:
        case (*_, Picker(kind="agent", cursor="", filter="") as picker) if binding.action is Action.CHOOSE:
            return top(model, replace(picker, entered=True))
    return model


def _way_out(model: Model) -> str:
    return "Esc leaves" if model.overlays else "? shows the keys"


def act(model: Model, binding: Binding, key: str) -> Step:
    """What a key that is not refused does."""
    match binding.action:
        case Action.NEW | Action.NEW_OPTIONS:
            return launch.begin(model, options=binding.action is Action.NEW_OPTIONS)
        case Action.CLEANUP:
            return cleanup.plan(model)
        case Action.NEXT_PANE:
            panes = list(Pane)
            return replace(model, focus=panes[(panes.index(model.focus) + 1) % len(panes)]), ()
        case Action.HELP:
            return push(model, Help()), ()
        case Action.INIT:
            return home.init(model)
        case Action.REFRESH:
            return home.refresh(model)
        case Action.QUIT:
            return quit_now(model)
        case Action.LEAVE:
            return leave(model), ()
        case Action.UP:
            return move(model, -1), ()
        case Action.DOWN:
            return move(model, 1), ()
        case Action.PAGE_UP:
            return move(model, -_page(model)), ()
        case Action.PAGE_DOWN:
            return move(model, _page(model)), ()
        case Action.FIRST:
            return move(model, -FAR), ()
        case Action.LAST:
            return move(model, FAR), ()
        case Action.JUMP:
            return jump(model, int(key) - 1), ()
        case Action.OPEN:
            return agents.open_bottle(model, model.selected)
        case Action.STOP:
            return agents.ask_stop(model)
        case Action.CHANGES:
            return work.look(model)
        case Action.FILTER:
            return replace(model, filtering=True), ()
        case Action.CHOOSE:
            return chosen(model)
        case Action.ERASE:
            return typed(model, lambda text: text[:-1])
        case Action.ERASE_ALL:
            return typed(model, lambda text: "")
        case Action.LAUNCH:
            return launch.confirmed(model)
        case Action.MODE:
            return launch.next_mode(model)
        case Action.BACKEND:
            return launch.next_backend(model)
        case Action.FOLDER:
            return launch.edit_folder(model), ()
        case Action.TEXTS:
            return clamped(launch.toggle_texts(model)), ()
        case Action.RECHECK:
            return launch.recheck(model)
        case Action.ANSWER:
            return answer(model, key)
        case Action.EXPORT:
            return work.export(model)
        case Action.APPLY:
            return work.ask_apply(model), ()
        case Action.NEXT_WAITING:
            return inbox.next_waiting(model), ()
        case Action.REVIEW:
            return inbox.review(model)
        case Action.MARK:
            return inbox.mark(model), ()
        case Action.APPROVE:
            return inbox.approve(model)
        case Action.APPROVE_LASTING:
            return inbox.approve_lasting(model)
        case Action.REPLY:
            return inbox.reply(model)
        case Action.REJECT:
            return inbox.reject(model)
        case Action.MODIFY:
            return inbox.edit(model)
        case Action.EDIT_ROUTES:
            return rules.edit(model, "routes")
        case Action.EDIT_POLICY:
            return rules.edit(model, "pipelock")
        case Action.EDIT_AGAIN:
            return rules.edit_again(model)
        case Action.CHANGE_RULES:
            return rules.change(model)
        case Action.SWEEP:
            return cleanup.sweep(model)
        case _:
            assert_never(binding.action)


def quit_now(model: Model) -> Step:
    """Ends the dashboard, after a question when something would be interrupted."""
    if not (why := no_quit(model)):
        return asked(model, Quit())
    lines = (f"{why}: quitting now may interrupt it.", "Bottles that run go on in any case.")
    return push(model, Confirm("Quit now?", lines, (Choice("y", "quit", Quit()),))), ()


def leave(model: Model) -> Model:
    """One step back: out of a text, an overlay, a filter, a pane."""
    if not model.overlays:
        if model.filter or model.filtering:
            return reselect(model, replace(model, filter="", filtering=False))
        return replace(model, focus=Pane.AGENTS, activity_back=0)
    match model.overlays[-1]:
        case Picker(filter=text) as picker if text:
            return launch.filtered(model, replace(picker, filter=""))
        case Preflight(folder=str()) as flight:
            return top(model, replace(flight, folder=None))
        case _:
            return pop(model)


def chosen(model: Model) -> Step:
    """Enter where something is typed or picked."""
    if not model.overlays:
        return replace(model, filtering=False), ()
    match model.overlays[-1]:
        case Picker() as picker:
            return launch.picked(model, picker)
        case Preflight() as flight:
            return launch.use_folder(model, flight)
        case Typed() as line:
            return inbox.said(model, line)
        case _:
            return model, ()


def answer(model: Model, key: str) -> Step:
    """An answer to a question: a typed value, or the choice of that key."""
    match model.overlays[-1]:
        case Prompt() as prompt:
            return launch.given(model, prompt)
        case Confirm(choices=choices):
            effect = next(c.effect for c in choices if c.key == key)
            model = pop(model)
            match effect:
                case Stop():
                    return agents.stop(model, effect)
                case Apply() | Quit():
                    return asked(model, effect)
                case _:
                    assert_never(effect)
        case _:
            return model, ()


def typed(model: Model, edit: launch.Edit) -> Step:
    """The text under the cursor, edited."""
    if not model.overlays:
        return reselect(model, replace(model, filter=edit(model.filter))), ()
    match model.overlays[-1]:
        case Picker() as picker:
            return launch.filtered(model, replace(picker, filter=edit(picker.filter))), ()
        case Preflight(folder=str() as folder) as flight:
            return top(model, replace(flight, folder=edit(folder))), ()
        case Prompt() as prompt:
            return top(model, replace(prompt, text=edit(prompt.text))), ()
        case Typed() as line:
            return top(model, replace(line, text=edit(line.text))), ()
        case _:
            return model, ()


def jump(model: Model, index: int) -> Model:
    """To a row by its number."""
    shown = rows(model)
    if index >= len(shown):
        return say(model, f"there is no row {index + 1}")
    return choose(model, shown[index].slug)


def move(model: Model, by: int) -> Model:
    """The cursor or the text of what has the keys, `by` rows down."""
    if not model.overlays:
        return _move_in_pane(model, by)
    match model.overlays[-1]:
        case Picker() as picker:
            shown = items(model, picker)
            index = max(0, min(picker_at(picker, shown) + by, len(shown) - 1))
            return top(model, replace(picker, cursor=shown[index].key)) if shown else model
        case Review() as dialog if dialog.question and abs(by) == 1:
            return inbox.choose(model, dialog, by)
        case _:
            return _scrolled(model, by)


def _move_in_pane(model: Model, by: int) -> Model:
    if model.focus is Pane.AGENTS or model.filtering:
        shown = rows(model)
        index = max(0, min(row_at(model, shown) + by, len(shown) - 1))
        return choose(model, shown[index].slug) if shown else model
    if model.focus is Pane.ACTIVITY:
        most = max(0, len(activity(model)) - 1)
        return replace(model, activity_back=max(0, min(model.activity_back - by, most)))
    return inbox.move(model, by)


def _page(model: Model) -> int:
    return height(model) if model.overlays else max(1, model.size[1] // 3)


def clamped(model: Model) -> Model:
    """The model with the top overlay scrolled no further than it goes, after its size or text changed."""
    return _scrolled(model, 0) if model.overlays else model


def _scrolled(model: Model, by: int) -> Model:
    match model.overlays[-1]:
        case (
            Preflight()
            | Help()
            | ChangesView()
            | Cleanup()
            | Review()
            | Lasting()
            | Batch()
            | Rules()
            | Failure() as overlay
        ):
            scroll = max(0, min(overlay.scroll + by, last_scroll(model, overlay)))
            return top(model, replace(overlay, scroll=scroll))
        case _:
            return model
