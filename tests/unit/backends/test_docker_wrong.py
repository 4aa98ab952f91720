"""Engines that are not there, hang or are of another kind, and broken configuration: one line each, and the way out."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from backends.api import BackendError, HostPaths
from backends.docker import engine, proof, remains, spec
from backends.docker.driver import DockerBackend
from botbottle_tui.host.launching import Host
from tests.fake_engine import FakeEngine, fake_engine

BAD = hashlib.sha256(b"bad").hexdigest()

# What is in the folder of docker's configuration, what is said, and the way out.
CONFIGURATIONS = {
    "config.json is torn": ({"config.json": "{nope"}, r"config\.json: Expecting property name", "docker context ls"),
    "config.json is a list": ({"config.json": "[1]"}, r"config\.json: it is no JSON object", "docker context ls"),
    "the context is gone": ({"config.json": '{"currentContext": "gone"}'}, "no Docker context 'gone'", "context use"),
    "the context is torn": (
        {"config.json": '{"currentContext": "bad"}', f"contexts/meta/{BAD}/meta.json": "{nope"},
        "context cannot be read: Detected corrupted meta file",
        "docker context ls",
    ),
}


def backend(home: Path) -> DockerBackend:
    return DockerBackend(HostPaths(home / "home", home / "cache"))


def with_bottles(home: Path, *slugs: str) -> DockerBackend:
    made = backend(home)
    for slug in slugs:
        (made.root / slug).mkdir(parents=True)
        proof.save(made.root / slug, proof.Bottle(1, slug, "a", 0.0, "", 0, 0, 0, (), proof.Proc(0, 0)))
    return made


def told(made: DockerBackend) -> tuple[str, str]:
    """The one line, which everything says: the picker, a poll, a cleanup."""
    check, (agents, faults) = made.available(), made.enumerate()
    assert not check.ok and agents == () and len(faults) == 1 and "\n" not in check.detail
    assert faults[0].message.endswith(check.detail) and faults[0].hint == check.fix
    with pytest.raises(BackendError):
        made.leftovers()
    assert made.foreign() == ()
    (row,) = Host(made.paths, (made,)).leftovers()
    assert (row.kind, row.ident, row.detail) == ("folder", "", "not looked at") and check.detail in row.left
    return check.detail, check.fix


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_broken_configuration_is_never_passed_over(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, message, hint = CONFIGURATIONS[name]
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    detail, fix = told(with_bottles(tmp_path, "a-1"))
    assert re.search(message, detail) and hint in fix


def test_no_engine_and_none_that_may_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    detail, fix = told(with_bottles(tmp_path, "a-1"))
    assert detail.startswith("no Docker engine answers at unix://") and fix == engine.START
    refused = engine._told("listing", "unix:///s", PermissionError(13, "connect: Permission denied"))
    assert refused.message == "listing: no permission on unix:///s" and "group docker" in refused.hint


def test_an_engine_that_hangs_costs_a_poll_its_time_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, the same each time; no thread and no connection stays; once it answers the rows are there."""
    monkeypatch.setattr(engine, "POLL_TIMEOUT", 0.3)
    made = with_bottles(tmp_path, "a-1")
    with fake_engine(containers_json=listing(made, "a-1")) as fake:
        monkeypatch.setenv("DOCKER_HOST", fake.address)
        assert [a.slug for a in made.enumerate()[0]] == ["a-1"]
        fake.hangs, threads, files = True, threading.active_count(), len(os.listdir("/proc/self/fd"))
        seen = set()
        began = time.monotonic()
        for _ in range(4):
            agents, faults = made.enumerate()
            assert agents == () and len(faults) == 1
            seen.add(faults[0])
            with suppress(BackendError):
                assert not made.watch(0.1)
        assert [f.message for f in seen] == ["listing bottles: the Docker engine does not answer in time"]
        assert time.monotonic() - began < 5
        settled(fake, threads, files)
        fake.hangs = False
        assert [a.slug for a in made.enumerate()[0]] == ["a-1"] and made.enumerate()[1] == ()


def settled(fake: FakeEngine, threads: int, files: int) -> None:
    deadline = time.monotonic() + 5
    while fake.open or threading.active_count() > threads or len(os.listdir("/proc/self/fd")) > files:
        left = (fake.open, threading.active_count() - threads, len(os.listdir("/proc/self/fd")) - files)
        assert time.monotonic() < deadline, f"connections, threads, files that stay: {left}"
        time.sleep(0.02)


def listing(made: DockerBackend, *slugs: str) -> list[dict[str, Any]]:
    owner = proof.owner(made.root)
    roles = ("agent", "sidecars")
    return [
        {"Id": f"{slug}{role}", "Labels": spec.labels(slug, owner, role, role), "State": "running"}
        for slug in slugs
        for role in roles
    ]


@pytest.mark.parametrize("count", [1, 100])
def test_a_poll_is_one_request_however_many_bottles(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slugs = [f"a-{n}" for n in range(count)]
    made = with_bottles(tmp_path, *slugs)
    with fake_engine(containers_json=listing(made, *slugs)) as fake:
        monkeypatch.setenv("DOCKER_HOST", fake.address)
        assert len(made.enumerate()[0]) == count
        fake.asked.clear()
        made.enumerate()
        assert fake.asked == ["/containers/json"]


PODMAN = {"Version": "4.3.1", "ApiVersion": "1.41", "Components": [{"Name": "Podman Engine", "Version": "4.3.1"}]}


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"version": PODMAN}, "Podman is not supported yet: the contract suite has not been seen green there"),
        ({"info": {"SecurityOptions": ["name=seccomp", "name=rootless"]}}, "rootless Docker is not supported yet"),
        ({"info": {"SecurityOptions": ["name=seccomp"]}}, ""),
    ],
)
def test_kinds_that_were_not_seen_green_are_named(
    answers: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    with fake_engine(**answers) as fake:
        monkeypatch.setenv("DOCKER_HOST", fake.address)
        check = backend(tmp_path).available()
    assert check.ok and check.warn is bool(said) and said in check.detail


def test_an_engine_that_was_replaced_by_one_of_another_interface(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interface's version is remembered, and asked for again after any failure."""
    made = with_bottles(tmp_path, "a-1")
    with fake_engine(containers_json=listing(made, "a-1")) as fake:
        monkeypatch.setenv("DOCKER_HOST", fake.address)
        assert remains.states(made.root)
        del fake.answers["/containers/json"]
        assert made.enumerate()[1]
        fake.asked.clear()
        made.enumerate()
        assert fake.asked[0] == "/version"
