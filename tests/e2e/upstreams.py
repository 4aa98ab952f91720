"""The hosts of the example bottle and of the tests, as live TLS servers; each request becomes a line of a log."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections import UserList
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.fake_upstream import make_ca, make_leaf, upstream

# Address -> names; `other.example` lives, and no bottle names it.
SERVERS = {
    "203.0.113.10": ("pypi.org", "api.github.com"),
    "203.0.113.11": ("a.example",),
    "203.0.113.12": ("b.example",),
    "203.0.113.13": ("other.example",),
}
HOSTS = {name: address for address, names in SERVERS.items() for name in names}
LOG = "requests.jsonl"


class Written(UserList[dict[str, object]]):
    """Requests as lines of a file that another process reads."""

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        super().__init__()
        self.path = path
        self.names = names

    def append(self, item: dict[str, object]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({**item, "server": self.names[0]}) + "\n")


def seen(folder: Path) -> list[dict[str, Any]]:
    """Every request that arrived at any of them, with `server`, the first name of the one that it reached."""
    path = folder / LOG
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def prepare(folder: Path) -> Path:
    """Makes CA and certificates in `folder`; the CA's path."""
    ca = make_ca(folder)
    for names in SERVERS.values():
        make_leaf(folder, *names)
    return ca


def main(folder: Path) -> None:
    """Serves until it is killed. As the first process of its namespace it lets the kernel bury orphans."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with ExitStack() as stack:
        for address, names in SERVERS.items():
            server = stack.enter_context(
                upstream(address, 443, (folder / f"{names[0]}.pem", folder / f"{names[0]}.key"))
            )
            server.seen = Written(folder / LOG, names)  # type: ignore[assignment]
        print("ready", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
