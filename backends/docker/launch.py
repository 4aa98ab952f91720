"""The steps of a launch on an engine: images, folder, networks, two containers, files, rules, the fence, the agent."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent_image.providers import HOME, WORKSPACE, Provider
from backends import bundle, programs, provision, uids
from backends.alive import Proc, mark
from backends.api import BackendError, GeneratedFile, HostPaths, LaunchPlan, Progress, Values, WorkspaceMode
from backends.bundle_env import upstream_ca
from backends.docker import build, context, engine, fence, images, made, proof, spec
from backends.folders import give_tree, protected
from backends.process import Runner
from sidecar_bundle.shared import layout
from sidecar_bundle.shared.config import dump_config
from sidecar_bundle.shared.visible import visible

START_SECONDS = 15.0
USE_A_COPY = "use a copy, or give the folder to a user"


class Launcher:
    """Launches into the state folder `root`. What it began is undone by the caller, by the slug alone."""

    def __init__(self, paths: HostPaths, root: Path, runner: Runner) -> None:
        self.paths = paths
        self.root = root
        self.runner = runner
        self.builder = build.Builder(paths.home)

    def images(self, plan: LaunchPlan) -> tuple[images.Image, images.Image]:
        """The agent's image and the bundle's."""
        roots = upstream_ca(self.paths.extra_ca)
        if plan.dockerfile:
            path = Path(plan.dockerfile).expanduser()
            agent = images.own(plan.provider, roots, context.read(path, self.paths.home), path.name)
        else:
            agent = images.agent(plan.provider, roots)
        return agent, images.bundle(roots, programs.find())

    def launch(
        self, api: Any, run: Path, plan: LaunchPlan, values: Values, workspace: Path | None, progress: Progress
    ) -> proof.Bottle:
        """Runs every step; the record is written when the agent runs."""
        agent_image, bundle_image = wanted = self.images(plan)
        self.builder.ensure(api, wanted, progress)
        progress("making the bottle's folder")
        claimed, agent_uid, bundle_uid = self._folder(run, plan, workspace)
        owner, names = proof.owner(self.root), spec.Names.of(plan.slug)
        progress("making the networks")
        for inner in (True, False):
            api.create_network(**spec.network(plan.slug, owner, inner=inner))
        progress("starting the sidecar bundle")
        sidecars = spec.bundle(plan.slug, owner, bundle_image.tag, run=str(run), uid=bundle_uid, daemons=plan.daemons)
        create(api, sidecars, names.inner)
        api.connect_container_to_network(names.sidecars, names.outer)
        api.start(names.sidecars)
        address = api.inspect_container(names.sidecars)["NetworkSettings"]["Networks"][names.inner]["IPAddress"]
        control = proof.control(run)
        ca = self._ca(api, control, names.sidecars)
        progress("starting the agent's container")
        self._etc(run, plan, ca, agent_uid)
        shown = str(workspace or "")
        read_only = protected(workspace) if workspace and plan.workspace is WorkspaceMode.BIND else []
        agent = spec.agent(
            plan.slug,
            owner,
            agent_image.tag,
            run=str(run),
            uid=agent_uid,
            limits=plan.limits,
            bundle_address=address,
            workspace=shown,
            read_only=read_only,
        )
        (run / spec.SPEC).write_text(json.dumps({"sidecars": sidecars, "agent": agent}, indent=1, default=str) + "\n")
        create(api, agent, names.inner)
        api.start(names.agent)
        if plan.dockerfile:
            usable(api, names.agent, f"{agent_uid}:{agent_uid}", plan.provider)
        progress("copying files in")
        origin = made.Made(plan.provider.name, plan.dockerfile, agent_image.text)
        made.save(run, origin)
        self._home(api, run, plan, names.agent, agent_uid, ca, origin)
        progress("waiting for egress")
        bundle.request(control, {"op": "configure", "config": dump_config(plan.config), "listen": f"tcp:{address}"})
        bundle.supply(control, values)
        bundle.wait_ready(control, plan.daemons)
        progress("closing the network but for the bundle")
        fence.close(api, plan.slug, bundle_image.tag, address, owner)
        progress("starting the agent")
        env = provision.agent_env(plan.provider, plan.env, values.env, plan.daemons, plan.sidecar_host)
        holder = Proc(0, 0)
        if not plan.one_shot:
            holder = self._hold(run, plan, names.agent, agent_uid, env)
        started = time.time()
        bottle = proof.Bottle(
            proof.SCHEMA,
            plan.slug,
            plan.agent,
            started,
            engine.endpoint(),
            agent_uid,
            bundle_uid,
            claimed,
            plan.daemons,
            holder,
            owner.boot,
        )
        proof.save(run, bottle)
        return bottle

    def _folder(self, run: Path, plan: LaunchPlan, workspace: Path | None) -> tuple[int, int, int]:
        """The folder with what the bundle is shown; (claimed pair or 0, the agent's uid, the bundle's)."""
        root = os.geteuid() == 0
        try:
            for folder in (self.root.parent, self.root):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            run.mkdir(mode=0o700)
            mark(run)
            claimed = 0
            agent_uid = bundle_uid = os.getuid()
            if root:
                claimed, bundle_uid = uids.claim(str(run))
                agent_uid = claimed
            for name, mode in (
                (proof.BUNDLE, 0o700),
                (f"{proof.BUNDLE}/{layout.QUEUE_FOLDER}", 0o700),
                (proof.ANSWERS, 0o755),
                (proof.FILES, 0o755),
                (f"{proof.FILES}/etc", 0o755),
            ):
                (run / name).mkdir()
                (run / name).chmod(mode)
                if root and mode == 0o700:
                    os.chown(run / name, bundle_uid, bundle_uid)
            (run / "roots.pem").write_text(upstream_ca(self.paths.extra_ca))
            (run / "roots.pem").chmod(0o644)
            (run / spec.WHO).write_text(f"bundle:x:{bundle_uid}:{bundle_uid}:bundle:/tmp:/bin/false\n")
            (run / spec.WHO).chmod(0o644)
            if workspace is not None and root:
                if plan.workspace is WorkspaceMode.BIND:
                    agent_uid = workspace.stat().st_uid
                    if agent_uid == 0:
                        raise BackendError(f"{workspace} is root's, and nothing in a bottle runs as root", USE_A_COPY)
                else:
                    give_tree(workspace, agent_uid)
        except OSError as error:
            reason = error.strerror or str(error)
            raise BackendError(
                f"cannot prepare {run}: {reason}", f"check space and permissions of {self.root}"
            ) from None
        return claimed, agent_uid, bundle_uid

    def _ca(self, api: Any, control: Path, container: str) -> str:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return bundle.ca_of(control)
            except OSError:
                state = api.inspect_container(container)["State"]
                if not state["Running"] or time.monotonic() > deadline:
                    last = api.logs(container, tail=1).decode(errors="replace").strip() or "it gave no reason"
                    raise BackendError(
                        f"the sidecar bundle did not start: {last[:300]}", "bottle-dash doctor"
                    ) from None
                time.sleep(0.02)

    def _etc(self, run: Path, plan: LaunchPlan, ca: str, uid: int) -> None:
        files = (*provision.system_files(plan.slug, uid), *provision.ca_files((run / "roots.pem").read_text(), ca))
        for file in files:
            if file.path.startswith("/etc/"):
                target = run / proof.FILES / file.path.lstrip("/")
                target.write_bytes(file.content)
                target.chmod(0o644)

    def _home(
        self, api: Any, run: Path, plan: LaunchPlan, container: str, uid: int, ca: str, origin: made.Made
    ) -> None:
        own = [f for f in provision.ca_files((run / "roots.pem").read_text(), ca) if not f.path.startswith("/etc/")]
        skills = [(f"{HOME}/{plan.provider.skills_dir}/{skill.name}", skill) for skill in plan.skills]
        done = engine.run(api, container, ["mkdir", "-p", WORKSPACE], user=f"{uid}:{uid}")
        if done.status:
            raise BackendError(f"cannot make {WORKSPACE}: {done.stderr.strip()}")
        more = [origin.shown, GeneratedFile(spec.LAUNCHED, "")]
        engine.copy(api, container, [*plan.files, *own, *more], uid=uid, folders=skills)

    def _hold(self, run: Path, plan: LaunchPlan, container: str, uid: int, env: Mapping[str, str]) -> Proc:
        def command(argv: Sequence[str]) -> list[str]:
            return [*enter(container, uid, tty=True), *argv]

        path = run / proof.HOLDER_SOCKET
        argv = [sys.executable, "-I", "-m", "backends.holder", "run", str(path)]
        argv += ["--resume", json.dumps(command(plan.resume_argv)), "--", *command(plan.argv)]
        proc = Proc.of(self.runner.spawn_detached(argv, stdin_socket=None, log=run / "holder.log", env=dict(env)))
        deadline = time.monotonic() + 10
        while not path.exists():
            if not proc.alive() or time.monotonic() > deadline:
                raise BackendError(f"the agent's terminal did not start: see {run / 'holder.log'}")
            time.sleep(0.005)
        return proc


def enter(container: str, uid: int, *, tty: bool) -> list[str]:
    """The head of a command line that runs what follows in a container, in its own environment."""
    docker = shutil.which("docker")
    if docker is None:
        raise BackendError("the docker command is not installed", "apt-get install docker.io")
    head = [sys.executable, "-I", "-m", "backends.docker.enter", engine.endpoint(), docker, container, str(uid)]
    return [*head, WORKSPACE, "tty" if tty else "plain", "--"]


def usable(api: Any, container: str, user: str, provider: Provider) -> None:
    """Refuses an image that lacks what a bottle cannot do without."""
    path = provision.base_env(provider)["PATH"]
    for name in ("sh", "tar", "sleep", provider.command[0]):
        # The first is what the container itself needs: without it, it has ended.
        if not api.inspect_container(container)["State"]["Running"]:
            last = api.logs(container, tail=1).decode(errors="replace").strip() or "it ended at once"
            raise BackendError(
                f"the image does not run: {visible(last, keep='')[:200]}", "a bottle's image needs sleep, sh and tar"
            )
        done = engine.run(api, container, ["env", f"PATH={path}", "sh", "-c", 'command -v "$0"', name], user=user)
        if done.status:
            raise BackendError(f"the image has no {name}", "its Dockerfile must install it")


def create(api: Any, wanted: Mapping[str, Any], network: str) -> None:
    """A container of our specification, not started."""
    host = api.create_host_config(**wanted["host"], network_mode=network)
    labels = spec.composed(wanted, api.inspect_image(wanted["config"]["image"])["Id"])
    point = {network: api.create_endpoint_config(aliases=wanted["aliases"])}
    config = api.create_networking_config(point)
    wanted = {**wanted["config"], "labels": labels, "name": wanted["name"]}
    api.create_container(**wanted, host_config=host, networking_config=config)
