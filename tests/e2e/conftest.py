"""People with a HOME and the program in a world of their own: one with this tree's program, two with clean clones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from backends.bubblewrap import probe
from backends.process import Runner
from tests.conftest import need
from tests.e2e import clone, netns
from tests.e2e.driving import Person, World, runs, world


def program() -> str:
    """This tree's `bottle-dash`."""
    places = (clone.ROOT / ".venv" / "bin", Path(sys.executable).parent)
    return next((str(p / "bottle-dash") for p in places if (p / "bottle-dash").exists()), "")


@pytest.fixture(scope="session")
def machine() -> None:
    """Skips what this machine cannot run."""
    check = probe.sandbox(Runner())
    if not check.ok:
        need("bubblewrap", check.detail)
    for name, package in (("tmux", "tmux"), ("openssl", "bubblewrap"), ("git", "bubblewrap"), ("curl", "bubblewrap")):
        if shutil.which(name) is None:
            need(package, f"{name} is not installed")
    if why := netns.unavailable():
        need("bubblewrap", f"no network namespace of one's own: {why}")


@pytest.fixture
def outside(machine: None) -> Iterator[World]:
    """A network with upstreams, without anybody in it."""
    with world() as made:
        yield made


def end(person: Person) -> None:
    """Stops what a failed test left running: its control groups would outlive the world."""
    if runs(person):
        slugs = [bottle["slug"] for bottle in person.bottles()]
        person.dash("stop", "--yes", "--drop-changes", *(slugs or ["-"]))
        person.dash("cleanup", "--yes")


def _home(uid: int = 0) -> Path:
    home = Path(tempfile.mkdtemp(prefix="bottle-home-"))
    home.chmod(0o700)
    if uid:
        os.chown(home, uid, uid)
    return home


@pytest.fixture
def person(outside: World) -> Iterator[Person]:
    """Whoever runs the tests, with an empty HOME, this tree's program and the user's own cache."""
    if not program():
        need("bundle", "bottle-dash is not installed in .venv (make setup)")
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    made = Person(outside, _home(), program(), env={"XDG_CACHE_HOME": cache})
    if made.dash("setup", timeout=400).returncode:
        need("bundle", "its environment cannot be built")
    yield made
    end(made)
    shutil.rmtree(made.home, ignore_errors=True)


@pytest.fixture(scope="session")
def clones(machine: None) -> Iterator[dict[str, Future[tuple[Path, int, str]]]]:
    """Clean clones that are being set up: of root, and of an ordinary user; (HOME, uid, program)."""
    uid = clone.unused_uid() if os.geteuid() == 0 else 0
    become = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--"]
    python = clone.system_python()
    homes = [_home()]

    def ordinary() -> tuple[Path, int, str]:
        made = clone.copy(homes[0])
        if uid:
            subprocess.run(["chown", "-R", f"{uid}:{uid}", str(homes[0])], check=True)
        return homes[0], uid, clone.set_up(made, homes[0], python, become if uid else [])

    def of_root() -> tuple[Path, int, str]:
        own = clone.python_below(homes[1], python) or python
        return homes[1], 0, clone.set_up(clone.copy(homes[1]), homes[1], own, [])

    with ThreadPoolExecutor(2) as pool:
        made = {}
        if python:
            made["user"] = pool.submit(ordinary)
            if os.geteuid() == 0:
                homes.append(_home())
                made["root"] = pool.submit(of_root)
        yield made
    for home in homes:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(params=["root", "user"])
def newcomer(
    request: pytest.FixtureRequest, outside: World, clones: dict[str, Future[tuple[Path, int, str]]]
) -> Iterator[Person]:
    """Root, and an ordinary user, each with a clean clone in an otherwise empty HOME that only they can enter."""
    if request.param not in clones:
        need(request.param, "the tests do not run as root" if clones else "no system Python makes environments")
    home, uid, path = clones[request.param].result(500)
    made = Person(outside, home, path, uid)
    yield made
    end(made)
    shutil.rmtree(home / ".bot-bottle", ignore_errors=True)
