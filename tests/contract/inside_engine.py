"""Run in a namespace by `test_engine.py`: what an engine of our own does to bottles when it ends, hangs or is full."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from backends.api import BackendError, Values
from backends.docker import engine as engines
from backends.docker import spec
from backends.docker.driver import DockerBackend
from botbottle_tui.host.launching import Host
from tests import docker_engine
from tests.contract.conftest import paths
from tests.contract.plans import plan
from tests.contract.test_contract import Terminal, quiet, until
from tests.contract.test_docker import ON_LINK, host_addresses, listener

DNS = "127.0.0.1"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def engine() -> Iterator[docker_engine.Engine]:
    with docker_engine.running(DNS) as made:
        yield made


def docker_cli(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=60, check=True).stdout


def everything() -> dict[str, set[str]]:
    """All that the engine has, by name."""
    with engines.engine("looking") as api:
        return {
            "containers": {one["Names"][0] for one in api.containers(all=True)},
            "networks": {one["Name"] for one in api.networks()},
            "volumes": {one["Name"] for one in api.volumes()["Volumes"] or ()},
            "images": {str(one["RepoTags"] or one["Id"]) for one in api.images(all=True)},
        }


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """No room in a folder of the engine's."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "full", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(engine: docker_engine.Engine, docker: DockerBackend) -> None:
    docker.stop(docker.launch(plan("docker"), Values(), None, quiet).agent.slug)  # its images are there
    before = everything()
    with full(engine.data / "containers"), pytest.raises(BackendError) as told:
        docker.launch(plan("docker"), Values(), None, quiet)
    assert re.fullmatch(r"launching \S+: the engine's disk is full", told.value.message)
    assert told.value.hint.startswith("docker system df")
    assert everything() == before and docker.leftovers() == () and docker.enumerate() == ((), ())


def test_an_engine_that_stops_and_comes_back(engine: docker_engine.Engine, docker: DockerBackend) -> None:
    """One line while it is away; then the rows again, which say what became of them; nothing stays in the end."""
    before = everything()
    slugs = sorted(docker.launch(plan("docker"), Values(), None, quiet).agent.slug for _ in range(2))
    host = Host(docker.paths, (docker,))
    engine.stop()
    try:
        for _ in range(2):
            agents, faults = docker.enumerate()
            assert agents == () and [f.message.partition(" at ")[0] for f in faults] == [
                "listing bottles: no Docker engine answers"
            ]
        assert [(one.slug, one.detail) for one in host.leftovers()] == [("", "not looked at")]
    finally:
        engine.start()
    agents, faults = docker.enumerate()
    assert [a.slug for a in agents] and sorted(a.slug for a in agents) == slugs and not faults
    assert all(a.state == "error" and "an engine's restart" in a.detail for a in agents)
    name = spec.Names.of(slugs[0]).agent
    # Its fence is gone for good, and so is what would run.
    subprocess.run(["docker", "start", name], capture_output=True, timeout=60)
    assert docker.exec(slugs[0], "echo ran").stdout == ""
    assert sorted({one.slug for one in docker.leftovers()}) == slugs
    assert docker.sweep(docker.leftovers()) == () and docker.enumerate() == ((), ())
    assert everything() == before


def test_an_engine_that_hangs_and_goes_on(
    engine: docker_engine.Engine, docker: DockerBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "POLL_TIMEOUT", 1)
    slug = docker.launch(plan("docker"), Values(), None, quiet).agent.slug
    assert engine.process is not None
    engine.process.send_signal(signal.SIGSTOP)
    try:
        agents, (fault,) = docker.enumerate()
        assert agents == () and fault.message == "listing bottles: the Docker engine does not answer in time"
    finally:
        engine.process.send_signal(signal.SIGCONT)
    until(lambda: [a.state for a in docker.enumerate()[0]] == ["running"])
    assert docker.exec(slug, "echo on").stdout == "on\n"


def test_containers_that_outlive_their_engine(own_state: Path, engine: docker_engine.Engine) -> None:
    """With live-restore the bottle runs on behind its fence; what was on its terminal is started again on demand."""
    engine.stop()
    engine.flags = [*engine.flags, "--live-restore"]
    engine.start()
    try:
        docker = DockerBackend(paths(own_state))
        slug = docker.launch(plan("docker"), Values(), None, quiet).agent.slug
        engine.stop()
        assert docker.enumerate()[1]
        engine.start()
        until(lambda: [a.state for a in docker.enumerate()[0]] in (["running"], ["done"]))
        assert docker.exec(slug, "echo on").stdout == "on\n"
        addresses = host_addresses(slug)
        with listener() as sock:
            script = ON_LINK.replace("PORT", str(sock.getsockname()[1]))
            done = docker.exec(slug, f"python3 - {' '.join(addresses)} 2>&1 <<'END'\n{script}\nEND\n")
            assert done.stdout.count("Operation not permitted") == 3 * len(addresses), done
            with pytest.raises(TimeoutError):
                sock.recv(16)
        terminal = Terminal(docker.attach_argv(slug, pane=True))
        terminal.type("echo ba''ck\n")
        terminal.sees("back")
        terminal.end()
        until(lambda: [a.state for a in docker.enumerate()[0]] == ["running"])
        assert docker.exec(slug, "cat /proc/[0-9]*/comm").stdout.split().count("bash") == 1, "the old one ended"
        docker.stop(slug)
    finally:
        engine.stop()
        engine.flags = engine.flags[:-1]
        engine.start()


def uninstall() -> str:
    """The README's lines, up to the clone's own."""
    text = (ROOT / "README.md").read_text().partition("\n## Uninstall\n")[2].partition("\n## ")[0]
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert lines[-1].startswith("make clean") and len(lines) == 4
    return "\n".join(lines[:-1])


def test_the_documented_way_out_leaves_nothing(engine: docker_engine.Engine, tmp_path: Path) -> None:
    """The engine's state and the file system's, before the first bottle and after; somebody else's things stay."""
    home = tmp_path / "home"
    (home / "project").mkdir(parents=True)
    (home / "project" / "README").write_text("A project.\n")
    used = docker_engine.wanted()[0].tag
    docker_cli("create", "--name", "someone-elses", "--label", "io.bot-bottle.note=no", used, "true")
    docker_cli("network", "create", "someone-elses")
    before, files = everything(), sorted(home.rglob("*"))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("BOT_BOTTLE", "XDG_"))}
    env |= {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def sh(script: str) -> subprocess.CompletedProcess[str]:
        cwd = home / "project"
        done = subprocess.run(["sh", "-ec", script], env=env, cwd=cwd, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done

    sh("bottle-dash init; bottle-dash start shell --backend docker --cwd --yes </dev/null")
    killed = sh("bottle-dash start shell --backend docker --yes </dev/null").stdout.split()[-1]
    docker_cli("kill", spec.Names.of(killed).agent)
    assert "someone-elses" in str(everything()) and killed in str(everything())
    sh(uninstall())
    after = everything()
    # What a container still uses stays, whoever's it is.
    assert after == {**before, "images": {f"['{used}']"}}
    assert [p for p in sorted(home.rglob("*")) if p not in files and p.is_file()] == []
    for claim in Path("/run/bot-bottle/uids").glob("*"):
        with suppress(FileNotFoundError):  # another bottle's of this machine, gone just now
            assert str(home) not in claim.read_text()
    docker_cli("rm", "someone-elses")
    docker_cli("network", "rm", "someone-elses")
    sh("bottle-dash cleanup --images --yes")
    assert everything()["images"] == set()
