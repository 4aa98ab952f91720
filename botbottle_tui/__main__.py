"""Reads the command line, composes the parts, runs, and turns errors into exit codes."""

from __future__ import annotations

import importlib
import os
import sys

from botbottle_tui.cli import parser


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("bot-bottle")


def main(argv: list[str] | None = None) -> int:
    """0 done, 1 failed, 2 refused or wrong use; `start` ends with the status of what it ran."""
    words = sys.argv[1:] if argv is None else argv
    split = words.index("--") if "--" in words else len(words)
    # `--cwd AGENT` means the flag and then the agent; argparse would take the agent for the flag's value.
    words = [
        "--cwd=copy" if w == "--cwd" and i < split and words[i + 1 : i + 2] not in (["copy"], ["bind"]) else w
        for i, w in enumerate(words)
    ]
    grammar = parser.build(version() if "--version" in words[:split] else "")
    args = grammar.parse_args(words[:split])
    args.command = words[split + 1 :]
    args.backend = getattr(args, "backend", "")
    if args.command and args.verb != "start":
        grammar.error("only start takes a command after --")
    if args.verb == "start":
        if split < len(words) and not args.command:
            grammar.error("no command after --")
        args.dry_run = args.dry_run or os.environ.get("BOT_BOTTLE_DRY_RUN") == "1"
    try:
        return _run(args)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141


def _run(args: object) -> int:
    verb = getattr(args, "verb", None)
    module, name = parser.VERBS[verb].split(":") if verb else ("botbottle_tui.cli.dashboard", "run")
    from backends.api import BackendError

    try:
        status = getattr(importlib.import_module(module), name)(args)
    except BackendError as error:
        from botbottle_tui.cli.out import fail

        fail(error.message, error.hint)
        return 1
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
