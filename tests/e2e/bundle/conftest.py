"""A bundle and live upstreams for the tests that run inside the namespace."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bundle.rig import API, OPEN, TOKEN, Bundle, bundle
from tests.fake_upstream import Upstream, make_ca, make_leaf, upstream

HOSTS = ("open.example", "api.example", "evil.example", "private.example", "loop.example")


@pytest.fixture(scope="session")
def python() -> str:
    """The bundle's Python, which `test_bundle.py` has found."""
    return os.environ["BOT_BOTTLE_TEST_BUNDLE_PYTHON"]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    make_ca(folder)
    return folder


@pytest.fixture(scope="module")
def servers(pki: Path) -> Iterator[tuple[Upstream, ...]]:
    leaf = make_leaf(pki, *HOSTS)
    with (
        upstream("203.0.113.10", 443, leaf) as public,
        upstream("203.0.113.10", 80) as plain,
        upstream("10.9.9.9", 443, leaf) as private,
        upstream("127.0.0.1", 443, leaf) as loop,
    ):
        yield public, plain, private, loop


@pytest.fixture
def web(servers: tuple[Upstream, ...]) -> tuple[Upstream, ...]:
    for server in servers:
        server.seen.clear()
    return servers


@pytest.fixture(scope="module")
def shared(python: str, pki: Path, servers: tuple[Upstream, ...]) -> Iterator[Bundle]:
    with bundle(python, {"BOT_BOTTLE_UPSTREAM_CA": str(pki / "ca.pem")}) as running:
        yield running


@pytest.fixture
def b(shared: Bundle) -> Bundle:
    assert shared.configure(OPEN, API, secrets={"EGRESS_TOKEN_0": TOKEN}) == "ready"
    return shared


@pytest.fixture
def f(python: str, pki: Path, servers: tuple[Upstream, ...]) -> Iterator[Bundle]:
    """A fresh bundle: peaks of memory are its own."""
    with bundle(python, {"BOT_BOTTLE_UPSTREAM_CA": str(pki / "ca.pem")}) as running:
        assert running.configure(OPEN, API, {"host": "dead.example"}, secrets={"EGRESS_TOKEN_0": TOKEN}) == "ready"
        for http in ("--http1.1", "--http2"):
            assert running.curl("https://open.example/", http).status == 200
        yield running
