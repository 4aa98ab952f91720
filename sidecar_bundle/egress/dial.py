"""The event loop of egress: it resolves names itself and dials only addresses that it has checked."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from sidecar_bundle.egress.addresses import refusal

RESOLVE_SECONDS = 10.0
CONNECT_SECONDS = 20.0


class AddressRefused(OSError):
    """Every address of a host is one that must not be dialled."""


class EgressLoop(asyncio.SelectorEventLoop):
    """Name resolution and connecting, both bounded; between check and dial no name is looked up again.

    `allowlist` maps a host to its networks that are allowed though not public; None says that the host is nobody's.
    """

    allowlist: Callable[[str], Sequence[str] | None] = staticmethod(lambda host: None)

    async def getaddrinfo(self, host: Any, port: Any, **kwargs: Any) -> list[Any]:
        """As asyncio's, with refused addresses left out; `AddressRefused` when none remains."""
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
        """As asyncio's, but gives up after `CONNECT_SECONDS`."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await super().create_connection(*args, **kwargs)
        except TimeoutError:
            raise OSError(f"no connection within {CONNECT_SECONDS:.0f} s") from None
        except OSError as error:
            # asyncio's text holds a number and a tuple; a reason is for people.
            if isinstance(error, AddressRefused) or not error.errno:
                raise
            raise OSError(os.strerror(error.errno).lower()) from None
