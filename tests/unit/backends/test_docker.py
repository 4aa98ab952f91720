"""The docker driver's pure half, and how an engine's failures are told."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backends.api import BackendError, HostPaths, Limits
from backends.docker import engine, proof, spec
from backends.docker.driver import DockerBackend

OWNER = spec.Owner("0123456789abcdef", 1000, "boot")
LIMITS = Limits(memory=1 << 30, pids=200, files=1024, tmpfs=64 << 20)


def agent(**more: object) -> dict[str, object]:
    known = {"run": "/r", "uid": 1000, "limits": LIMITS, "bundle_address": "172.18.0.2"}
    return spec.agent("shell-ab1cd", OWNER, "image:tag", **{**known, **more})["host"]  # type: ignore[arg-type]


def test_both_containers_can_do_nothing_that_they_need_not() -> None:
    sidecars = spec.bundle("shell-ab1cd", OWNER, "image:tag", run="/r", uid=1001, daemons=("egress",))
    for host in (agent(), sidecars["host"]):
        assert (host["cap_drop"], host["security_opt"], host["read_only"]) == (["ALL"], ["no-new-privileges"], True)
        assert host["memswap_limit"] == host["mem_limit"] and host["sysctls"]["net.ipv6.conf.all.disable_ipv6"] == "1"
    assert sidecars["config"]["user"] == "1001:1001" and sidecars["host"]["sysctls"]["net.ipv4.ip_forward"] == "0"


def test_the_agent_knows_no_name_but_its_bundle() -> None:
    host = agent()
    assert host["extra_hosts"] == {"sidecars": "172.18.0.2"} and host["dns"] == ["172.18.0.2"]
    with pytest.raises(ValueError, match="does not appear to be"):
        agent(bundle_address="evil.example")


def test_a_bound_folder_and_what_of_it_stays_read_only() -> None:
    binds = agent(workspace="/home/me/project", read_only=["/home/me/project/.git"])["binds"]
    assert isinstance(binds, list)
    assert binds[-2:] == [
        "/home/me/project:/home/agent/workspace:rw",
        "/home/me/project/.git:/home/agent/workspace/.git:ro",
    ]


def test_the_inner_network_has_no_gateway() -> None:
    inner, outer = (spec.network("shell-ab1cd", OWNER, inner=inner) for inner in (True, False))
    assert inner["internal"] and inner["options"] == {"com.docker.network.bridge.inhibit_ipv4": "true"}
    assert not outer["internal"] and outer["options"] == {}
    assert inner["labels"]["com.docker.compose.project"] == outer["labels"]["com.docker.compose.project"]


def test_values_are_never_on_an_argv() -> None:
    script = (
        "import os, sys\nfrom backends.docker import enter\n"
        "os.execve = lambda program, args, env: (print(args), print(env['SECRET'], env['DOCKER_HOST']))\n"
        "enter.main(sys.argv[1:])\n"
    )
    argv = ["unix:///s", "/usr/bin/docker", "box", "1000", "/w", "tty", "--", "bash", "-l"]
    done = subprocess.run(
        [sys.executable, "-c", script, *argv],
        env={"SECRET": "hush", "PATH": os.environ["PATH"]},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    args, told = done.stdout.splitlines()
    assert "hush" not in args and "'-e', 'SECRET'" in args and args.endswith("'/w', 'bash', '-l']")
    assert told == "hush unix:///s"


def test_listing() -> None:
    def row(slug: str, role: str, state: str) -> dict[str, object]:
        return {"Labels": spec.labels(slug, OWNER, role, role), "State": state}

    raw = [row("a-1", "agent", "running"), row("a-1", "sidecars", "exited"), {"Labels": None}]
    # A rebuild's second container, which is not started yet, makes no dead bottle of a live one.
    for listed in (raw, [row("a-1", "agent", "created"), *raw], [*raw, row("a-1", "agent", "created")]):
        assert spec.containers(listed) == {"a-1": {"agent": "running", "sidecars": "exited"}}


def test_what_is_of_somebody_else_is_told_from_ours() -> None:
    me = replace(OWNER, host="here")
    tags = {"home": "f" * 16, "uid": "1000", "host": "here"}
    assert spec.whose(tags, me) == "of another state folder"
    assert spec.whose({**tags, "uid": "1001"}, me) == "of user 1001"
    assert spec.whose({**tags, "host": "there"}, me) == "of user 1000 on there"


def test_no_bottle_no_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without an engine hears nothing of it while no bottle of this backend is there."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    docker = DockerBackend(HostPaths(tmp_path / "home", tmp_path / "cache"))
    assert docker.enumerate() == ((), ()) and docker.leftovers() == ()
    check = docker.available()
    assert (
        not check.ok and check.detail.startswith("no Docker engine answers at unix:///") and check.fix == engine.START
    )
    (docker.root / "a-1").mkdir(parents=True)
    proof.save(docker.root / "a-1", proof.Bottle(1, "a-1", "a", 0.0, "", 0, 0, 0, (), proof.Proc(0, 0)))
    assert [f.source for f in docker.enumerate()[1]] == ["docker"]


def test_an_engine_elsewhere_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(BackendError, match="is not on this machine") as told, engine.engine("x"):
        pass
    assert told.value.hint == "unset DOCKER_HOST"
