"""What the docker backend promises beside the contract, on a real engine."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from backends.api import BackendError, Values
from backends.docker import engine, fence, spec
from backends.docker.driver import DockerBackend
from botbottle_tui.host.launching import Host
from tests.conftest import need
from tests.contract.conftest import paths
from tests.contract.plans import plan
from tests.contract.test_contract import quiet, until

# An unprivileged process that calls an address on-link sends to it past every route.
ON_LINK = """
import socket, sys
for host in sys.argv[1:]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
    for _ in range(3):
        try: sock.sendto(b"out", (host, PORT))
        except OSError as error: print(error)
"""


def host_addresses(slug: str) -> list[str]:
    """Addresses of the engine's host, as the bottle's outer network and the default one know them."""
    with engine.engine("addresses") as api:
        found = [api.inspect_network(name)["IPAM"]["Config"][0] for name in (spec.Names.of(slug).outer, "bridge")]
    return [str(one["Gateway"]) for one in found if "Gateway" in one]


@contextlib.contextmanager
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 0))
        sock.settimeout(1)
        yield sock


@pytest.mark.parametrize("fenced", [True, False])
def test_nothing_is_sent_past_the_routes(docker: DockerBackend, fenced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fenced:
        monkeypatch.setattr(fence, "close", lambda *said: None)
    slug = docker.launch(plan("docker"), Values(), None, quiet).agent.slug
    addresses = host_addresses(slug)
    assert addresses
    with listener() as sock:
        script = ON_LINK.replace("PORT", str(sock.getsockname()[1]))
        done = docker.exec(slug, f"python3 - {' '.join(addresses)} 2>&1 <<'END'\n{script}\nEND\n")
        if fenced:
            assert done.stdout.count("Operation not permitted") == 3 * len(addresses), done
            with pytest.raises(TimeoutError):
                sock.recv(16)
        else:
            assert sock.recv(16) == b"out", done


def test_a_network_that_leads_further_is_not_started(docker: DockerBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a fence that lets everything through and a gateway that is there, the proof fails and nothing stays."""
    monkeypatch.setattr(fence, "FENCE", "table inet open {{ }} # {0}\n")
    with pytest.raises(Exception, match="leads round the bundle"):
        docker.launch(plan("docker"), Values(), None, quiet)
    assert docker.enumerate() == ((), ()) and docker.leftovers() == ()


def test_no_secret_in_anything_that_the_engine_tells(docker: DockerBackend) -> None:
    secret = "s3cr3t-" + "of-the-engine-91b"
    values = Values({}, {"EGRESS_TOKEN_0": secret})
    slug = docker.launch(plan("docker"), values, None, quiet).agent.slug
    names = spec.Names.of(slug)
    with engine.engine("inspect") as api:
        told = [api.inspect_container(name) for name in (names.agent, names.sidecars)]
        logs = b"".join(api.logs(name) for name in (names.agent, names.sidecars))
    assert secret not in json.dumps(told) and secret.encode() not in logs
    assert secret not in (docker.root / slug / "spec.json").read_text()


def test_containers_are_hardened_and_labelled(docker: DockerBackend) -> None:
    slug = docker.launch(plan("docker"), Values(), None, quiet).agent.slug
    names = spec.Names.of(slug)
    with engine.engine("inspect") as api:
        agent, sidecars = (api.inspect_container(name) for name in (names.agent, names.sidecars))
    for one, service in ((agent, "agent"), (sidecars, "sidecars")):
        host = one["HostConfig"]
        assert host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"]
        assert host["ReadonlyRootfs"] and host["PidsLimit"] and host["Memory"]
        assert "no-new-privileges" in host["SecurityOpt"]
        assert not one["Config"]["User"].startswith("0")
        labels = one["Config"]["Labels"]
        assert labels["com.docker.compose.project"] == names.project
        assert labels["com.docker.compose.service"] == service
        assert labels[f"{spec.PREFIX}slug"] == slug
    assert set(agent["NetworkSettings"]["Networks"]) == {names.inner}
    done = docker.exec(slug, "id -u; touch /x 2>&1; grep -c . /proc/self/status; grep CapEff /proc/self/status")
    assert (
        done.stdout.splitlines()[0] != "0" and "Read-only" in done.stdout and "CapEff:\t0000000000000000" in done.stdout
    )
    assert docker.exec(slug, "printf '#!/bin/sh\\necho ran' > ~/x; chmod +x ~/x; ~/x").stdout == "ran\n"


def test_a_name_that_is_not_the_bundles_is_refused_at_once(docker: DockerBackend) -> None:
    slug = docker.launch(plan("docker"), Values(), None, quiet).agent.slug
    asked = "import socket, time; t = time.monotonic()\n"
    asked += "try: print(socket.getaddrinfo('unknown.example', 443))\nexcept OSError: print(time.monotonic() - t < 1)\n"
    done = docker.exec(slug, f"python3 - <<'END'\n{asked}END\n")
    assert done.stdout == "True\n", done


def docker_cli(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize("closed", [True, False])
def test_a_container_that_someone_else_starts_again_runs_nothing(
    docker: DockerBackend, closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fence is gone with its network. Without the layer, the control, the agent would run on and send."""
    if not closed:
        monkeypatch.setattr(spec, "_STAY", "exec sleep infinity")
    slug = docker.launch(plan("docker"), Values(), None, quiet).agent.slug
    name, addresses = spec.Names.of(slug).agent, host_addresses(slug)
    docker_cli("restart", "-t", "0", name)
    with listener() as sock:
        script = ON_LINK.replace("PORT", str(sock.getsockname()[1]))
        if not closed:
            # What the guard of `exec_argv` keeps from being run.
            docker_cli("exec", "-w", "/", name, "python3", "-c", script, *addresses)
            assert sock.recv(16) == b"out"
            return
        done = docker.exec(slug, f"python3 - {' '.join(addresses)} <<'END'\n{script}\nEND\n")
        assert done.status == 126 and spec.RESTARTED in done.stderr, done
        with pytest.raises(TimeoutError):
            sock.recv(16)
    # Later than a launch can take, as for most bottles, it ends at once.
    monkeypatch.setattr(spec, "_STAY", spec._STAY.replace("-lt 60", "-lt 10"))
    other = docker.launch(plan("docker"), Values(), None, quiet).agent.slug
    name = spec.Names.of(other).agent
    time.sleep(10)
    for words in (("restart", "-t", "0"), ("start",)):
        docker_cli(*words, name)
        until(lambda: docker_cli("inspect", "-f", "{{.State.Running}}", name) == "false\n")
        assert spec.RESTARTED in subprocess.run(["docker", "logs", name], capture_output=True, text=True).stderr
    row = next(a for a in docker.enumerate()[0] if a.slug == other)
    assert row.state == "error" and "from outside" in row.detail


def test_the_engine_tells_what_happens_at_once(docker: DockerBackend) -> None:
    assert not docker.watch(0.2)
    slug = docker.launch(plan("docker"), Values(), None, quiet).agent.slug
    docker.watch(1)
    began = time.monotonic()

    def kill() -> None:
        time.sleep(0.3)
        docker_cli("kill", spec.Names.of(slug).agent)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(kill)
        assert docker.watch(20) and 0.3 < time.monotonic() - began < 5
        until(lambda: docker.enumerate()[0][0].state == "error", 2)
    assert "was ended from outside" in docker.enumerate()[0][0].detail
    docker_cli("rm", "-f", spec.Names.of(slug).agent, spec.Names.of(slug).sidecars)
    assert docker.watch(20), "what happened between two watches is told"
    assert "was removed from outside" in docker.enumerate()[0][0].detail
    assert [one.slug for one in docker.leftovers()] == [slug]


def test_another_state_folders_bottle_is_foreign_and_stays(docker: DockerBackend, tmp_path: Path) -> None:
    slug = docker.launch(plan("docker"), Values(), None, quiet).agent.slug
    other = DockerBackend(paths(tmp_path / "other"))
    seen = [one for one in other.foreign() if one.slug == slug]
    assert [(one.kind, one.detail, one.left) for one in seen] == [("container", "running", "of another state folder")]
    assert not [one for one in docker.foreign() if one.slug == slug]
    assert other.leftovers() == () and other.enumerate() == ((), ())
    assert other.sweep([replace(seen[0], left="")]) == ()
    with pytest.raises(BackendError, match="no live bottle"):
        other.stop(slug)
    assert [a.state for a in docker.enumerate()[0]] == ["running"]


@pytest.mark.parametrize("clash", ["agent", "sidecars", "inner"])
def test_a_name_that_is_taken(docker: DockerBackend, clash: str) -> None:
    """One line says which; what has the name stays as it was, and nothing of the launch does."""
    chosen = plan("docker")
    name = str(getattr(spec.Names.of(chosen.slug), clash))
    image = docker.launcher.images(chosen)[0].tag
    what = ("network",) if clash == "inner" else ("container",)
    docker_cli(
        *what, "create", *(() if clash == "inner" else ("--name",)), name, *(() if clash == "inner" else (image,))
    )
    try:
        before = docker_cli(*what, "inspect", name)
        with pytest.raises(BackendError, match=f"{name}.* (already|is already)") as told:
            docker.launch(chosen, Values(), None, quiet)
        assert "\n" not in told.value.message and told.value.hint == "start it again: it gets another name"
        assert docker_cli(*what, "inspect", name) == before
        assert docker.leftovers() == () and not (docker.root / chosen.slug).exists()
        ours = f"label={spec.PREFIX}slug={chosen.slug}"
        assert docker_cli("ps", "-aq", "--filter", ours) == docker_cli("network", "ls", "-q", "--filter", ours) == ""
    finally:
        docker_cli(*what, "rm", name)


def test_an_image_that_goes_before_it_is_used(docker: DockerBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    def vanished(plan: object) -> object:
        made = real(plan)
        return (replace(made[0], repository="bot-bottle-vanished"), made[1])

    real = docker.launcher.images
    monkeypatch.setattr(docker.launcher, "images", vanished)
    monkeypatch.setattr("backends.docker.build.lacking", lambda api, wanted: [])
    with pytest.raises(BackendError, match="No such image: bot-bottle-vanished") as told:
        docker.launch(plan("docker"), Values(), None, quiet)
    assert "\n" not in told.value.message and told.value.hint == "start it again: the image is built then"
    assert docker.enumerate() == ((), ()) and docker.leftovers() == ()


def test_an_ordinary_user_without_the_group(docker: DockerBackend) -> None:
    if os.geteuid():
        need("root", "root becomes an ordinary user here")
    script = "from tests.contract.conftest import *\nprint(DockerBackend(paths(Path('/nonexistent'))).available())"
    become = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
    argv = [*become, sys.executable, "-B", "-c", script]
    done = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, text=True, env=os.environ)
    assert "ok=False" in done.stdout and "no permission on unix:///" in done.stdout, done
    assert "join the group docker" in done.stdout and not done.stderr


def test_one_cleanup_takes_all_of_a_bottle_that_was_killed(docker: DockerBackend, own_state: Path) -> None:
    host = Host(docker.paths, (docker,))
    healthy, killed = (host.launch(plan("docker"), Values(), quiet).slug for _ in range(2))
    docker_cli("kill", spec.Names.of(killed).agent)
    left = host.leftovers()
    assert {(one.backend, one.slug) for one in left if not one.left} == {("docker", killed), ("host", killed)}
    assert host.sweep(left) == ()
    assert [(a.slug, a.state) for a in host.enumerate()[0]] == [(healthy, "running")]
    assert not [p for p in own_state.rglob("*") if killed in str(p)]
    host.stop(healthy, drop_changes=True)
