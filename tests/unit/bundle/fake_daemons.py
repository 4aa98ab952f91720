"""The real init with daemons that only note what they are told, in `<state>/<name>.told`. Run by test_init.py."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from sidecar_bundle.shared import wire  # noqa: E402


def daemon(name: str, state: Path) -> None:
    """Answers each message with `ready` after noting it; begins late where `slow-<name>` is there."""
    channel = socket.socket(fileno=3)
    decoder = wire.Decoder()
    if name == "egress":
        wire.send(channel, {"event": "ca", "pem": "PEM"})
    if (state / f"slow-{name}").exists():
        time.sleep(2)
    inodes: list[int] = []
    while True:
        data, fds = wire.receive(channel)
        inodes += [os.fstat(fd).st_ino for fd in fds]
        if not data:
            return
        for message in decoder.feed(data):
            count = message["fds"]
            noted = {**message, "pid": os.getpid(), "inodes": inodes[:count], "env": dict(os.environ)}
            del inodes[:count]
            with (state / f"{name}.told").open("a") as file:
                file.write(json.dumps(noted) + "\n")
            wire.send(channel, {"event": "state", "state": "ready", "detail": name, "serial": message["serial"]})


if __name__ == "__main__":
    folder = Path(os.environ["BOT_BOTTLE_STATE"])
    if len(sys.argv) > 1:
        daemon(sys.argv[1], folder)
        sys.exit(0)

    from sidecar_bundle.init import __main__ as init

    for one in init.DAEMONS:
        stub = folder / f"{one}.py"
        again = f"sys.argv = [{__file__!r}, {one!r}]; runpy.run_path({__file__!r}, run_name='__main__')"
        stub.write_text(f"import runpy, sys\n{again}\n")
        init.DAEMONS[one] = str(stub)
    sys.exit(init.main())
