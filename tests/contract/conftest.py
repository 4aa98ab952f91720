"""The backends that the contract is run over, each with a state folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from backends.api import Backend, HostPaths
from backends.bubblewrap.driver import BubblewrapBackend
from backends.docker.driver import DockerBackend
from backends.fake.driver import FakeBackend
from tests.conftest import need

B = TypeVar("B", bound=Backend)
BACKENDS: dict[str, Callable[[HostPaths], Backend]] = {
    "fake": FakeBackend,
    "bubblewrap": BubblewrapBackend,
    "docker": DockerBackend,
}


def paths(home: Path) -> HostPaths:
    """The test's own state, the user's own cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bot-bottle"
    return HostPaths(home, cache)


def used(made: B) -> Iterator[B]:
    """A backend for one test, where this machine has it; its bottles are stopped afterwards."""
    check = made.available()
    if not check.ok:
        need(made.name, check.detail)
    yield made
    for agent in made.enumerate()[0]:
        made.stop(agent.slug)
    made.close()


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest, own_state: Path) -> Iterator[Backend]:
    """Each backend."""
    yield from used(BACKENDS[request.param](paths(own_state)))


@pytest.fixture
def bubblewrap(own_state: Path) -> Iterator[BubblewrapBackend]:
    """The bubblewrap backend alone."""
    yield from used(BubblewrapBackend(paths(own_state)))


@pytest.fixture
def docker(own_state: Path) -> Iterator[DockerBackend]:
    """The docker backend alone."""
    yield from used(DockerBackend(paths(own_state)))
