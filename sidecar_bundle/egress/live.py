"""Exchanges and connections that are under way, so that those which new rules forbid can be ended at once. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sidecar_bundle.egress.decide import Request
from sidecar_bundle.shared.routes import Route, find_route


@dataclass
class Client:
    """One connection of the agent: what it may reach, and its requests that were allowed and are not over."""

    approved: set[tuple[str, int]] = field(default_factory=set)
    requests: dict[str, Request] = field(default_factory=dict)


class Live:
    """Every connection of the agent that had a request allowed, by mitmproxy's client object."""

    def __init__(self) -> None:
        self._clients: dict[Any, Client] = {}

    def allow(self, client: Any, ident: str, request: Request, *reached: tuple[str, int]) -> None:
        """Request `ident` of `client` may go to each address of `reached`."""
        one = self._clients.setdefault(client, Client())
        one.approved.update(reached)
        one.requests[ident] = request

    def may_dial(self, client: Any, address: tuple[str, int]) -> bool:
        """Whether a request of this client was allowed to go there."""
        one = self._clients.get(client)
        return one is not None and address in one.approved

    def over(self, client: Any, ident: str) -> None:
        """That exchange has ended."""
        if one := self._clients.get(client):
            one.requests.pop(ident, None)

    def forget(self, client: Any) -> None:
        """That connection has ended, or must reach nothing more."""
        self._clients.pop(client, None)

    def forbidden(
        self, old: Iterable[Route], new: Iterable[Route], allowed: Callable[[Request], bool]
    ) -> list[tuple[Any, str]]:
        """The connections that must end now, each with the host at fault."""
        old, new = tuple(old), tuple(new)
        out = []
        for client, one in self._clients.items():
            lost = [host for host, _ in one.approved if _moved(find_route(old, host), find_route(new, host))]
            lost += [request.host for request in one.requests.values() if not allowed(request)]
            if lost:
                out.append((client, lost[0]))
        return out


def _moved(old: Route | None, new: Route | None) -> bool:
    """Whether open connections to a host belong to rules that no longer hold: gone, or of another way there."""
    if old is None:
        return False
    if new is None:
        return True
    if old.dlp == "off" and new.dlp != "off":
        return True
    return (old.tls_passthrough, old.ssrf_ip_allowlist) != (new.tls_passthrough, new.ssrf_ip_allowlist)
