"""The backends that the contract is run over, each with a state folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backends.api import Backend, HostPaths
from backends.bubblewrap.driver import BubblewrapBackend
from backends.docker.driver import DockerBackend
from backends.fake.driver import FakeBackend
from tests.conftest import need

BACKENDS: dict[str, Callable[[HostPaths], Backend]] = {
    "fake": FakeBackend,
    "bubblewrap": BubblewrapBackend,
    "docker": DockerBackend,
}


def paths(home: Path) -> HostPaths:
    """The test's own state, the user's own cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bot-bottle"
    return HostPaths(home, cache)


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest, own_state: Path) -> Iterator[Backend]:
    """Each backend; its bottles are stopped afterwards."""
    made = BACKENDS[request.param](paths(own_state))
    check = made.available()
    if not check.ok:
        need(request.param, check.detail)
    yield made
    for agent in made.enumerate()[0]:
        made.stop(agent.slug)
    made.close()


@pytest.fixture
def bubblewrap(own_state: Path) -> Iterator[BubblewrapBackend]:
    """The bubblewrap backend alone."""
    made = BubblewrapBackend(paths(own_state))
    check = made.available()
    if not check.ok:
        need("bubblewrap", check.detail)
    yield made
    for agent in made.enumerate()[0]:
        made.stop(agent.slug)
    made.close()
