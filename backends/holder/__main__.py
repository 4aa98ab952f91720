"""The holder's command line: attach to a bottle, ask its holder, or hold a command."""

from __future__ import annotations

import json
import os
import signal
import sys

USAGE = """usage: python -I -m backends.holder attach SOCKET [--pane] [--detach-key ctrl-q|none]
       python -I -m backends.holder request SOCKET JSON
       python -I -m backends.holder run SOCKET [--resume JSON-LIST] -- ARGV...
"""


class UsageError(Exception):
    """What is wrong with the command line, in one line."""


def main(argv: list[str]) -> int:
    """Runs one command and gives its exit status; errors are one line on stderr."""
    # Imports stand where they are needed: a client's start-up is part of every attach.
    from backends.holder.client import ClientError

    try:
        match argv:
            case ["attach", path, *options]:
                return _attach(path, options)
            case ["request", path, text]:
                return _request(path, text)
            case ["run", path, "--", *command] if command:
                return _run(path, command, [])
            case ["run", path, "--resume", resume, "--", *command] if command:
                return _run(path, command, _argv(resume))
        raise UsageError("unknown or incomplete command")
    except UsageError as error:
        sys.stderr.write(f"bottle holder: {error}\n{USAGE}")
        return 2
    except ClientError as error:
        sys.stderr.write(f"bottle holder: {error}\n")
        return error.status
    except OSError as error:
        sys.stderr.write(f"bottle holder: {error.strerror or error}: {error.filename or argv[1]}\n")
        return 1


def _attach(path: str, options: list[str]) -> int:
    from backends.holder.client import attach

    pane = False
    detach: str | None = "q"
    while options:
        match options:
            case ["--pane", *options]:
                pane = True
            case ["--detach-key", "none", *options]:
                detach = None
            case ["--detach-key", key, *options]:
                detach = key.removeprefix("ctrl-")
                if not key.startswith("ctrl-") or len(detach) != 1 or detach not in "abcdefghijklmnopqrstuvwxyz\\]^_":
                    raise UsageError(f"--detach-key {key}: want none, or ctrl- and a letter or one of \\ ] ^ _")
            case _:
                raise UsageError(f"unknown option {options[0]}")
    return attach(path, pane=pane, detach=detach)


def _request(path: str, text: str) -> int:
    from backends.holder.client import request

    try:
        asked = json.loads(text)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise UsageError('a request is a JSON object, for example \'{"op":"status"}\'')
    answer = request(path, asked)
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0 if answer.get("ok") is True else 1


def _argv(text: str) -> list[str]:
    try:
        words = json.loads(text)
    except ValueError:
        words = None
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise UsageError('--resume wants a JSON list of words, for example \'["bash", "-l"]\'')
    return words


def _run(path: str, command: list[str], resume: list[str]) -> int:
    from backends.holder.server import Holder, fixed
    from backends.holder.socketpath import bind

    # Before anybody can see the socket, and take the holder for up: a hang-up never ends it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    listener = bind(path, 0o600)
    try:
        Holder(listener, fixed(command, resume), dict(os.environ), os.getuid()).run()
    finally:
        os.unlink(path)  # noqa: PTH108
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
