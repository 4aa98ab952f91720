"""What git runs in a mirror before and after it takes a push: asks the gate, and says what the gate says."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

SOCKET_ENV = "GIT_GATE_SOCKET"
CONNECTION_ENV = "GIT_GATE_CONNECTION"
# Where git keeps the objects of a push until it is accepted.
QUARANTINE = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH")


def main() -> int:
    """`hook.py pre-receive|post-receive`; anything but a clear yes is a no."""
    # Byte for byte, and in lines as git has them: a name that is changed on its way here is another ref's.
    given = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").removesuffix("\n")
    updates = [line.split(" ", 2) for line in given.split("\n")]
    question: dict[str, Any] = {
        "hook": sys.argv[1],
        "connection": os.environ.get(CONNECTION_ENV, ""),
        "updates": updates,
        "quarantine": {name: os.environ[name] for name in QUARANTINE if name in os.environ},
    }
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(600)
            line.connect(os.environ[SOCKET_ENV])
            line.sendall(json.dumps(question).encode() + b"\n")
            with line.makefile("r", encoding="utf-8") as answers:
                for answer in map(json.loads, answers):
                    if "exit" in answer:
                        return int(answer["exit"])
                    sys.stderr.write(f"git-gate: {answer['say']}\n")
                    sys.stderr.flush()
    except (OSError, ValueError, KeyError):
        pass
    sys.stderr.write("git-gate: the gate ended while it looked at the push; nothing was taken, push again\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
