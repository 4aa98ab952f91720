"""The docker backend: two containers a bottle, made through the engine's API, and a terminal that a holder owns."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent_image.providers import PROVIDERS, WORKSPACE
from backends import bundle, programs, provision, uids
from backends.alive import Proc, mark
from backends.api import (
    Agent,
    BackendError,
    Capability,
    Check,
    Exchange,
    ExecResult,
    Fault,
    GeneratedFile,
    HostPaths,
    Launched,
    LaunchPlan,
    Leftover,
    Progress,
    Values,
    WorkspaceMode,
)
from backends.bundle_env import upstream_ca
from backends.docker import engine, fence, images, proof, remains, spec
from backends.folders import give_tree, protected
from backends.holder import client
from backends.process import Runner
from sidecar_bundle.shared import layout
from sidecar_bundle.shared.config import BundleConfig, dump_config

START_SECONDS = 15.0
_COPY = "use a copy, or give the folder to a user"


class DockerBackend:
    """See `backends.api.Backend` for what each method promises."""

    name = "docker"
    strength = "containers on an internal network; shares the host's kernel"
    sidecar_host = spec.SIDECARS

    def __init__(self, paths: HostPaths, runner: Runner | None = None) -> None:
        self.paths = paths
        self.root = paths.home / "docker"
        self.runner = runner or Runner()

    def capabilities(self) -> frozenset[Capability]:
        """What it can do."""
        return frozenset({Capability.ATTACH, Capability.EXEC, Capability.BIND_WORKSPACE, Capability.SIGNAL_DAEMON})

    def available(self) -> Check:
        """Whether an engine answers, and the CLI that attaching needs is there."""
        try:
            with engine.engine("docker", engine.POLL_TIMEOUT) as api:
                version = api.version()
        except BackendError as error:
            return Check(self.name, False, error.message.removeprefix("docker: "), error.hint)
        if shutil.which("docker") is None:
            return Check(self.name, False, "the docker command is not installed", "apt-get install docker.io")
        return Check(self.name, True, f"engine {version.get('Version', '?')} at {engine.endpoint()}")

    def preflight(self, plan: LaunchPlan) -> tuple[Check, ...]:
        """What this launch needs of the machine."""
        checks = [self.available()]
        if not checks[0].ok:
            return tuple(checks)
        try:
            wanted = self._images(plan)
            with engine.engine("images", engine.POLL_TIMEOUT) as api:
                lacking = [image.repository for image in images.lacking(api, wanted)]
            text = f"will be built first: {', '.join(lacking)}" if lacking else "are there"
            checks.append(Check("images", True, text, warn=bool(lacking)))
        except BackendError as error:
            checks.append(Check("images", False, error.message, error.hint))
        if plan.workspace is WorkspaceMode.BIND:
            try:
                if protected(plan.cwd):
                    checks.append(Check("git", True, ".git is read-only inside (bind): commits need a copy", warn=True))
            except BackendError as error:
                checks.append(Check("git", False, error.message, error.hint))
            if os.geteuid() == 0 and plan.cwd.exists() and plan.cwd.stat().st_uid == 0:
                text = "the folder is root's, and nothing in a bottle runs as root"
                checks.append(Check("bind", False, text, _COPY))
        return tuple(checks)

    def _images(self, plan: LaunchPlan) -> tuple[images.Image, images.Image]:
        roots = upstream_ca(self.paths.extra_ca)
        return (
            images.agent(plan.provider.name, plan.provider.image, roots),
            images.bundle(roots, programs.find()),
        )

    def launch(self, plan: LaunchPlan, values: Values, workspace: Path | None, progress: Progress) -> Launched:
        """Both containers up, proved to be closed, the agent running; undone whole when anything fails."""
        run = self.root / plan.slug
        if run.exists():
            raise BackendError(f"a bottle named {plan.slug} is there already")
        try:
            with engine.engine(f"launching {plan.slug}") as api:
                return self._launch(api, run, plan, values, workspace, progress)
        except BaseException:
            remains.clear(self.root, plan.slug)
            raise

    def _launch(
        self, api: Any, run: Path, plan: LaunchPlan, values: Values, workspace: Path | None, progress: Progress
    ) -> Launched:
        agent_image, bundle_image = wanted = self._images(plan)
        for image in images.lacking(api, wanted):
            images.build(api, image, progress)
        progress("making the bottle's folder")
        claimed, agent_uid, bundle_uid = self._folder(run, plan, workspace)
        owner, names = proof.owner(self.root), spec.Names.of(plan.slug)
        progress("making the networks")
        for inner in (True, False):
            api.create_network(**spec.network(plan.slug, owner, inner=inner))
        progress("starting the sidecar bundle")
        sidecars = spec.bundle(plan.slug, owner, bundle_image.tag, run=str(run), uid=bundle_uid, daemons=plan.daemons)
        _create(api, sidecars, names.inner)
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
        (run / "spec.json").write_text(json.dumps({"sidecars": sidecars, "agent": agent}, indent=1, default=str) + "\n")
        _create(api, agent, names.inner)
        api.start(names.agent)
        progress("copying files in")
        self._home(api, run, plan, names.agent, agent_uid, ca)
        progress("waiting for egress")
        bundle.request(control, {"op": "configure", "config": dump_config(plan.config), "listen": f"tcp:{address}"})
        bundle.supply(control, values)
        bundle.wait_ready(control, plan.daemons)
        progress("closing the network but for the bundle")
        fence.close(api, plan.slug, bundle_image.tag, address, owner)
        progress("starting the agent")
        env = provision.agent_env(plan.provider, plan.env, values.env, plan.daemons, self.sidecar_host)
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
        )
        proof.save(run, bottle)
        return Launched(Agent(plan.slug, plan.agent, self.name, "running", started, plan.daemons), {"run": str(run)})

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
                        raise BackendError(f"{workspace} is root's, and nothing in a bottle runs as root", _COPY)
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

    def _home(self, api: Any, run: Path, plan: LaunchPlan, container: str, uid: int, ca: str) -> None:
        own = [f for f in provision.ca_files((run / "roots.pem").read_text(), ca) if not f.path.startswith("/etc/")]
        home = "/home/agent"
        skills = [(f"{home}/{plan.provider.skills_dir}/{skill.name}", skill) for skill in plan.skills]
        made = engine.run(api, container, ["mkdir", "-p", WORKSPACE], user=f"{uid}:{uid}")
        if made.status:
            raise BackendError(f"cannot make {WORKSPACE}: {made.stderr.strip()}")
        engine.copy(api, container, [*plan.files, *own], uid=uid, folders=skills)

    def _hold(self, run: Path, plan: LaunchPlan, container: str, uid: int, env: Mapping[str, str]) -> Proc:
        def command(argv: Sequence[str]) -> list[str]:
            return [*self._enter(container, uid, tty=True), *argv]

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

    def _enter(self, container: str, uid: int, *, tty: bool) -> list[str]:
        docker = shutil.which("docker")
        if docker is None:
            raise BackendError("the docker command is not installed", "apt-get install docker.io")
        head = [sys.executable, "-I", "-m", "backends.docker.enter", engine.endpoint(), docker, container, str(uid)]
        return [*head, WORKSPACE, "tty" if tty else "plain", "--"]

    def enumerate(self) -> tuple[tuple[Agent, ...], tuple[Fault, ...]]:
        """Bottles whose record and containers stand; one request to the engine, and none where there is no bottle."""
        runs = [(run, bottle) for run in proof.runs(self.root) if (bottle := proof.load(run)) is not None]
        if not runs:
            return (), ()
        try:
            states = remains.states(self.root)
        except BackendError as error:
            return (), (Fault(self.name, error.message, error.hint),)
        return tuple(_row(run, bottle, states.get(bottle.slug, {})) for run, bottle in runs), ()

    def stop(self, slug: str) -> None:
        """Removes containers, networks and folder."""
        self._find(slug)
        faults = remains.clear(self.root, slug)
        if faults:
            raise BackendError(f"bottle {slug} did not end cleanly: {faults[0]}", "bottle-dash cleanup")

    def signal(self, slug: str, daemon: str, sig: int) -> None:
        """SIGHUP has the rules read again, any other restarts the daemon."""
        run, _ = self._find(slug)
        hangup = sig == 1
        with _reachable(slug):
            bundle.request(proof.control(run), {"op": "reload"} if hangup else {"op": "restart", "daemon": daemon})

    def attach_argv(self, slug: str, *, pane: bool) -> tuple[str, ...]:
        """The holder's client."""
        run, _ = self._find(slug)
        argv = (sys.executable, "-I", "-m", "backends.holder", "attach", str(run / proof.HOLDER_SOCKET))
        return (*argv, "--pane") if pane else argv

    def exec_argv(self, slug: str, argv: Sequence[str], *, tty: bool) -> tuple[str, ...]:
        """A command beside the agent; its environment is that of the process that runs this."""
        _, bottle = self._find(slug)
        return (*self._enter(spec.Names.of(slug).agent, bottle.agent_uid, tty=tty), *argv)

    def exec(self, slug: str, script: str, timeout: float = 60.0) -> ExecResult:
        """A shell script beside the agent."""
        env = provision.base_env(PROVIDERS["shell"], self.sidecar_host)
        done = self.runner.run(self.exec_argv(slug, ["sh", "-s"], tty=False), input=script, timeout=timeout, env=env)
        return ExecResult(done.status, done.stdout, done.stderr)

    def copy_in(self, slug: str, files: Sequence[GeneratedFile]) -> None:
        """Files into the running bottle, as the agent's user."""
        _, bottle = self._find(slug)
        with engine.engine(f"copying into {slug}") as api:
            engine.copy(api, spec.Names.of(slug).agent, files, uid=bottle.agent_uid)

    def leftovers(self) -> tuple[Leftover, ...]:
        """What dead bottles of this state folder left: containers, networks, folders."""
        return remains.find(self.root)

    def sweep(self, leftovers: Sequence[Leftover]) -> tuple[Fault, ...]:
        """Removes them; each that stays is a fault."""
        return remains.sweep(self.root, leftovers)

    def activity_path(self, slug: str) -> Path | None:
        """Where egress writes its decisions."""
        run = self.root / slug
        return run / proof.BUNDLE / layout.ACTIVITY_FILE if proof.load(run) else None

    def exchange(self, slug: str) -> Exchange | None:
        """The folders of the bottle's proposals and answers."""
        run = self.root / slug
        return Exchange(run / proof.BUNDLE / layout.QUEUE_FOLDER, run / proof.ANSWERS) if proof.load(run) else None

    def configure(self, slug: str, config: BundleConfig) -> None:
        """New rules for the running bundle."""
        run, _ = self._find(slug)
        with _reachable(slug):
            bundle.configure(proof.control(run), config)

    def supply(self, slug: str, values: Values) -> None:
        """To the bundle alone; what is not named keeps its value."""
        run, _ = self._find(slug)
        with _reachable(slug):
            bundle.supply(proof.control(run), values)

    def rebuild(self, slug: str, dockerfile: str, progress: Progress) -> None:
        """Not yet."""
        raise BackendError("bottles of this backend cannot be rebuilt yet")

    def programs(self) -> Mapping[str, str]:
        """Those of the operator, which the bundle's image takes along."""
        with contextlib.suppress(BackendError):
            return programs.find()
        return {}

    def warm(self) -> None:
        """Nothing is started ahead."""

    def close(self) -> None:
        """Nothing was started ahead."""

    def _find(self, slug: str) -> tuple[Path, proof.Bottle]:
        run = self.root / slug
        bottle = proof.load(run)
        if bottle is None:
            raise BackendError(f"no live bottle {slug}", "bottle-dash list active")
        return run, bottle


def _create(api: Any, wanted: Mapping[str, Any], network: str) -> None:
    host = api.create_host_config(**wanted["host"], network_mode=network)
    point = {network: api.create_endpoint_config(aliases=wanted["aliases"])}
    config = api.create_networking_config(point)
    api.create_container(**wanted["config"], name=wanted["name"], host_config=host, networking_config=config)


def _row(run: Path, bottle: proof.Bottle, states: Mapping[str, str]) -> Agent:
    agent = Agent(bottle.slug, bottle.agent, "docker", "running", bottle.started, bottle.daemons)

    def bad(detail: str) -> Agent:
        return Agent(bottle.slug, bottle.agent, "docker", "error", bottle.started, bottle.daemons, detail, agent.health)

    if states.get("agent") != "running":
        return bad("its container has ended; x removes it")
    if states.get("sidecars") != "running":
        return bad("its sidecar bundle is gone: nothing gets out; x stops it")
    agent = Agent(
        bottle.slug,
        bottle.agent,
        "docker",
        "running",
        bottle.started,
        bottle.daemons,
        "",
        bundle.health(proof.control(run)),
    )
    if not bottle.holder.start:
        return agent
    try:
        status = client.request(str(run / proof.HOLDER_SOCKET), {"op": "status"}, timeout=1)
    except client.ClientError:
        return bad("its terminal is gone; x stops it")
    if status.get("state") == "ended":
        detail = f"ended with status {status.get('exit')}"
        return Agent(bottle.slug, bottle.agent, "docker", "done", bottle.started, bottle.daemons, detail, agent.health)
    return agent


@contextlib.contextmanager
def _reachable(slug: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise BackendError(f"the sidecar bundle of {slug} does not answer: {reason}", "x stops the bottle") from None
