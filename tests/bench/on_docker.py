"""The docker backend beside the engine itself: a launch, a poll of many bottles, and what a bottle takes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import sidecar_bundle
from backends import programs
from backends.api import HostPaths
from backends.bundle_env import upstream_ca
from backends.docker import build, engine, images, spec
from backends.docker.driver import DockerBackend
from tests.bench.figures import Row, p50, p95
from tests.bench.launching import PROMPT, Launches, Spent, place
from tests.bench.pty_program import PtyProgram

# What a line of progress begins; the launch's end begins the attach.
PARTS = {
    "": "record",
    "making the networks": "networks",
    "starting the sidecar bundle": "bundle",
    "starting the agent's container": "agent's container",
    "copying files in": "files",
    "waiting for egress": "egress ready",
    "closing the network but for the bundle": "fence and proof",
    "starting the agent": "agent",
    "attach": "attach to first byte",
}


def _docker(*argv: str) -> str:
    return subprocess.run(["docker", *argv], check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def _flags(wanted: Mapping[str, Any]) -> list[str]:
    """What `docker run` needs to make a container like ours; neither a volume nor an address, which cost no time."""
    host, config = wanted["host"], wanted["config"]
    out = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", config["user"]]
    out += ["--memory", str(host["mem_limit"]), "--pids-limit", str(host["pids_limit"])]
    out += [word for path, options in host["tmpfs"].items() for word in ("--tmpfs", f"{path}:{options}")]
    return out + (["--runtime", host["runtime"]] if host.get("runtime") else [])


class Bare:
    """The two containers of a launched bottle, made by hand."""

    def __init__(self, made: Mapping[str, Any]) -> None:
        self.spec = made

    def one(self) -> float:
        """Milliseconds from the first command until the shell's prompt."""
        name = f"bench-{os.urandom(4).hex()}"
        sidecars, agent = self.spec["sidecars"], self.spec["agent"]
        begin = time.perf_counter()
        try:
            _docker("network", "create", "--internal", f"{name}-in")
            _docker("network", "create", f"{name}-out")
            image, command = sidecars["config"]["image"], sidecars["config"]["command"]
            # An init that is told nothing listens nowhere: what it imports is waited for by nobody.
            env = [word for pair in sidecars["config"]["environment"].items() for word in ("-e", "=".join(pair))]
            state = ["--tmpfs", f"/run/bundle:uid={sidecars['config']['user'].partition(':')[0]}"]
            flags = [*_flags(sidecars), *state, *env, "--network", f"{name}-in"]
            _docker("run", "-d", "--name", f"{name}-a", *flags, image, *command)
            _docker("network", "connect", f"{name}-out", f"{name}-a")
            argv = ["docker", "run", "-it", "--name", f"{name}-b", "--network", f"{name}-in", *_flags(agent)]
            argv += ["--hostname", "bottle", agent["config"]["image"], "bash", "-c", "echo agent@bottle; exec sleep 60"]
            program = PtyProgram(argv, os.environ)
            program.until(PROMPT)
            return (time.perf_counter() - begin) * 1000
        finally:
            for kind in (("rm", "-fv", f"{name}-a", f"{name}-b"), ("network", "rm", f"{name}-in", f"{name}-out")):
                with contextlib.suppress(subprocess.SubprocessError):
                    _docker(*kind)
            with contextlib.suppress(NameError):
                program.close(b"")


def memory(slug: str) -> dict[str, float]:
    """Megabytes (PSS) of a bottle by part; root only, on an engine of this machine."""
    names = spec.Names.of(slug)
    held = dict[str, float]()
    for part, container in (("agent's container", names.agent), ("sidecars", names.sidecars)):
        first = int(_docker("inspect", "-f", "{{.State.Pid}}", container))
        pids = {first, *map(int, _docker("top", container, "-o", "pid").split()[1:])}
        held[part] = sum(map(_pss, pids))
        held["the engine's shims"] = held.get("the engine's shims", 0.0) + _pss(_parent(first))
    held["holder"] = sum(_pss(int(pid)) for pid in _pids("-f", f"docker/{slug}/"))
    return held


def _pids(*argv: str) -> list[str]:
    return subprocess.run(["pgrep", *argv], capture_output=True, text=True).stdout.split()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _pss(pid: int) -> float:
    fields = dict(line.split()[:2] for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return int(fields["Pss:"]) / 1024


class _Launches(Launches):
    spec: Mapping[str, Any]
    held: Mapping[str, float]

    def look(self, slug: str) -> None:
        """Keeps what it was made of, and what it holds in memory by now."""
        self.spec = json.loads((self.home / "docker" / slug / "spec.json").read_text())
        self.held = memory(slug)


def image_rows(runs: int, cache: Path) -> list[Row]:
    """The bundle's image after a change of its code, and how long it takes to see that nothing changed."""
    changed, same = list[float](), list[float]()
    with place() as folder, mock.patch.object(images, "_BUNDLE", folder / "sidecar_bundle"):
        shutil.copytree(sidecar_bundle.__path__[0], images._BUNDLE)
        bundle = images.bundle(upstream_ca(None), programs.find())
        builder = build.Builder(folder)
        with engine.engine("bench") as api:
            builder.ensure(api, [bundle], lambda line: None)
            for _ in range(min(runs, 5)):
                (images._BUNDLE / "init" / "changed.py").write_text(f"# {os.urandom(8).hex()}\n")
                for spent in (changed, same):
                    begin = time.perf_counter()
                    bundle = images.bundle(upstream_ca(None), programs.find())
                    builder.ensure(api, [bundle], lambda line: None)
                    spent.append((time.perf_counter() - begin) * 1000)
                api.remove_image(bundle.tag)
    return [
        Row("docker: bundle's image after a change of its code, p50", p50(changed), aim=5000),
        Row("  when nothing changed, p50", p50(same)),
    ]


def launch_rows(runs: int, cache: Path) -> list[Row]:
    """Launches, interleaved with the same two containers by `docker run`."""
    with place() as folder:
        backend = DockerBackend(HostPaths(folder / "home", cache))
        launches = _Launches(folder / "home", folder / "project", cache, backend, PARTS)
        spent, bare = Spent(), list[float]()
        try:
            for turn in range(runs + 1):
                if turn == 1:  # the first turn builds the images
                    spent, bare = Spent(), []
                launches.one(spent)
                bare.append(Bare(launches.spec).one())
        finally:
            launches.close()
    return [
        Row("docker: confirm to first byte, p50", p50(spent.whole), "docker run of the same two", p50(bare), 1.3, True),
        Row("docker: confirm to first byte, p95", p95(spent.whole), "docker run of the same two, p95", p95(bare)),
        *(Row(f"  of it {name}, p50", p50(ms)) for name, ms in spent.parts.items()),
        Row("docker: memory of a bottle, PSS", sum(launches.held.values()), unit="MB"),
        *(Row(f"  of it {part}", mb, unit="MB") for part, mb in launches.held.items()),
    ]
