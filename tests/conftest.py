"""What every test may count on: a state folder of its own, and no skip where BOT_BOTTLE_REQUIRE forbids one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

REQUIRED = {name for name in os.environ.get("BOT_BOTTLE_REQUIRE", "").split(",") if name}


def need(name: str, reason: str) -> None:
    """Skips for want of `name`, or fails where it is required."""
    if name in REQUIRED:
        pytest.fail(f"{name} is required here, but {reason}")
    pytest.skip(f"{name}: {reason}")


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No test ever touches the operator's own `~/.bot-bottle`. (Another pytest run may clear away pytest's folders.)"""
    base = Path(tempfile.mkdtemp(prefix="bottle-test-"))
    home = base / "bot-bottle"
    monkeypatch.setenv("BOT_BOTTLE_HOME", str(home))
    for name in ("BOT_BOTTLE_BACKEND", "BOT_BOTTLE_DRY_RUN", "TMUX", "TMUX_PANE"):
        monkeypatch.delenv(name, raising=False)
    yield home
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The images that engines in namespaces load, since nothing can be fetched there."""
    from tests import docker_engine

    path = tmp_path_factory.mktemp("images") / "images.tar"
    docker_engine.save(path)
    yield path
    shutil.rmtree(path.parent, ignore_errors=True)
