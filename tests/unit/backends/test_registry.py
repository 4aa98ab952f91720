"""Which backends there are, and which one is taken."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from backends import registry
from backends.api import BackendError, HostPaths

PATHS = HostPaths(Path("/nowhere"), Path("/nowhere"))
GOOD = EntryPoint("fake", "backends.fake.driver:FakeBackend", registry.GROUP)
BROKEN = EntryPoint("broken", "no.such.module:Thing", registry.GROUP)


def test_a_plug_in_that_cannot_be_imported_is_a_fault() -> None:
    backends, faults = registry.load(PATHS, (BROKEN, GOOD))
    assert [b.name for b in backends] == ["fake"]
    assert faults[0].source == "broken" and "no" in faults[0].message


def test_the_installed_ones() -> None:
    backends, faults = registry.load(PATHS)
    assert backends[0].name == "bubblewrap" and not faults


def test_argument_over_variable_over_default(monkeypatch: pytest.MonkeyPatch) -> None:
    backends, _ = registry.load(PATHS, (GOOD, EntryPoint("b", "backends.bubblewrap.driver:BubblewrapBackend", "")))
    assert registry.choose(backends).name == "bubblewrap"
    monkeypatch.setenv(registry.VARIABLE, "fake")
    assert registry.choose(backends).name == "fake"
    assert registry.choose(backends, "bubblewrap").name == "bubblewrap"
    monkeypatch.setenv(registry.VARIABLE, "dokcer")
    with pytest.raises(BackendError, match=r"dokcer.*BOT_BOTTLE_BACKEND") as caught:
        registry.choose(backends)
    assert "bubblewrap, fake" in caught.value.hint
    with pytest.raises(BackendError):  # never another one than was asked for
        registry.choose(backends, "docker")
