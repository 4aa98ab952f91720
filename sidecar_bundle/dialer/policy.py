"""Where a bottle's bundle may be connected to, as the host wrote it down: no request can widen it. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar_bundle.shared import layout
from sidecar_bundle.shared.addresses import refusal
from sidecar_bundle.shared.config import BundleConfig, Remote

WEB_PORTS = (80, 443)


class Refused(Exception):
    """A place that must not be dialled; the text is one line."""


@dataclass(frozen=True, slots=True)
class Place:
    """What may be dialled. `address` stands for the name where one was declared; `refusal` judges any other."""

    host: str
    port: int
    address: str
    refusal: Callable[[str], str]


def place(request: Mapping[str, Any], config: BundleConfig | None) -> Place:
    """The place that a request names, as far as `config` (None: nothing yet) has it. Raises `Refused`."""
    host, port, nets, who = (request.get(key) for key in ("host", "port", "nets", "who"))
    if not isinstance(host, str) or not 0 < len(host) <= 253 or type(port) is not int or not 0 < port < 65536:
        raise Refused("the request names no host and port")
    host = host.lower().rstrip(".")
    if config is None:
        raise Refused(f"{_shown(host)} is nobody's: the bottle has no rules yet")
    if who == layout.EGRESS:
        return _web(host, port, _networks(nets), config)
    if who == layout.GIT_GATE:
        return _remote(host, port, config.remotes)
    raise Refused("the request names no daemon that may dial")


def _web(host: str, port: int, nets: Sequence[str], config: BundleConfig) -> Place:
    if port not in WEB_PORTS:
        raise Refused(f"port {port} of {_shown(host)} is neither 80 nor 443")
    routes = [route for route in config.routes if route.matches_host(host)]
    if not routes:
        raise Refused(f"no route names {_shown(host)}")
    written = [net for route in routes for net in route.ssrf_ip_allowlist]

    def judge(address: str) -> str:
        # Both lists must hold it: the request's can only narrow.
        return refusal(address, written) or refusal(address, nets)

    return Place(host, port, "", judge)


def _remote(host: str, port: int, remotes: Iterable[Remote]) -> Place:
    found = [r for r in remotes if r.host.lower().rstrip(".") == host and r.port == port]
    if not found:
        raise Refused(f"no git remote is at {_shown(host)}:{port}")
    declared = {name.lower().rstrip("."): address for r in found for name, address in r.extra_hosts}
    literal = host if _is_address(host) else declared.get(host, "")
    # A declared server may be on a private network, for its key is checked; this machine itself only by its address.
    return Place(host, port, literal, lambda address: "" if literal else _unless_private(refusal(address)))


def _unless_private(why: str) -> str:
    return "" if why == "private" else why


def _networks(nets: Any) -> list[str]:
    if not isinstance(nets, list) or not all(isinstance(net, str) for net in nets):
        raise Refused("nets must be a list of networks")
    try:
        return [str(ipaddress.ip_network(net)) for net in nets]
    except ValueError:
        raise Refused("nets must be a list of networks") from None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _shown(host: str) -> str:
    return ascii(host)[1:-1][:200]
