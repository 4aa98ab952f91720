"""The corpus: every leak of own secrets is caught, nearly every shape of a token, and no innocent request."""

from __future__ import annotations

import os

import pytest

from sidecar_bundle.dlp.engine import Engine, Finding
from tests.corpus import innocent, own, tokens
from tests.corpus.kit import Request

FULL = os.environ.get("BOT_BOTTLE_FULL") == "1"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(own.OWN)


def scanned(engine: Engine, request: Request) -> list[Finding]:
    return engine.request(
        method=request.method, host=request.host, path=request.path, headers=request.headers, body=request.body
    )


def test_every_leak_of_an_own_secret_is_caught_and_named() -> None:
    engine = Engine(own.OWN, patterns=False)  # so that no shape helps
    leaks = own.leaks()
    assert len(leaks) >= 3000
    chosen = leaks if FULL else leaks[::7]
    assert [r.label for name, r in chosen if name not in {f.name for f in scanned(engine, r)}] == []


def test_a_finding_never_holds_a_value() -> None:
    engine = Engine(own.OWN)
    for name, request in own.leaks()[::60]:
        told = repr(scanned(engine, request)).lower()
        assert own.OWN[name].lower() not in told


def test_the_shapes_of_known_tokens_are_caught(engine: Engine) -> None:
    leaks = tokens.leaks()
    assert len(leaks) >= 250
    missed = [r.label for r in leaks if not scanned(engine, r)]
    assert len(missed) <= len(leaks) // 50, missed


def test_innocent_requests_pass(engine: Engine) -> None:
    requests = innocent.requests()
    assert len(requests) >= 500
    assert [(r.label, f) for r in requests if (f := scanned(engine, r))] == []


def test_an_innocent_request_with_a_secret_in_it_does_not(engine: Engine) -> None:
    """The control of the test above: what makes those pass is not that they are passed over."""
    for request in innocent.requests()[::9]:
        if request.body.startswith(b"{"):
            body = request.body[:-1] + b', "x": "' + own.OWN["SHORT"].encode() + b'"}'
            assert scanned(engine, Request(request.label, request.path, request.headers, body))
