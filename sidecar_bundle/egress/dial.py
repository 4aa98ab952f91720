"""The event loop of egress: it resolves names itself and dials only addresses that it has checked."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from sidecar_bundle.shared import wire
from sidecar_bundle.shared.addresses import refusal
from sidecar_bundle.shared.layout import EGRESS, PIPELOCK_PORT

RESOLVE_SECONDS = 10.0
CONNECT_SECONDS = 20.0
PIPELOCK = ("127.0.0.1", PIPELOCK_PORT)


class AddressRefused(OSError):
    """Every address of a host is one that must not be dialled."""


class EgressLoop(asyncio.SelectorEventLoop):
    """Name resolution and connecting, both bounded; between check and dial no name is looked up again.

    `allowlist` maps a host to its networks that are allowed though not public; None says that the host is nobody's.
    """

    allowlist: Callable[[str], Sequence[str] | None] = staticmethod(lambda host: None)
    # The unix socket of the process that dials for the bundle, "" where egress dials itself.
    dialer: str = ""

    async def getaddrinfo(self, host: Any, port: Any, **kwargs: Any) -> list[Any]:
        """As asyncio's, with refused addresses left out; `AddressRefused` when none remains."""
        if (host, port) == PIPELOCK:
            return await super().getaddrinfo(host, port, **kwargs)
        nets = self.allowlist(host) if isinstance(host, str) else None
        if nets is None:
            raise AddressRefused(f"address of {host} refused: no route names the host")
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await super().getaddrinfo(host, port, **kwargs)
        except socket.gaierror as error:
            raise OSError(f"its name cannot be resolved ({error.strerror})") from None
        except TimeoutError:
            raise OSError(f"its name cannot be resolved (no answer within {RESOLVE_SECONDS:.0f} s)") from None
        except UnicodeError:
            raise OSError("its name cannot be resolved (it is no name)") from None
        verdicts = [(info, refusal(str(info[4][0]), nets)) for info in found]
        good = [info for info, why in verdicts if not why]
        if not good:
            what = ", ".join(sorted({f"{info[4][0]} ({why})" for info, why in verdicts}))
            raise AddressRefused(f"address of {host} refused: {what}")
        return good

    async def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        """As asyncio's, but to hosts by way of the dialer where there is one, and given up after `CONNECT_SECONDS`."""
        where: tuple[Any, ...] = (*args, None, None)
        factory, host, port = where[:3]
        if host is None:
            return await super().create_connection(factory, **kwargs)
        local = (host, port) == PIPELOCK
        try:
            if self.dialer and not local:
                kwargs.pop("local_addr", None)
                return await super().create_connection(factory, sock=await self.dial(host, port), **kwargs)
            async with asyncio.timeout(CONNECT_SECONDS):
                return await super().create_connection(factory, host, port, **kwargs)
        except TimeoutError:
            error = OSError(f"no connection within {CONNECT_SECONDS:.0f} s")
        except OSError as failed:
            # asyncio's text holds a number and a tuple; a reason is for people.
            if isinstance(failed, AddressRefused) or not failed.errno:
                raise
            error = OSError(os.strerror(failed.errno).lower())
        raise OSError(f"pipelock: cannot be reached: {error}") if local else error

    async def dial(self, host: str, port: int) -> socket.socket:
        """A socket connected to an address of `host` that was checked; `OSError` with one line."""
        try:
            async with asyncio.timeout(RESOLVE_SECONDS + CONNECT_SECONDS):
                if self.dialer:
                    return await self._ask_dialer(host, port)
                return await self._connect(await self.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except TimeoutError:
            raise OSError(f"no connection within {RESOLVE_SECONDS + CONNECT_SECONDS:.0f} s") from None

    async def _connect(self, found: Sequence[Any]) -> socket.socket:
        error: OSError | None = None
        for family, kind, proto, _, address in found:
            sock = socket.socket(family, kind, proto)
            sock.setblocking(False)
            try:
                await self.sock_connect(sock, address)
            except OSError as failed:
                sock.close()
                error = OSError(os.strerror(failed.errno).lower()) if failed.errno else failed
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise error or OSError("it has no address")

    async def _ask_dialer(self, host: str, port: int) -> socket.socket:
        nets = self.allowlist(host)
        if nets is None:
            raise AddressRefused(f"address of {host} refused: no route names the host")
        request = {"host": host, "port": port, "nets": list(nets), "who": EGRESS}
        fds: list[int] = []
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.setblocking(False)
            try:
                await self.sock_connect(line, self.dialer)
                await self.sock_sendall(line, wire.encode(request))
                answer = await self._hear(line, fds)
            except (OSError, wire.WireError) as error:
                raise OSError(f"the bundle's dialer does not answer ({error})") from None
            finally:
                for fd in fds[1:]:
                    os.close(fd)
        if answer.get("ok") is True and fds:
            sock = socket.socket(fileno=fds[0])
            sock.setblocking(False)
            return sock
        text = str(answer.get("error", "no reason given"))
        if answer.get("kind") == "refused":
            start = f"address of {host} refused"
            raise AddressRefused(text if text.startswith(start) else f"{start}: {text}")
        raise OSError(text)

    async def _hear(self, line: socket.socket, fds: list[int]) -> dict[str, Any]:
        decoder = wire.Decoder()
        while True:
            ready: asyncio.Future[None] = self.create_future()
            self.add_reader(line.fileno(), _set, ready)
            try:
                await ready
            finally:
                self.remove_reader(line.fileno())
            data, more = wire.receive(line)
            fds += more
            if messages := decoder.feed(data):
                return messages[0]
            if not data:
                raise OSError("it ended")


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
