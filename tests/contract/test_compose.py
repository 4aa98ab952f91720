"""A bottle beside a project that compose itself made: the same labels, and the same answers of compose's commands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from backends.api import Values
from backends.docker import engine, spec
from backends.docker.driver import DockerBackend
from tests.conftest import need
from tests.contract.plans import plan
from tests.contract.test_contract import quiet, until

PLUGIN = "BOT_BOTTLE_COMPOSE"  # names the plugin's program where docker does not find it by itself
COMPOSE = "com.docker.compose."
# What `IMAGE` is does not matter: it never runs long.
FILE = """
services:
  sidecars: {image: IMAGE, command: [sleep, infinity], init: true, networks: [inner, outer], volumes: ["certs:/c"]}
  agent: {image: IMAGE, command: [sleep, infinity], init: true, networks: [inner], depends_on: [sidecars]}
networks: {inner: {internal: true}, outer: {}}
volumes: {certs: {}}
"""

Compose = Callable[..., str]


@pytest.fixture
def compose(docker: DockerBackend, tmp_path: Path) -> Compose:
    """`docker compose`, with the plugin."""
    env = dict(os.environ)
    if program := env.get(PLUGIN):
        env["DOCKER_CONFIG"] = str(tmp_path / "config")
        (tmp_path / "config" / "cli-plugins").mkdir(parents=True)
        (tmp_path / "config" / "cli-plugins" / "docker-compose").symlink_to(program)

    def run(*words: str) -> str:
        done = subprocess.run(["docker", "compose", *words], env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    try:
        run("version")
    except AssertionError:
        need("compose", "docker has no compose plugin")
    return run


@pytest.fixture
def project(compose: Compose, docker: DockerBackend, tmp_path: Path) -> Iterator[str]:
    """The name of a project that compose made, of two services, two networks and a volume."""
    name = f"bottle-test-{os.getpid()}"
    file = tmp_path / "project" / "compose.yaml"
    file.parent.mkdir()
    file.write_text(FILE.replace("IMAGE", docker.launcher.images(plan("docker"))[0].tag))
    try:
        compose("-f", str(file), "-p", name, "up", "-d")
        yield name
    finally:
        compose("-f", str(file), "-p", name, "down", "-v", "-t", "0")


def form(value: str) -> str:
    """What kind of value it is, whatever it says."""
    for name, pattern in (("digest", r"(sha256:)?[0-9a-f]{64}"), ("version", r"\d+\.\d+\.\d+"), ("path", r"/.+")):
        if re.fullmatch(pattern, value):
            return name
    return value


def forms(labels: Mapping[str, str], project: str) -> dict[str, str]:
    """Compose's labels with the form of their values."""
    return {k: form(v.replace(project, "PROJECT")) for k, v in labels.items() if k.startswith(COMPOSE)}


def labelled(api: Any, project: str) -> dict[str, dict[str, str]]:
    """Each container, network and volume of a project, by what it is for, to the forms of its labels."""
    ours = {"label": [f"{COMPOSE}project={project}"]}
    found = [(c["Labels"][f"{COMPOSE}service"], c["Labels"]) for c in api.containers(all=True, filters=ours)]
    found += [(n["Labels"][f"{COMPOSE}network"], n["Labels"]) for n in api.networks(filters=ours)]
    found += [("volume", v["Labels"]) for v in api.volumes(filters=ours)["Volumes"] or ()]
    return {what: forms(labels, project) for what, labels in found}


def test_labels_are_those_that_compose_gives(docker: DockerBackend, compose: Compose, project: str) -> None:
    made = docker.launch(plan("docker"), Values(), None, quiet).agent
    bottle = spec.Names.of(made.slug).project
    with engine.engine("labels") as api:
        theirs, ours = labelled(api, project), labelled(api, bottle)
        here = api.inspect_container(spec.Names.of(made.slug).agent)
    assert {"agent", "sidecars", "inner", "outer"} <= set(ours) <= set(theirs)
    assert ours == {what: theirs[what] for what in ours}
    volume = forms(spec.labels(made.slug, spec.Owner("h", 0, "b"), "certs", kind="volume"), bottle)
    assert volume == theirs["volume"]
    labels = here["Config"]["Labels"]
    assert labels[f"{COMPOSE}image"] == here["Image"]
    assert Path(labels[f"{COMPOSE}project.config_files"]).is_file()


def test_composes_commands_know_a_bottle(docker: DockerBackend, compose: Compose) -> None:
    slug = docker.launch(plan("docker"), Values(), None, quiet).agent.slug
    names = spec.Names.of(slug)
    (listed,) = [one for one in json.loads(compose("ls", "--format", "json")) if one["Name"] == names.project]
    assert listed["Status"] == "running(2)" and listed["ConfigFiles"] == str(docker.root / slug / spec.SPEC)
    rows = [json.loads(line) for line in compose("-p", names.project, "ps", "--format", "json").splitlines()]
    assert {(r["Service"], r["Name"], r["State"]) for r in rows} == {
        ("agent", names.agent, "running"),
        ("sidecars", names.sidecars, "running"),
    }
    assert "sidecar_bundle/init" in compose("-p", names.project, "top")
    docker.signal(slug, "egress", signal.SIGTERM)
    until(lambda: "egress ended" in compose("-p", names.project, "logs", "sidecars"))
    shown = subprocess.run(
        ["docker", "ps", "--filter", f"label={spec.PREFIX}slug={slug}", "--format", "{{.Names}}"],
        capture_output=True,
        text=True,
    )
    assert set(shown.stdout.split()) == {names.agent, names.sidecars}


def test_a_bottle_that_compose_took_down_says_so_and_the_rest_is_found(docker: DockerBackend, compose: Compose) -> None:
    slug = docker.launch(plan("docker"), Values(), None, quiet).agent.slug
    compose("-p", spec.Names.of(slug).project, "restart", "-t", "0", "sidecars")
    until(lambda: "its bundle was restarted from outside" in docker.enumerate()[0][0].detail)
    compose("-p", spec.Names.of(slug).project, "down", "-t", "0")
    (row,) = docker.enumerate()[0]
    assert row.state == "error" and "its container was removed from outside" in row.detail
    left = docker.leftovers()
    assert [one.slug for one in left] == [slug] and docker.sweep(left) == ()
    assert docker.enumerate() == ((), ()) and docker.leftovers() == () and not (docker.root / slug).exists()
    with engine.engine("rest") as api:
        ours = {"label": [f"{spec.PREFIX}slug={slug}"]}
        assert api.containers(all=True, filters=ours) == api.networks(filters=ours) == []
