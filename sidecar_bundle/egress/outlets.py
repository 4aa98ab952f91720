"""Pipelock's way out where it has no network: egress answers its queries, accepts what it dials, and dials itself."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from sidecar_bundle.egress.names import Names

PIECE = 256 * 1024
MAX_CONNECTIONS = 512
_MAX_QUERY = 4096  # bytes of a DNS message that are looked at

# Host and port; answers a connected socket, or raises `OSError` with one line.
Dial = Callable[[str, int], Awaitable[socket.socket]]


class Outlets:
    """Serves the sockets that it is given until `close`. `report` takes host and reason of a failed dial."""

    def __init__(self, allowed: Callable[[str], bool], dial: Dial, report: Callable[[str, str], None]) -> None:
        self.names = Names(allowed)
        self._allowed = allowed
        self._dial = dial
        self._report = report
        self._dns: asyncio.DatagramTransport | None = None
        self._servers: list[asyncio.Server] = []
        self._open: dict[asyncio.Task[Any], str] = {}

    async def serve(self, dns: socket.socket, ports: dict[int, socket.socket]) -> None:
        """Answers queries on `dns` and accepts on the listening sockets of `ports`; new ones replace the old."""
        self.close()
        loop = asyncio.get_running_loop()
        dns.setblocking(False)
        self._dns, _ = await loop.create_datagram_endpoint(lambda: Resolver(self._answer), sock=dns)
        for port, sock in ports.items():
            accept = self._accepted(port)
            self._servers.append(await asyncio.start_server(accept, sock=sock, limit=PIECE))

    def _answer(self, query: bytes) -> bytes:
        return self.names.answer(query, time.monotonic())

    def drop(self) -> None:
        """Ends connections to hosts that no route names any more."""
        for task, name in list(self._open.items()):
            if not self._allowed(name):
                task.cancel()

    def close(self) -> None:
        """Stops answering and accepting; what is open ends."""
        if self._dns is not None:
            self._dns.close()
            self._dns = None
        for server in self._servers:
            server.close()
        self._servers.clear()
        for task in self._open:
            task.cancel()

    def _accepted(self, port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            name = self.names.name(str(writer.get_extra_info("sockname")[0]))
            task = asyncio.current_task()
            assert task is not None
            try:
                if name and self._allowed(name) and len(self._open) < MAX_CONNECTIONS:
                    self._open[task] = name
                    await self._splice(name, port, reader, writer)
            except asyncio.CancelledError:
                # The route is gone: an end like any other.
                pass
            finally:
                self._open.pop(task, None)
                writer.transport.abort()

        return accepted

    async def _splice(self, name: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            sock = await self._dial(name, port)
        except OSError as error:
            self._report(name, str(error))
            return
        up_reader, up_writer = await asyncio.open_connection(sock=sock, limit=PIECE)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, up_writer))
                both.create_task(_copy(up_reader, writer))
        except* OSError:
            pass
        finally:
            up_writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(PIECE):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


class Resolver(asyncio.DatagramProtocol):
    """Answers each datagram with what `answer` makes of it, or not at all for b""."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        """From asyncio."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """From asyncio."""
        answer = self._answer(data[:_MAX_QUERY])
        if answer and self._transport is not None:
            self._transport.sendto(answer, addr)
