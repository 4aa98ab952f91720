"""A mitmproxy with only the parts that egress needs, serving sockets that it is given or one port of its own."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import inspect
import logging
import socket
import sys
import types
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from sidecar_bundle.egress.ask import Inbox
from sidecar_bundle.egress.ca import ensure_pipelock_ca
from sidecar_bundle.egress.decide import shown
from sidecar_bundle.egress.dial import EgressLoop
from sidecar_bundle.egress.exhausted import end_if_exhausted
from sidecar_bundle.egress.names import refuse
from sidecar_bundle.egress.outlets import Outlets, Resolver
from sidecar_bundle.shared import layout
from sidecar_bundle.shared.activity_log import ActivityLog
from sidecar_bundle.shared.config import BundleConfig
from sidecar_bundle.shared.routes import find_route

MAX_CONNECTIONS = 512
# Where pipelock's connections arrive when it has no network of its own.
_OUTLETS = {"outlet-https": 443, "outlet-http": 80}


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

from sidecar_bundle.egress import chain, stream  # noqa: E402
from sidecar_bundle.egress.addon import Gate  # noqa: E402
from sidecar_bundle.egress.answers import Answers  # noqa: E402


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


def _direct(addons: Sequence[Any]) -> Callable[[Any], Awaitable[None]]:
    # mitmproxy's own asks every addon for every hook, and then again for one that tells of the first.
    calls: dict[str, list[Callable[..., Any]]] = {}

    async def handle(hook: Any) -> None:
        if hook.name not in calls:
            found = (getattr(addon, hook.name, None) for addon in addons)
            calls[hook.name] = [call for call in found if callable(call)]
        for call in calls[hook.name]:
            try:
                rest = call(*hook.args())
                if inspect.isawaitable(rest):
                    await rest
            except Exception:
                logging.getLogger(__name__).exception("hook %s failed", hook.name)

    return handle


class Server:
    """The proxy of one bottle. Must be made inside a running `EgressLoop`; serves nothing until told."""

    def __init__(self, state: str, ca_folder: str, upstream_ca: str | None, answers: str, dialer: str = "") -> None:
        logging.getLogger().addHandler(_Quiet(logging.WARNING))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, EgressLoop)
        self.gate = Gate(ActivityLog(state), Inbox(Path(state, layout.QUEUE_FOLDER), Path(answers)), self._end)
        # With no value to look for yet; what is large about the engine is there when they come.
        self.gate.protect_values({}, {})
        told = Answers(self.gate, self._handler)
        stream.install(told.broken)
        loop.allowlist, loop.dialer = self.gate.networks, dialer
        self._outlets = Outlets(self._known, loop.dial, lambda host, why: told.broken(host, 0, why))
        self.fault = ""
        self._servers: list[asyncio.AbstractServer] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._count = self._serial = 0
        self._configured = self._listening = False
        master_ = master.Master(options.Options())
        proxy = self._proxy = proxyserver.Proxyserver()
        addons = (core.Core(), proxy, next_layer.NextLayer(), tlsconfig.TlsConfig(), self.gate, told)
        master_.addons.add(*addons)
        master_.addons.handle_lifecycle = _direct(addons)
        master_.options.update(
            confdir=ca_folder,
            server=False,
            connection_strategy="lazy",
            rawtcp=False,
            http3=False,
            upstream_cert=False,
            ssl_insecure=False,
            ssl_verify_upstream_trusted_ca=chain.trust(ca_folder, upstream_ca, ensure_pipelock_ca(ca_folder)),
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

    def _known(self, host: str) -> bool:
        return find_route(self.gate.routes, host) is not None

    def _handler(self, client: Any) -> Any:
        return self._proxy.connections.get(client.id)

    def _end(self, client: Any) -> None:
        handler = self._handler(client)
        # A connection that is ending by itself has no transport any more.
        if handler and client in handler.transports:
            handler.close_connection(client)

    def configure(self, config: BundleConfig) -> None:
        """New rules, in force at once: also for what is open."""
        self.gate.configure_bottle(config.slug, config.routes, layout.PIPELOCK in config.daemons)
        self._outlets.drop()

    def serve(self, sockets: Mapping[str, Sequence[socket.socket]], tcp: Sequence[Any] | None) -> None:
        """Accepts from `sockets`, by name (they replace earlier ones), or from a port `(host, port)` of its own."""
        given = list(sockets.get(layout.EGRESS, ()))
        if not given and not self._listening and tcp:
            host, port = str(tcp[0]), int(tcp[1])
            dual = not host and socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if dual or ":" in host else socket.AF_INET
            given = [socket.create_server((host, port), family=family, dualstack_ipv6=dual, backlog=256)]
            if host:
                self._start(self._refuse_names(host, family))
        if given:
            self._listening = True
            old, self._servers = self._servers, []
            for server in old:
                server.close()
            for sock in given:
                self._start(self._accept(sock))
        ports = {port: sock for name, port in _OUTLETS.items() for sock in sockets.get(name, ())}
        if dns := sockets.get("outlet-dns"):
            self._start(self._outlets.serve(dns[0], ports))
        self.fault, self._configured = "", True

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _accept(self, sock: socket.socket) -> None:
        start = asyncio.start_unix_server if sock.family == socket.AF_UNIX else asyncio.start_server
        self._servers.append(await start(self._connected, sock=sock))

    async def _refuse_names(self, host: str, family: int) -> None:
        # Without an answer, whoever asks there waits for seconds. Where the port is not ours, only that is lost.
        with contextlib.suppress(OSError):
            loop = asyncio.get_running_loop()
            await loop.create_datagram_endpoint(lambda: Resolver(refuse), local_addr=(host, 53), family=family)

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
        self._outlets.close()
        self.gate.log.close()
