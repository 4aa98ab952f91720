"""The address policy: what may be dialled, in every form that reaches the same place."""

from __future__ import annotations

import pytest

from sidecar_bundle.shared.addresses import refusal

REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::1",
    "2002:a00:1::",
    "2002:a9fe:a9fe::1",
    "2001::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
    "100::1",
    "not an address",
]


@pytest.mark.parametrize("address", REFUSED)
def test_refused(address: str) -> None:
    assert refusal(address)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.2.1",
        "198.51.100.7",
        "203.0.113.10",
        "2606:4700::1111",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
        "2002:101:101::1",
    ],
)
def test_public_and_test_networks_pass(address: str) -> None:
    assert refusal(address) == ""


def test_the_reason_names_the_kind() -> None:
    assert refusal("169.254.169.254") == "a metadata service"
    assert refusal("::ffff:127.0.0.1") == "loopback"


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("10.1.2.3", True), ("10.1.3.1", False), ("::ffff:10.1.2.3", True), ("fd00::5", True), ("127.0.0.1", False)],
)
def test_a_route_s_networks_open_exactly_themselves(address: str, allowed: bool) -> None:
    assert (refusal(address, ("10.1.2.0/24", "fd00::/64")) == "") is allowed
