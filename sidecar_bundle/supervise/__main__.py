"""The supervise daemon: takes rules and a socket from init, and passes the agent's requests to the operator."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

# As in egress: hundreds of modules follow, all to stay.
gc.disable()

from sidecar_bundle.shared import layout, wire  # noqa: E402
from sidecar_bundle.shared.config import ConfigError  # noqa: E402
from sidecar_bundle.supervise.desk import Desk  # noqa: E402

# Names (`host:port`, with commas) by which containers reach this daemon.
HOSTS_ENV = "BOT_BOTTLE_SUPERVISE_HOSTS"


class _Lines(logging.Handler):
    """Warnings as one line on standard error, without tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        """One bounded line."""
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        text = " ".join(record.getMessage().split())[:300]
        sys.stderr.write(f"{record.levelname.lower()}: {text}{' (' + kind + ')' if kind else ''}\n")


def _socket(message: dict[str, Any], fds: list[int]) -> socket.socket | None:
    """The socket that came with the message, or one of its own where init says so; the last of several."""
    given = [socket.socket(fileno=fd) for fd in fds]
    for sock in given[:-1]:
        sock.close()
    if given:
        return given[-1]
    tcp = message.get("tcp")
    if not tcp:
        return None
    host = str(tcp[0])
    dual = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual or ":" in host else socket.AF_INET
    return socket.create_server((host, int(tcp[1])), family=family, dualstack_ipv6=dual, backlog=64)


async def _main(channel: socket.socket, desk: Desk) -> None:
    from sidecar_bundle.supervise.serve import Service

    loop = asyncio.get_running_loop()
    hosts = tuple(name.strip() for name in os.environ.get(HOSTS_ENV, "").split(",") if name.strip())
    service = Service(desk, hosts)
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    decoder = wire.Decoder()
    waiting: list[int] = []

    def report(state: str, detail: str = "", serial: int = 0) -> None:
        try:
            wire.send(channel, {"event": "state", "state": state, "detail": detail, "serial": serial})
        except OSError:
            over.set()

    def take(message: dict[str, Any]) -> None:
        count, serial = int(message.get("fds", 0)), int(message.get("serial", 0))
        fds = waiting[:count]
        del waiting[:count]
        try:
            if message.get("config") is not None:
                desk.configure(message["config"])
            if fds or not service.listening:
                sock = _socket(message, fds)
                if sock is None:
                    report("unconfigured", "no socket to listen on", serial)
                    return
                service.serve(sock)
            report("ready", "", serial)
        except (OSError, ConfigError) as error:
            report("backoff", f"cannot listen: {error.strerror}" if isinstance(error, OSError) else str(error), serial)

    def on_message() -> None:
        try:
            data, fds = wire.receive(channel)
            waiting.extend(fds)
            messages = decoder.feed(data)
        except (OSError, wire.WireError):
            data, messages = b"", []
        if not data:
            loop.remove_reader(channel)
            over.set()
        for message in messages:
            take(message)

    async with service.run():
        loop.add_reader(channel, on_message)
        report("unconfigured")
        gc.freeze()
        gc.enable()
        await over.wait()


def main() -> int:
    """Runs until SIGTERM or the end of init; 0 then."""
    os.umask(0o077)
    os.set_inheritable(layout.CHANNEL_FD, False)
    logging.getLogger().addHandler(_Lines(logging.WARNING))
    state = Path(os.environ.get(layout.STATE_ENV, layout.DEFAULT_STATE))
    answers = Path(os.environ.get(layout.ANSWERS_ENV) or state / layout.ANSWERS_FOLDER)
    try:
        desk = Desk(state, answers)
    except OSError as error:
        sys.stderr.write(f"cannot keep requests in {error.filename or state}: {error.strerror}\n")
        return 1
    try:
        with socket.socket(fileno=layout.CHANNEL_FD) as channel:
            asyncio.run(_main(channel, desk))
    except ImportError as error:
        sys.stderr.write(f"this Python has no MCP: {error}; name one in {layout.SUPERVISE_PYTHON_ENV}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
