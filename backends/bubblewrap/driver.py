"""The bubblewrap backend: no daemon, no root needed; a keeper process per bottle is all there is."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from agent_image.providers import PROVIDERS, WORKSPACE
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
from backends.bubblewrap import bundle_box, files, limits, probe, proof, remains, rows, seccomp, spare
from backends.folders import give_tree, protected
from backends.process import Runner
from sidecar_bundle.shared import layout
from sidecar_bundle.shared.config import BundleConfig, dump_config

_SANDBOX_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
STOP_TIMEOUT = 12.0  # seconds; the bundle may take 8 of them


class BubblewrapBackend:
    """See `backends.api.Backend` for what each method promises."""

    name = "bubblewrap"
    strength = "namespaces, seccomp, no root inside; shares the host's kernel"
    sidecar_host = provision.SIDECAR_HOST

    def __init__(self, paths: HostPaths, runner: Runner | None = None) -> None:
        self.paths = paths
        self.root = paths.home / "run"
        self.runner = runner or Runner()
        self.spares = spare.Spares(paths, self.root, self.runner)
        self.one_shots: dict[str, spare.Spare] = {}

    def capabilities(self) -> frozenset[Capability]:
        """What it can do."""
        return frozenset({Capability.ATTACH, Capability.EXEC, Capability.BIND_WORKSPACE, Capability.SIGNAL_DAEMON})

    def available(self) -> Check:
        """Whether a sandbox can be made here, found out by making one."""
        return probe.sandbox(self.runner)

    def preflight(self, plan: LaunchPlan) -> tuple[Check, ...]:
        """What this launch needs of the machine."""
        checks = [self.available(), self.spares.environment()]
        bounded, how = limits.describe()
        checks.append(Check("limits", True, how, warn=not bounded))
        try:
            programs.find()
        except BackendError as error:
            checks.append(Check("programs", False, error.message, error.hint))
        try:
            seccomp.program()
        except LookupError as error:
            checks.append(Check("seccomp", False, str(error), "use another backend on this machine"))
        if not plan.one_shot and shutil.which(plan.argv[0], path=_SANDBOX_PATH) is None:
            fix = plan.provider.install_hint or f"install {plan.argv[0]} under /usr"
            checks.append(Check("agent", False, f"{plan.argv[0]} is not installed where the sandbox sees it", fix))
        if plan.dockerfile:
            text = "agent_provider.dockerfile is not used on bubblewrap: the agent sees this host's /usr"
            checks.append(Check("dockerfile", True, text, warn=True))
        if plan.workspace is WorkspaceMode.BIND:
            try:
                if protected(plan.cwd):
                    checks.append(Check("git", True, ".git is read-only inside (bind): commits need a copy", warn=True))
            except BackendError as error:
                checks.append(Check("git", False, error.message, error.hint))
        return tuple(checks)

    def launch(self, plan: LaunchPlan, values: Values, workspace: Path | None, progress: Progress) -> Launched:
        """Sandbox and bundle up, agent running, launcher no longer needed (except by a one-shot bottle)."""
        if proof.find(self.root, plan.slug) is not None:
            raise BackendError(f"a bottle named {plan.slug} is running already")
        progress("starting the sidecar bundle")
        one = self.spares.take()
        try:
            return self._launch(one, plan, values, workspace, progress)
        except BaseException:
            one.close()
            remains.clear(one.run)
            raise

    def _launch(
        self, one: spare.Spare, plan: LaunchPlan, values: Values, workspace: Path | None, progress: Progress
    ) -> Launched:
        control = proof.control(one.run)
        started = time.time()
        files.write(one.run, plan, bundle.ca_of(control), one.agent_uid)
        mapped = None
        if workspace is not None and one.agent_uid:
            if plan.workspace is WorkspaceMode.BIND:
                mapped = workspace.stat().st_uid
            else:
                give_tree(workspace, one.agent_uid)
        progress("starting the sandbox")
        bundle_box.write_policy(one.run, plan.config)
        one.request(
            {
                "op": "launch",
                "slug": plan.slug,
                "agent": plan.agent,
                "started": started,
                "workspace": str(workspace or ""),
                "map_owner": mapped,
                "protect": protected(workspace) if workspace and plan.workspace is WorkspaceMode.BIND else [],
                "limits": {
                    "memory": plan.limits.memory,
                    "pids": plan.limits.pids,
                    "files": plan.limits.files,
                    "tmpfs": plan.limits.tmpfs,
                },
                "config": dump_config(plan.config),
                "one_shot": plan.one_shot,
            }
        )
        bundle.supply(control, values)
        progress("waiting for egress")
        bundle.wait_ready(control, plan.daemons)
        if not plan.one_shot:
            progress("starting the agent")
        one.request(
            {
                "op": "go",
                "argv": list(self._enter(one.run, tty=True)),
                "agent_argv": list(plan.argv),
                "resume_argv": list(plan.resume_argv),
                "env": provision.agent_env(plan.provider, plan.env, values.env, plan.daemons),
            }
        )
        if plan.one_shot:
            self.one_shots[plan.slug] = one
        else:
            one.conn.close()
        agent = Agent(plan.slug, plan.agent, self.name, "running", started, plan.daemons)
        return Launched(agent, {"run": str(one.run)})

    def enumerate(self) -> tuple[tuple[Agent, ...], tuple[Fault, ...]]:
        """Bottles whose keeper is proved alive."""
        agents = []
        for run in proof.runs(self.root):
            live = proof.load(run)
            if live is None or not live.slug or not live.alive():
                continue
            agents.append(rows.describe(run, live))
        return tuple(agents), ()

    def stop(self, slug: str) -> None:
        """Ends the bottle and removes every trace of it but the host's own state."""
        run, live = self._find(slug)
        held = self.one_shots.pop(slug, None)
        if held is not None:
            held.close()
        remains.ask_to_stop(run)
        deadline = time.monotonic() + STOP_TIMEOUT
        while any(p.alive() for p in live.procs) and time.monotonic() < deadline:
            time.sleep(0.01)
        faults = remains.clear(run)
        if faults:
            raise BackendError(f"bottle {slug} did not end cleanly: {faults[0]}", "bottle-dash cleanup")

    def signal(self, slug: str, daemon: str, sig: int) -> None:
        """SIGHUP has the rules read again, any other restarts the daemon."""
        run, _ = self._find(slug)
        message = {"op": "reload"} if sig == signal.SIGHUP else {"op": "restart", "daemon": daemon}
        with _reachable(slug):
            bundle.request(proof.control(run), message)

    def attach_argv(self, slug: str, *, pane: bool) -> tuple[str, ...]:
        """The client of the bottle's terminal."""
        run, live = self._find(slug)
        if live.one_shot:
            raise BackendError(
                f"bottle {slug} runs one command in the foreground elsewhere", "there is nothing to attach to"
            )
        argv = (sys.executable, "-I", "-m", "backends.holder", "attach", str(run / proof.HOLDER_SOCKET))
        return (*argv, "--pane") if pane else argv

    def exec_argv(self, slug: str, argv: Sequence[str], *, tty: bool) -> tuple[str, ...]:
        """A command beside the agent; give it the environment that it shall have."""
        run, _ = self._find(slug)
        return (*self._enter(run, tty=tty), *argv)

    def exec(self, slug: str, script: str, timeout: float = 60.0) -> ExecResult:
        """A shell script beside the agent."""
        env = provision.base_env(PROVIDERS["shell"])
        done = self.runner.run(self.exec_argv(slug, ["sh", "-s"], tty=False), input=script, timeout=timeout, env=env)
        return ExecResult(done.status, done.stdout, done.stderr)

    def copy_in(self, slug: str, files: Sequence[GeneratedFile]) -> None:
        """Files into the running bottle, as the agent's user."""
        argv = self.exec_argv(slug, provision.UNPACK, tty=False)
        env = provision.base_env(PROVIDERS["shell"])
        done = self.runner.run(argv, input=provision.packed(files), timeout=60, env=env)
        if done.status:
            raise BackendError(f"cannot copy into bottle {slug}: {done.last_line}")

    def watch(self, seconds: float) -> bool:
        """There are no events: a poll is cheap."""
        return False

    def foreign(self) -> tuple[Leftover, ...]:
        """Other state folders are not looked into."""
        return ()

    def leftovers(self, *, images: bool = False) -> tuple[Leftover, ...]:
        """What dead bottles of this user left in this state folder, and stale claims of the machine's."""
        return remains.find(self.root)

    def sweep(self, leftovers: Sequence[Leftover]) -> tuple[Fault, ...]:
        """Removes them; each that stays is a fault."""
        return remains.sweep(self.root, leftovers)

    def activity_path(self, slug: str) -> Path | None:
        """Where egress writes its decisions."""
        found = proof.find(self.root, slug)
        return found[0] / proof.BUNDLE / "activity.jsonl" if found else None

    def exchange(self, slug: str) -> Exchange | None:
        """The folders of the bottle's proposals and answers."""
        found = proof.find(self.root, slug)
        if found is None:
            return None
        return Exchange(found[0] / proof.BUNDLE / layout.QUEUE_FOLDER, found[0] / proof.ANSWERS)

    def configure(self, slug: str, config: BundleConfig) -> None:
        """The dialer first, which egress asks as soon as it knows."""
        run, _ = self._find(slug)
        with _reachable(slug), bundle_box.new_policy(run, config):
            bundle.configure(proof.control(run), config)

    def supply(self, slug: str, values: Values) -> None:
        """To the bundle alone; what is not named keeps its value."""
        run, _ = self._find(slug)
        with _reachable(slug):
            bundle.supply(proof.control(run), values)

    def build(
        self, plans: Sequence[LaunchPlan], progress: Progress, *, pull: bool = False, fresh: bool = False
    ) -> tuple[tuple[str, bool], ...]:
        """The environments of its bundles; they are what their locks say, never anything newer."""
        return self.spares.build(progress)

    def dockerfile(self, slug: str) -> str:
        """None."""
        return ""

    def rebuild(self, slug: str, dockerfile: str, progress: Progress) -> None:
        """There is no image here."""
        raise BackendError("bottles of this backend have no image to rebuild")

    def programs(self) -> Mapping[str, str]:
        """Those of the operator; a variable that names no program has its line in the preflight."""
        with contextlib.suppress(BackendError):
            return programs.find()
        return {}

    def warm(self) -> None:
        """One spare bundle."""
        self.spares.fill()

    def close(self) -> None:
        """The spare goes, the bottles stay."""
        self.spares.close()

    def _find(self, slug: str) -> tuple[Path, proof.Live]:
        found = proof.find(self.root, slug)
        if found is None:
            raise BackendError(f"no live bottle {slug}", "bottle-dash list active")
        return found

    def _enter(self, run: Path, *, tty: bool) -> tuple[str, ...]:
        options = ("--tty",) if tty else ()
        head = (sys.executable, "-I", "-m", "backends.bubblewrap.enter", str(run))
        return (*head, *options, "--cwd", WORKSPACE, "--")


@contextlib.contextmanager
def _reachable(slug: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise BackendError(f"the sidecar bundle of {slug} does not answer: {reason}", "x stops the bottle") from None
