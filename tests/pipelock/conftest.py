"""Upstreams on TEST-NET addresses and a pipelock per test, inside the namespace that `test_fidelity.py` makes."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_upstream import Upstream, make_ca, make_leaf, upstream
from tests.pipelock.running import Running, generated, running
from tests.pipelock.web import Handler

NAMES = ("open.example", "sub.open.example", "other.example", "loop.example", "dead.example")
Start = Callable[..., Running]


@pytest.fixture(scope="session")
def pki() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pki-") as folder:
        make_ca(Path(folder))
        yield Path(folder)


@pytest.fixture(scope="session")
def server(pki: Path) -> Iterator[Upstream]:
    leaf = make_leaf(pki, *NAMES)
    with (
        upstream("203.0.113.10", 443, leaf) as public,
        upstream("203.0.113.10", 80) as plain,
        upstream("127.0.0.1", 443, leaf) as loop,
    ):
        for one in (public, plain, loop):
            one.RequestHandlerClass = Handler
            one.seen = public.seen
        yield public


@pytest.fixture
def web(server: Upstream) -> Upstream:
    """The upstream; what it saw before is forgotten."""
    server.seen.clear()
    return server


@pytest.fixture(scope="session")
def program() -> Path:
    """The pipelock that `test_fidelity.py` has chosen."""
    return Path(os.environ["BOT_BOTTLE_TEST_PIPELOCK"])


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pipelock-test-") as name:
        yield Path(name)


@pytest.fixture
def start(program: Path, folder: Path, pki: Path, web: Upstream) -> Iterator[Start]:
    """Starts one with our configuration, or with the one given."""
    with contextlib.ExitStack() as stack:

        def begin(values: dict[str, Any] | None = None, trust: bool = True, **env: str) -> Running:
            values = values or generated(folder)
            return stack.enter_context(running(program, folder, values, pki / "ca.pem" if trust else None, **env))

        yield begin
