"""The docker backend: two containers a bottle, made through the engine's API, and a terminal that a holder owns."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from agent_image.providers import PROVIDERS
from backends import bundle, programs, provision
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
from backends.docker import build, engine, events, launch, made, proof, rebuild, remains, rows, spec
from backends.folders import protected
from backends.process import Runner
from sidecar_bundle.shared import layout
from sidecar_bundle.shared.config import BundleConfig


class DockerBackend:
    """See `backends.api.Backend` for what each method promises."""

    name = "docker"
    strength = "containers on an internal network; shares the host's kernel"
    sidecar_host = spec.SIDECARS

    def __init__(self, paths: HostPaths, runner: Runner | None = None) -> None:
        self.paths = paths
        self.root = paths.home / "docker"
        self.runner = runner or Runner()
        self.launcher = launch.Launcher(paths, self.root, self.runner)
        self.rebuilder = rebuild.Rebuilder(paths, self.root, self.launcher.builder)
        self._seen = ""  # the last event that `watch` told

    def capabilities(self) -> frozenset[Capability]:
        """What it can do."""
        can = {Capability.ATTACH, Capability.EXEC, Capability.BIND_WORKSPACE, Capability.SIGNAL_DAEMON}
        return frozenset(can | {Capability.REBUILD, Capability.WATCH})

    def available(self) -> Check:
        """Whether an engine answers, and the CLI that attaching needs is there."""
        try:
            with engine.engine("docker", engine.POLL_TIMEOUT) as api:
                version, info = api.version(), api.info()
        except BackendError as error:
            return Check(self.name, False, error.message.removeprefix("docker: "), error.hint)
        if shutil.which("docker") is None:
            return Check(self.name, False, "the docker command is not installed", "apt-get install docker.io")
        text, unproven = f"engine {version.get('Version', '?')} at {engine.endpoint()}", engine.unproven(version, info)
        return Check(self.name, True, f"{text}; {unproven}" if unproven else text, warn=bool(unproven))

    def preflight(self, plan: LaunchPlan) -> tuple[Check, ...]:
        """What this launch needs of the machine."""
        checks = [self.available()]
        if not checks[0].ok:
            return tuple(checks)
        try:
            wanted = self.launcher.images(plan)
            with engine.engine("images", engine.POLL_TIMEOUT) as api:
                lacking = [image.repository for image in build.lacking(api, wanted)]
            text = f"will be built first: {', '.join(lacking)}" if lacking else "are there"
            checks.append(Check("images", True, text, warn=bool(lacking)))
            if plan.dockerfile:
                beside = len(wanted[0].context) - 1
                text = (
                    f"{plan.dockerfile} in place of the provider's, with {beside or 'nothing'} beside it as its context"
                )
                checks.append(Check("dockerfile", True, text))
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
                checks.append(Check("bind", False, text, launch.USE_A_COPY))
        return tuple(checks)

    def launch(self, plan: LaunchPlan, values: Values, workspace: Path | None, progress: Progress) -> Launched:
        """Both containers up, proved to be closed, the agent running; undone whole when anything fails."""
        run = self.root / plan.slug
        if run.exists():
            raise BackendError(f"a bottle named {plan.slug} is there already")
        try:
            with engine.engine(f"launching {plan.slug}") as api:
                made = self.launcher.launch(api, run, plan, values, workspace, progress)
        except BaseException:
            remains.clear(self.root, plan.slug)
            raise
        agent = Agent(plan.slug, plan.agent, self.name, "running", made.started, plan.daemons)
        return Launched(agent, {"run": str(run)})

    def enumerate(self) -> tuple[tuple[Agent, ...], tuple[Fault, ...]]:
        """Bottles whose record and containers stand; one request to the engine, and none where there is no bottle."""
        runs = [(run, bottle) for run in proof.runs(self.root) if (bottle := proof.load(run)) is not None]
        if not runs:
            return (), ()
        try:
            states = remains.states(self.root)
        except BackendError as error:
            return (), (Fault(self.name, error.message, error.hint),)
        return tuple(rows.describe(run, bottle, states.get(bottle.slug, {})) for run, bottle in runs), ()

    def watch(self, seconds: float) -> bool:
        """The engine's events of this state folder's containers; none of them is missed from one call to the next."""
        moved, self._seen = events.wait(self.root, self._seen, seconds)
        return moved

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
        return (*launch.enter(spec.Names.of(slug).agent, bottle.agent_uid, tty=tty), *argv)

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

    def leftovers(self, *, images: bool = False) -> tuple[Leftover, ...]:
        """What dead bottles and rebuilds of this state folder left on the engine and as folders; and unused images."""
        found = (*remains.find(self.root), *rebuild.unfinished(self.root))
        return (*found, *(remains.images(self.root) if images else ()))

    def foreign(self) -> tuple[Leftover, ...]:
        """Of other users, state folders and hosts, on this engine."""
        return remains.foreign(self.root)

    def sweep(self, leftovers: Sequence[Leftover]) -> tuple[Fault, ...]:
        """Removes them; each that stays is a fault."""
        return (*remains.sweep(self.root, leftovers), *rebuild.sweep(self.root, leftovers))

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

    def build(
        self, plans: Sequence[LaunchPlan], progress: Progress, *, pull: bool = False, fresh: bool = False
    ) -> tuple[tuple[str, bool], ...]:
        """Their images and the bundle's."""
        wanted = [image for plan in plans for image in self.launcher.images(plan)]
        with engine.engine("building") as api:
            done = self.launcher.builder.ensure(api, wanted, progress, pull=pull, fresh=fresh)
        new = {image.tag for image in done}
        return tuple((image.tag, image.tag in new) for image in build.whole(wanted))

    def dockerfile(self, slug: str) -> str:
        """As it was built, or rebuilt."""
        return made.load(self._find(slug)[0]).text

    def rebuild(self, slug: str, dockerfile: str, progress: Progress) -> None:
        """The new image is tried in a container beside the agent's, which goes when nothing can fail any more."""
        run, bottle = self._find(slug)
        with engine.engine(f"rebuilding {slug}") as api:
            self.rebuilder.rebuild(api, run, bottle, dockerfile, progress)

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


@contextlib.contextmanager
def _reachable(slug: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise BackendError(f"the sidecar bundle of {slug} does not answer: {reason}", "x stops the bottle") from None
