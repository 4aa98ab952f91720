"""What new rules end: connections whose host lost its route or its way there, and requests that no longer pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar_bundle.egress.decide import Request
from sidecar_bundle.egress.live import Live
from sidecar_bundle.shared.routes import Route

A, B = Route("a.example"), Route("b.example")
REQUEST = Request("GET", "https", "a.example", 443, "/x")


def live() -> Live:
    one = Live()
    one.allow("client", "1", REQUEST, ("a.example", 443))
    return one


@pytest.mark.parametrize(
    ("new", "ends"),
    [
        ([A, B], False),
        ([B], True),
        ([], True),
        ([Route("*.example")], False),
        ([replace(A, dlp="off")], False),
        ([replace(A, tls_passthrough=True)], True),
        ([replace(A, ssrf_ip_allowlist=("10.0.0.0/8",))], True),
    ],
)
def test_by_its_host(new: list[Route], ends: bool) -> None:
    for over in (False, True):
        one = live()
        if over:
            # The request is, but the connection is kept alive.
            one.over("client", "1")
        found = one.forbidden([A, B], new, lambda request: True)
        assert found == ([("client", "a.example")] if ends else [])


def test_by_its_request() -> None:
    one = live()
    assert one.forbidden([A], [A], lambda request: request.path != "/x") == [("client", "a.example")]
    one.over("client", "1")
    assert one.forbidden([A], [A], lambda request: False) == []


def test_only_what_was_allowed_may_be_dialled() -> None:
    one = live()
    assert one.may_dial("client", ("a.example", 443))
    assert not one.may_dial("client", ("a.example", 80))
    assert not one.may_dial("other", ("a.example", 443))
    one.forget("client")
    assert not one.may_dial("client", ("a.example", 443))
    one.over("client", "1")
