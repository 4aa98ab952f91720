"""Another image for the agent of a live bottle: tried out beside the old container, which goes only when all is there.

The bundle runs on. Until the new container has the agent's files, whatever fails leaves the bottle as it was.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from agent_image.providers import HOME, PROVIDERS
from backends import provision
from backends.alive import maker_alive, mark
from backends.api import BackendError, Fault, GeneratedFile, HostPaths, Leftover, Progress
from backends.bundle_env import upstream_ca
from backends.docker import engine, fence, launch, made, proof, spec
from backends.docker.build import Builder
from backends.holder import client

# A rebuild under way: a folder, since that is what is marked with its maker.
BEGUN = "rebuild"
_PLAN = "plan.json"
_NEXT = "-next"  # after the name of the agent's container
_END_SECONDS = 10.0


class Rebuilder:
    """Rebuilds bottles of the state folder `root`."""

    def __init__(self, paths: HostPaths, root: Path, builder: Builder) -> None:
        self.paths, self.root, self.builder = paths, root, builder

    def rebuild(self, api: Any, run: Path, bottle: proof.Bottle, dockerfile: str, progress: Progress) -> None:
        """Builds, tries out, moves the agent's files, and lets its terminal go on in the new container."""
        was = made.load(run)
        now = replace(was, text=dockerfile)
        image = now.image(dockerfile, upstream_ca(self.paths.extra_ca), self.paths.home)
        self.builder.ensure(api, [image], progress)
        settle(api, run)
        whole = json.loads((run / spec.SPEC).read_text())
        names, user = spec.Names.of(bottle.slug), f"{bottle.agent_uid}:{bottle.agent_uid}"
        agent = whole["agent"] | {"config": whole["agent"]["config"] | {"image": image.tag}}
        _begin(run, {"spec": whole | {"agent": agent}, "made": asdict(now)})
        fresh = _next(names)
        try:
            progress("trying the new image")
            launch.create(api, agent | {"name": fresh}, names.inner)
            api.start(fresh)
            launch.usable(api, fresh, user, PROVIDERS[was.provider])
            sidecars = api.inspect_container(names.sidecars)
            address = sidecars["NetworkSettings"]["Networks"][names.inner]["IPAddress"]
            fence.close(api, bottle.slug, sidecars["Config"]["Image"], address, proof.owner(self.root), agent=fresh)
            engine.copy(api, fresh, [GeneratedFile(spec.LAUNCHED, "")], uid=bottle.agent_uid)
            progress("moving the agent's files")
            _signal(api, names.agent, user, "STOP")
            _move(api, names.agent, fresh, user)
            engine.copy(api, fresh, [now.shown], uid=bottle.agent_uid)
        except BaseException:
            # What this cannot undo, cleanup does.
            with contextlib.suppress(Exception):
                settle(api, run)
            raise
        progress("starting the agent again")
        api.remove_container(names.agent, force=True, v=True)
        settle(api, run)
        if bottle.holder.start:
            _go_on(run)


def settle(api: Any, run: Path) -> None:
    """Ends a rebuild that was begun, by whomever: undone while the old container is there, else done."""
    begun = run / BEGUN
    if not begun.exists():
        return
    names = spec.Names.of(run.name)
    old, fresh = _state(api, names.agent), _state(api, _next(names))
    if old:
        if fresh:
            api.remove_container(_next(names), force=True, v=True)
        if old == "running" and (bottle := proof.load(run)):
            _signal(api, names.agent, f"{bottle.agent_uid}:{bottle.agent_uid}", "CONT")
    elif fresh:
        api.rename(_next(names), names.agent)
        with contextlib.suppress(OSError, ValueError):
            plan = json.loads((begun / _PLAN).read_text())
            (run / spec.SPEC).write_text(json.dumps(plan["spec"], indent=1) + "\n")
            made.save(run, made.Made(**plan["made"]))
    for path in (*begun.iterdir(), begun):
        path.rmdir() if path.is_dir() else path.unlink()


def unfinished(root: Path) -> tuple[Leftover, ...]:
    """Rebuilds whose maker is gone."""
    runs = [run for run in proof.runs(root) if (run / BEGUN).is_dir() and not maker_alive(run / BEGUN)]
    return tuple(
        Leftover("docker", "container", f"{run.name}{_NEXT}", run.name, "a rebuild that was cut off") for run in runs
    )


def sweep(root: Path, leftovers: Sequence[Leftover]) -> tuple[Fault, ...]:
    """Settles those that still are; their bottles live on."""
    faults = []
    for one in set(leftovers) & set(unfinished(root)):
        try:
            with engine.engine(f"settling {one.slug}") as api:
                settle(api, root / one.slug)
        except BackendError as error:
            faults.append(Fault("docker", error.message, error.hint))
    return tuple(faults)


def _next(names: spec.Names) -> str:
    return names.agent + _NEXT


def _begin(run: Path, plan: Mapping[str, Any]) -> None:
    begun = run / BEGUN
    try:
        begun.mkdir(mode=0o700)
        mark(begun)
        (begun / _PLAN).write_text(json.dumps(plan))
    except OSError as error:
        raise BackendError(f"cannot write {begun}: {error.strerror}", f"check space and permissions of {run}") from None


def _state(api: Any, name: str) -> str:
    """As the engine says it, "" where there is no such container."""
    try:
        return str(api.inspect_container(name)["State"]["Status"])
    except Exception as error:
        if engine.missing(error):
            return ""
        raise


def _signal(api: Any, container: str, user: str, name: str) -> None:
    """To all that runs in the container but process 1; twice, for what was just being started."""
    for _ in range(2):
        engine.run(api, container, ["sh", "-c", f"kill -{name} -1"], user=user)


def _move(api: Any, source: str, target: str, user: str) -> None:
    done = engine.run(api, target, provision.UNPACK, user=user, data=_files(api, source, user))
    if done.status:
        last = done.stderr.strip().splitlines()[-1:] or [f"tar ended with {done.status}"]
        raise BackendError(f"the agent's files cannot be moved: {last[0][:200]}")


def _files(api: Any, container: str, user: str) -> Iterator[bytes]:
    """All below HOME but what is mounted there, as a tar."""
    pack = ["tar", "-cf", "-", "-C", "/", "--one-file-system", HOME.lstrip("/")]
    ident = api.exec_create(container, pack, user=user)["Id"]
    last = b""
    for out, err in api.exec_start(ident, stream=True, demux=True):
        if out:
            yield out
        last = err or last
    if status := engine.exit_status(api, ident):
        reason = last.decode(errors="replace").strip().splitlines()[-1:] or [f"tar ended with {status}"]
        raise BackendError(f"the agent's files cannot be read: {reason[0][:200]}")


def _go_on(run: Path) -> None:
    """The agent's terminal starts it again once it has seen the old one end."""
    path, deadline = str(run / proof.HOLDER_SOCKET), time.monotonic() + _END_SECONDS
    try:
        while client.request(path, {"op": "status"}).get("state") != "ended" and time.monotonic() < deadline:
            time.sleep(0.02)
        client.request(path, {"op": "start"})
    except client.ClientError as error:
        raise BackendError(f"the agent is not started again: {error}", f"bottle-dash attach {run.name}") from None
