"""The egress daemon: makes the CA, takes configuration and sockets from init, and proxies for one bottle."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import gc
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

# Hundreds of modules follow, all to stay: collecting between them costs a fifth of the start.
gc.disable()

from sidecar_bundle.egress.ca import ensure_ca  # noqa: E402
from sidecar_bundle.shared import layout, wire  # noqa: E402

if TYPE_CHECKING:
    from sidecar_bundle.egress.serve import Server


class Channel:
    """The private line to init: JSON lines with sockets; its end means that init is gone."""

    def __init__(self, fd: int) -> None:
        self._sock = socket.socket(fileno=fd)
        self._decoder = wire.Decoder()
        self._fds: list[int] = []

    def fileno(self) -> int:
        """For the event loop."""
        return self._sock.fileno()

    def tell(self, **message: Any) -> None:
        """One message to init; init being gone is noticed by the reading side."""
        try:
            wire.send(self._sock, message)
        except OSError:
            return

    def read(self) -> list[tuple[dict[str, Any], list[socket.socket]]] | None:
        """Messages with their sockets; None at the end of the line."""
        data, fds = wire.receive(self._sock)
        self._fds += fds
        if not data:
            return None
        out = []
        for message in self._decoder.feed(data):
            count = int(message.get("fds", 0))
            taken, self._fds = self._fds[:count], self._fds[count:]
            out.append((message, [socket.socket(fileno=fd) for fd in taken]))
        return out


async def _main(channel: Channel, make_server: Any) -> int:
    import asyncio
    import signal

    from sidecar_bundle.shared.config import parse_config

    loop = asyncio.get_running_loop()
    server: Server = make_server()
    over = asyncio.Event()
    failed: list[Exception] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)

    def report(serial: int) -> None:
        state, detail = server.state()
        channel.tell(event="state", state=state, detail=detail, serial=serial)

    def take(message: dict[str, Any], sockets: list[socket.socket]) -> None:
        if "values" in message:
            server.gate.protect_values(message["values"], message.get("protect", {}))
        if "config" in message:
            server.configure(parse_config(message["config"]))
            names = message.get("listeners", [layout.EGRESS] * len(sockets))
            named = {name: [s for n, s in zip(names, sockets, strict=False) if n == name] for name in names}
            try:
                server.serve(named, message.get("tcp"))
            except OSError as error:
                server.fault = f"cannot listen: {error.strerror or error}"
        report(int(message.get("serial", 0)))

    def on_message() -> None:
        try:
            messages = channel.read()
            for message, sockets in messages or ():
                take(message, sockets)
        except Exception as error:
            # Half of the new rules may be in force: a fresh egress gets them whole.
            sys.stderr.write(f"what init says cannot be taken, so egress ends: {type(error).__name__}\n")
            failed.append(error)
            messages = None
        if messages is None:
            loop.remove_reader(channel.fileno())
            over.set()

    loop.add_reader(channel.fileno(), on_message)
    report(0)
    gc.freeze()
    gc.enable()
    await over.wait()
    await server.close()
    return 1 if failed else 0


def main() -> int:
    """Runs until SIGTERM or the end of init; 0 then, and 1 after what it could not take."""
    os.umask(0o077)
    channel = Channel(layout.CHANNEL_FD)
    os.set_inheritable(layout.CHANNEL_FD, False)
    state = os.environ.get(layout.STATE_ENV, layout.DEFAULT_STATE)
    folder = str(Path(state, layout.CA_FOLDER))
    try:
        channel.tell(event="ca", pem=ensure_ca(folder, os.environ.get(layout.SLUG_ENV, "")))
    except OSError as error:
        sys.stderr.write(f"cannot keep the CA in {folder}: {error.strerror}\n")
        return 1

    import asyncio

    from sidecar_bundle.egress.dial import EgressLoop
    from sidecar_bundle.egress.serve import Server

    upstream_ca = os.environ.get(layout.UPSTREAM_CA_ENV) or None
    answers = os.environ.get(layout.ANSWERS_ENV) or str(Path(state, layout.ANSWERS_FOLDER))
    dialer = os.environ.get(layout.DIALER_ENV, "")
    with asyncio.Runner(loop_factory=EgressLoop) as runner:
        return runner.run(_main(channel, lambda: Server(state, folder, upstream_ca, answers, dialer)))


if __name__ == "__main__":
    sys.exit(main())
