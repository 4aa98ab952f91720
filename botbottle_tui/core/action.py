"""What a key can mean, where, and what is said of it: the parts that the table of keys is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from botbottle_tui.core.model import Model
from botbottle_tui.core.refusals import never

Context = Literal[
    "main", "agents", "proposals", "filter", "picker", "preflight", "folder", "prompt", "confirm", "help", "changes",
    "cleanup", "review", "question", "lasting", "batch", "rules", "typed", "failure",
]  # fmt: skip


class Action(Enum):
    """What a key can mean."""

    NEW = "new"
    NEW_OPTIONS = "new-options"
    CLEANUP = "cleanup"
    NEXT_PANE = "next-pane"
    HELP = "help"
    INIT = "init"
    REFRESH = "refresh"
    QUIT = "quit"
    LEAVE = "leave"
    UP = "up"
    DOWN = "down"
    PAGE_UP = "page-up"
    PAGE_DOWN = "page-down"
    FIRST = "first"
    LAST = "last"
    JUMP = "jump"
    OPEN = "open"
    STOP = "stop"
    CHANGES = "changes"
    FILTER = "filter"
    CHOOSE = "choose"
    ERASE = "erase"
    ERASE_ALL = "erase-all"
    LAUNCH = "launch"
    MODE = "mode"
    BACKEND = "backend"
    FOLDER = "folder"
    TEXTS = "texts"
    RECHECK = "recheck"
    ANSWER = "answer"
    EXPORT = "export"
    APPLY = "apply"
    SWEEP = "sweep"
    NEXT_WAITING = "next-waiting"
    REVIEW = "review"
    MARK = "mark"
    APPROVE = "approve"
    APPROVE_LASTING = "approve-lasting"
    REPLY = "reply"
    REJECT = "reject"
    MODIFY = "modify"
    EDIT_ROUTES = "edit-routes"
    EDIT_POLICY = "edit-policy"
    EDIT_AGAIN = "edit-again"
    CHANGE_RULES = "change-rules"


@dataclass(frozen=True, slots=True)
class Binding:
    """`blocked` answers "" or why the key is refused now; `short` is its word in the footer, "" for none."""

    context: Context
    keys: tuple[str, ...]
    action: Action
    help: str
    blocked: Callable[[Model], str] = never
    short: str = ""
