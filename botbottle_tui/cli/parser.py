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
    "pin": "botbottle_tui.cli.pin:pin",
    "proposals": "botbottle_tui.cli.proposals:proposals",
    "approve": "botbottle_tui.cli.proposals:approve",
    "reject": "botbottle_tui.cli.proposals:reject",
    "routes": "botbottle_tui.cli.rules:routes",
    "audit": "botbottle_tui.cli.rules:audit",
    "build": "botbottle_tui.cli.build:run",
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
    ):
        verb(name, help).add_argument("slug")
    apply = verb("apply", "show what an agent changed and, after a yes, apply it to the folder that was copied")
    apply.add_argument("slug")
    apply.add_argument("--yes", action="store_true", help="do not ask")
    pin = verb("pin", "show the SSH host key of a bottle's git remote and, after a yes, write it into the manifest")
    pin.add_argument("bottle")
    pin.add_argument("remote", help="its Name, or its key under git.remotes")
    pin.add_argument("--fingerprint", metavar="SHA256:...", help="pin the key with this fingerprint, or none")
    pin.add_argument("--yes", action="store_true", help="do not ask; only together with --fingerprint")
    pin.add_argument("--replace", action="store_true", help="agree that another key, which is pinned already, goes")
    _json(verb("proposals", "list what waits for an answer: id, bottle, kind, seconds, what"))
    approve = verb("approve", "approve a proposal, after a look at what it changes")
    approve.add_argument("id", help="as `proposals` shows it; its first digits will do")
    approve.add_argument("--for-good", action="store_true", help="write it into the bottle's manifest too")
    approve.add_argument("--answer", metavar="TEXT", help="the answer to a question")
    approve.add_argument("--yes", action="store_true", help="do not ask")
    reject = verb("reject", "reject a proposal; the agent reads the reason")
    reject.add_argument("id")
    reject.add_argument("reason", nargs="*", default=[])
    routes = verb("routes", "show the live routes of a bottle, or change them while it runs")
    routes.add_argument("slug")
    change = routes.add_mutually_exclusive_group()
    change.add_argument("--edit", action="store_true", help="in $EDITOR")
    change.add_argument(
        "--set", metavar="FILE", help="to what this file holds (- is stdin), as `routes --json` shows it"
    )
    change.add_argument("--add", metavar="HOST[/PATH]", action="append", help="one more; may be repeated")
    change.add_argument("--remove", metavar="HOST", action="append", help="one less; may be repeated")
    routes.add_argument("--yes", action="store_true", help="do not ask")
    _json(routes)
    audit = verb("audit", "show every decision, or with --verify prove that none was changed, dropped or moved")
    audit.add_argument("--verify", action="store_true")
    _json(audit)
    build = verb(
        "build", "build ahead what starting these agents would build first: images, or the bundle's environment"
    )
    build.add_argument("agent", nargs="*")
    build.add_argument("--all", action="store_true", help="for every agent")
    build.add_argument("--pull", action="store_true", help="images anew, on base images as their registry has them now")
    build.add_argument("--no-cache", action="store_true", help="images anew, step by step")
    _backend(build)
    verb("init", "copy the example bottles and agents into ~/.bot-bottle")
    cleanup = verb("cleanup", "remove what dead bottles left behind, after one yes")
    cleanup.add_argument("--images", action="store_true", help="also images of bottles that no container uses")
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
