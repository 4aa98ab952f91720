"""Which addresses the bundle may dial: public ones, and what a route's `ssrf_ip_allowlist` names. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# An explicit list: `is_private` also covers the documentation networks, which stand for public hosts here.
_REFUSED: tuple[tuple[str, str], ...] = (
    ("169.254.169.254/32", "a metadata service"),
    ("100.100.100.200/32", "a metadata service"),
    ("168.63.129.16/32", "a metadata service"),
    ("fd00:ec2::254/128", "a metadata service"),
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),
    ("192.88.99.0/24", "reserved"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "reserved"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::/96", "reserved"),
    ("64:ff9b:1::/48", "private NAT64"),
    ("100::/64", "reserved"),
    ("2001::/32", "a Teredo tunnel"),
    ("2001:10::/28", "reserved"),
    ("2001:20::/28", "reserved"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "private"),
    ("ff00::/8", "multicast"),
)
_NETWORKS = tuple((ipaddress.ip_network(net), why) for net, why in _REFUSED)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


def refusal(text: str, allowlist: Iterable[str] = ()) -> str:
    """Why the address `text` must not be dialled, or "" when it may. `allowlist` holds CIDR networks."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return "not an address"
    inner = _embedded(address)
    forms: tuple[Address, ...] = (address,) if inner is None else (address, inner)
    networks = [ipaddress.ip_network(net) for net in allowlist]
    if any(form in net for form in forms for net in networks):
        return ""
    return next((why for form in forms for net, why in _NETWORKS if form in net), "")
