"""A mitmproxy with only the parts that egress needs, serving sockets that it is given or one port of its own."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import asyncio
import importlib.util
import logging
import socket
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sidecar_bundle.egress.activity_log import ActivityLog
from sidecar_bundle.egress.decide import shown
from sidecar_bundle.egress.dial import EgressLoop
from sidecar_bundle.egress.exhausted import end_if_exhausted

MAX_CONNECTIONS = 512


def _skip_unused_addons() -> None:
    # The package's __init__ imports every addon with flask, ldap3 and more: half of a start. An empty package
    # of the same path lets the few that are needed be imported one by one.
    spec = importlib.util.find_spec("mitmproxy")
    assert spec and spec.submodule_search_locations
    package = types.ModuleType("mitmproxy.addons")
    package.__path__ = [str(Path(spec.submodule_search_locations[0], "addons"))]
    sys.modules.setdefault("mitmproxy.addons", package)


_skip_unused_addons()

from mitmproxy import master, options  # noqa: E402
from mitmproxy.addons import core, next_layer, proxyserver, tlsconfig  # noqa: E402
from mitmproxy.proxy.mode_servers import ServerInstance  # noqa: E402

from sidecar_bundle.egress import stream  # noqa: E402
from sidecar_bundle.egress.addon import Gate  # noqa: E402


class _Named:
    """A stream writer whose peer has an address even on a unix socket: mitmproxy wants tuples."""

    def __init__(self, writer: Any, number: int) -> None:
        self._writer, self._number = writer, number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As the writer's, with made-up socket names."""
        if name in ("peername", "sockname"):
            return ("127.0.0.1", self._number if name == "peername" else 0)
        return self._writer.get_extra_info(name, default)


class _Quiet(logging.Handler):
    """Warnings and errors as one line on standard error, without tracebacks and without a request's content."""

    def emit(self, record: logging.LogRecord) -> None:
        """One bounded line. None for a failed handshake: the activity log has it."""
        end_if_exhausted(record.exc_info and record.exc_info[1])
        if "TLS handshake failed" in record.getMessage():
            return
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        text = shown(" ".join(record.getMessage().split()), 300)
        sys.stderr.write(f"{record.levelname.lower()}: {text}{' (' + kind + ')' if kind else ''}\n")


class Server:
    """The proxy of one bottle. Must be made inside a running `EgressLoop`; serves nothing until told."""

    def __init__(self, state: str, ca_folder: str, upstream_ca: str | None) -> None:
        logging.getLogger().addHandler(_Quiet(logging.WARNING))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, EgressLoop)
        self.gate = Gate(ActivityLog(state))
        stream.install(self.gate.broken)
        loop.allowlist = self.gate.networks
        self.fault = ""
        self._servers: list[asyncio.AbstractServer] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._count = self._serial = 0
        self._configured = self._listening = False
        master_ = master.Master(options.Options())
        proxy = proxyserver.Proxyserver()
        master_.addons.add(core.Core(), proxy, next_layer.NextLayer(), tlsconfig.TlsConfig(), self.gate)
        master_.options.update(
            confdir=ca_folder,
            server=False,
            connection_strategy="lazy",
            rawtcp=False,
            http3=False,
            upstream_cert=False,
            ssl_insecure=False,
            ssl_verify_upstream_trusted_ca=upstream_ca,
        )
        master_.addons.get("tlsconfig").configure({"confdir"})
        proxy.is_running = True
        self._instance = ServerInstance.make("regular", proxy)
        self._master = master_

    def state(self) -> tuple[str, str]:
        """The daemon's state and its detail, as the control protocol names them."""
        if self.fault:
            return "backoff", self.fault
        if not self._configured:
            return "unconfigured", ""
        missing = self.gate.missing()
        return ("needs-credentials", " ".join(missing)) if missing else ("ready", "")

    def serve(self, sockets: Sequence[socket.socket], tcp: Sequence[Any] | None) -> None:
        """Accepts from `sockets` (given ones replace those before), or from a port `(host, port)` of its own."""
        if not sockets and not self._listening and tcp:
            host, port = str(tcp[0]), int(tcp[1])
            dual = not host and socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if dual or ":" in host else socket.AF_INET
            sockets = [socket.create_server((host, port), family=family, dualstack_ipv6=dual, backlog=256)]
        if sockets:
            self._listening = True
            old, self._servers = self._servers, []
            for server in old:
                server.close()
            for sock in sockets:
                task = asyncio.get_running_loop().create_task(self._accept(sock))
                self._starting.add(task)
                task.add_done_callback(self._starting.discard)
        self.fault, self._configured = "", True

    async def _accept(self, sock: socket.socket) -> None:
        start = asyncio.start_unix_server if sock.family == socket.AF_UNIX else asyncio.start_server
        self._servers.append(await start(self._connected, sock=sock))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._count >= MAX_CONNECTIONS:
            writer.close()
            return
        self._count += 1
        self._serial = self._serial % 65535 + 1
        unix = writer.get_extra_info("socket").family == socket.AF_UNIX
        try:
            await self._instance.handle_stream(reader, _Named(writer, self._serial) if unix else writer)
        finally:
            self._count -= 1

    async def close(self) -> None:
        """Stops accepting and ends open connections."""
        for server in self._servers:
            server.close()
        self.gate.log.close()
