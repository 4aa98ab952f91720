"""The command line's grammar; imports nothing of the program, so that `--help` is quick."""

from __future__ import annotations

import argparse

VERBS = {
    "start": "botbottle_tui.cli.start:run",
    "attach": "botbottle_tui.cli.bottles:attach",
    "stop": "botbottle_tui.cli.bottles:stop",
    "list": "botbottle_tui.cli.lists:run",
    "info": "botbottle_tui.cli.lists:info",
    "diff": "botbottle_tui.cli.bottles:diff",
    "export": "botbottle_tui.cli.bottles:export",
    "apply": "botbottle_tui.cli.bottles:apply",
    "init": "botbottle_tui.cli.care:init",
    "cleanup": "botbottle_tui.cli.care:cleanup",
    "doctor": "botbottle_tui.cli.care:doctor",
    "setup": "botbottle_tui.cli.care:setup",
}


def build(version: str) -> argparse.ArgumentParser:
    """The whole parser."""
    parser = argparse.ArgumentParser(
        prog="bottle-dash",
        description="Runs coding agents in bottles: sandboxes that hold nothing worth stealing.",
        epilog="Without a verb: the dashboard. BOT_BOTTLE_HOME moves ~/.bot-bottle; BOT_BOTTLE_BACKEND picks.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"bottle-dash {version}")
    _backend(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")

    def verb(name: str, help: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=help, description=help[:1].upper() + help[1:] + ".", allow_abbrev=False)

    start = verb("start", "start an agent; with -- ARGS run one command in a new bottle and end with its status")
    start.add_argument("agent")
    start.add_argument(
        "--cwd",
        nargs="?",
        const="copy",
        choices=("copy", "bind"),
        help="show the current folder inside: a copy (the default of --cwd) or the folder itself",
    )
    start.add_argument("--dry-run", action="store_true", help="stop after the preflight (or BOT_BOTTLE_DRY_RUN=1)")
    start.add_argument("--yes", action="store_true", help="do not ask")
    start.add_argument(
        "--repository-agent",
        action="store_true",
        help="agree, without being asked, to a repository's agent that replaces yours or takes credentials",
    )
    start.add_argument("--remote-control", action="store_true", help="pass remote control on to the agent")
    _backend(start)
    _json(start)
    attach = verb("attach", "show a bottle's terminal here; ctrl-q leaves it running")
    attach.add_argument("slug")
    stop = verb("stop", "stop bottles, whoever started them")
    stop.add_argument("slug", nargs="+")
    stop.add_argument("--yes", action="store_true", help="do not ask; changes not brought out are kept as a patch")
    stop.add_argument("--drop-changes", action="store_true", help="drop changes not brought out")
    listing = verb("list", "list agents, or with `active` live bottles: backend, slug, agent, services")
    listing.add_argument("what", nargs="?", choices=("available", "active"), default="available")
    _json(listing)
    info = verb("info", "show one agent's manifest")
    info.add_argument("agent")
    _json(info)
    for name, help in (
        ("diff", "print what an agent changed in its copy, as a patch"),
        ("export", "write what an agent changed as a patch file and print its path"),
        ("apply", "apply what an agent changed to the folder that was copied"),
    ):
        verb(name, help).add_argument("slug")
    verb("init", "copy the example bottles and agents into ~/.bot-bottle")
    cleanup = verb("cleanup", "remove what dead bottles left behind, after one yes")
    cleanup.add_argument("--dry-run", action="store_true", help="only show it")
    cleanup.add_argument("--yes", action="store_true", help="do not ask")
    _json(cleanup)
    _json(verb("doctor", "probe what is needed, by doing it, and print the fixes"))
    verb("setup", "build the sidecar bundle's environment ahead of the first launch")
    return parser


def _backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend", default=argparse.SUPPRESS, help="bubblewrap (the default), or another that is registered"
    )


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")
