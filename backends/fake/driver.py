"""Bottles without a sandbox: plain processes under a holder, for the contract suite and the dashboard's tests.

Never registered as an entry point: nothing here holds an agent in.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from agent_image.providers import HOME, WORKSPACE
from backends import provision
from backends.alive import Proc
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
)
from backends.holder import client
from backends.process import Runner
from sidecar_bundle.shared import layout
from sidecar_bundle.shared.config import BundleConfig, dump_config

RECORD = "fake.json"
CONFIG = "config.json"
DOCKERFILE = "Dockerfile"


class FakeBackend:
    """See `backends.api.Backend`. `fail_at` names the progress line at which a launch fails."""

    name = "fake"
    strength = "none: plain processes, for tests"
    sidecar_host = provision.SIDECAR_HOST

    def __init__(self, paths: HostPaths, fail_at: str = "") -> None:
        self.root = paths.home / "fake"
        self.runner = Runner()
        self.fail_at = fail_at

    def capabilities(self) -> frozenset[Capability]:
        """What it can do."""
        return frozenset({Capability.ATTACH, Capability.EXEC, Capability.BIND_WORKSPACE, Capability.REBUILD})

    def available(self) -> Check:
        """Always."""
        return Check(self.name, True, "plain processes")

    def preflight(self, plan: LaunchPlan) -> tuple[Check, ...]:
        """Nothing to check."""
        return (self.available(),)

    def launch(self, plan: LaunchPlan, values: Values, workspace: Path | None, progress: Progress) -> Launched:
        """A folder that stands for the bottle's root, and a holder that runs the agent in it."""
        run = self.root / plan.slug
        try:
            home = run / "root" / HOME.lstrip("/")
            home.mkdir(parents=True)
            for name in (layout.QUEUE_FOLDER, layout.ANSWERS_FOLDER):
                (run / name).mkdir()
            self._step("files", progress)
            self._write(run, plan.files)
            if workspace is not None:
                (home / "workspace").symlink_to(workspace)
            else:
                (home / "workspace").mkdir()
            self._step("agent", progress)
            env = {
                **os.environ,
                **provision.agent_env(plan.provider, plan.env, values.env, plan.daemons),
                "HOME": str(home),
            }
            argv = [sys.executable, "-I", "-m", "backends.holder", "run", str(run / "holder.sock")]
            argv += ["--resume", json.dumps(plan.resume_argv), "--", *plan.argv]
            pid = self.runner.spawn_detached(argv, stdin_socket=None, log=run / "log", env=env)
            agent = Agent(plan.slug, plan.agent, self.name, "running", time.time(), plan.daemons)
            record = {"agent": asdict(agent), "proc": asdict(Proc.of(pid)), "env": sorted(env)}
            (run / RECORD).write_text(json.dumps(record))
            deadline = time.monotonic() + 10
            while not (run / "holder.sock").exists():
                if time.monotonic() > deadline:
                    raise BackendError("the holder did not start")
                time.sleep(0.005)
            self._step("ready", progress)
        except BaseException:
            self._end(run)
            raise
        return Launched(agent, {"run": str(run)})

    def enumerate(self) -> tuple[tuple[Agent, ...], tuple[Fault, ...]]:
        """Those whose holder lives."""
        out = []
        for run in sorted(self.root.iterdir()) if self.root.is_dir() else ():
            loaded = self._load(run)
            if loaded and loaded[1].alive():
                out.append(self._with_status(run, loaded[0]))
        return tuple(out), ()

    def stop(self, slug: str) -> None:
        """Kills the holder and removes the folder."""
        self._end(self._find(slug))

    def signal(self, slug: str, daemon: str, sig: int) -> None:
        """There is no daemon."""
        raise BackendError("a fake bottle has no sidecars")

    def attach_argv(self, slug: str, *, pane: bool) -> tuple[str, ...]:
        """The holder's client."""
        argv = (sys.executable, "-I", "-m", "backends.holder", "attach", str(self._find(slug) / "holder.sock"))
        return (*argv, "--pane") if pane else argv

    def exec_argv(self, slug: str, argv: Sequence[str], *, tty: bool) -> tuple[str, ...]:
        """The command itself, in the bottle's workspace."""
        folder = self._find(slug) / "root" / WORKSPACE.lstrip("/")
        return ("env", "-C", str(folder), *argv)

    def exec(self, slug: str, script: str, timeout: float = 60.0) -> ExecResult:
        """A shell script in the bottle's workspace."""
        home = self._find(slug) / "root" / HOME.lstrip("/")
        env = {**os.environ, "HOME": str(home), "BOT_BOTTLE": "1"}
        done = self.runner.run(self.exec_argv(slug, ["sh", "-s"], tty=False), input=script, timeout=timeout, env=env)
        return ExecResult(done.status, done.stdout, done.stderr)

    def copy_in(self, slug: str, files: Sequence[GeneratedFile]) -> None:
        """Below the folder that stands for the root."""
        self._write(self._find(slug), files)

    def watch(self, seconds: float) -> bool:
        """There are no events."""
        return False

    def foreign(self) -> tuple[Leftover, ...]:
        """Nobody else's are seen."""
        return ()

    def leftovers(self, *, images: bool = False) -> tuple[Leftover, ...]:
        """Folders whose holder is gone."""
        out = []
        for run in sorted(self.root.iterdir()) if self.root.is_dir() else ():
            loaded = self._load(run)
            if loaded is None or not loaded[1].alive():
                out.append(Leftover(self.name, "folder", run.name, run.name))
        return tuple(out)

    def sweep(self, leftovers: Sequence[Leftover]) -> tuple[Fault, ...]:
        """Removes them."""
        for one in set(leftovers) & set(self.leftovers()):
            self._end(self.root / one.ident)
        return ()

    def activity_path(self, slug: str) -> Path | None:
        """No egress, no activity."""
        return None

    def exchange(self, slug: str) -> Exchange | None:
        """Folders of the same shape as a bundle's; nobody inside reads or writes them by itself."""
        run = self.root / slug
        return Exchange(run / layout.QUEUE_FOLDER, run / layout.ANSWERS_FOLDER) if self._live(run) else None

    def configure(self, slug: str, config: BundleConfig) -> None:
        """Keeps it, for tests to look at."""
        (self._find(slug) / CONFIG).write_text(json.dumps(dump_config(config)))

    def supply(self, slug: str, values: Values) -> None:
        """Forgotten at once: no daemon takes them."""
        self._find(slug)

    def build(
        self, plans: Sequence[LaunchPlan], progress: Progress, *, pull: bool = False, fresh: bool = False
    ) -> tuple[tuple[str, bool], ...]:
        """Nothing is ever missing."""
        return ((self.name, pull or fresh),)

    def dockerfile(self, slug: str) -> str:
        """The last one kept."""
        path = self._find(slug) / DOCKERFILE
        return path.read_text() if path.exists() else ""

    def rebuild(self, slug: str, dockerfile: str, progress: Progress) -> None:
        """Keeps the text, for tests to look at."""
        run = self._find(slug)
        self._step("rebuild", progress)
        (run / DOCKERFILE).write_text(dockerfile)

    def programs(self) -> Mapping[str, str]:
        """None."""
        return {}

    def warm(self) -> None:
        """Nothing to start ahead."""

    def close(self) -> None:
        """Nothing was started ahead."""

    def _step(self, name: str, progress: Progress) -> None:
        progress(name)
        if self.fail_at == name:
            raise BackendError(f"fake failure at {name}", "take fail_at out")

    def _write(self, run: Path, files: Sequence[GeneratedFile]) -> None:
        for file in files:
            target = run / "root" / file.path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.content)
            target.chmod(file.mode)

    def _load(self, run: Path) -> tuple[Agent, Proc] | None:
        try:
            raw = json.loads((run / RECORD).read_text())
        except (OSError, ValueError):
            return None
        return Agent(**{**raw["agent"], "services": tuple(raw["agent"]["services"])}), Proc(**raw["proc"])

    def _with_status(self, run: Path, agent: Agent) -> Agent:
        try:
            status = client.request(str(run / "holder.sock"), {"op": "status"}, timeout=2)
        except client.ClientError:
            return agent
        if status.get("state") != "ended":
            return agent
        detail = f"ended with status {status.get('exit')}"
        return Agent(agent.slug, agent.name, agent.backend, "done", agent.started, agent.services, detail)

    def _live(self, run: Path) -> bool:
        loaded = self._load(run)
        return loaded is not None and loaded[1].alive()

    def _find(self, slug: str) -> Path:
        if not self._live(self.root / slug):
            raise BackendError(f"no live bottle {slug}", "bottle-dash list active")
        return self.root / slug

    def _end(self, run: Path) -> None:
        loaded = self._load(run)
        if loaded and loaded[1].alive():
            os.kill(loaded[1].pid, signal.SIGTERM)
            deadline = time.monotonic() + 5
            while loaded[1].alive() and time.monotonic() < deadline:
                self.runner.reap()
                time.sleep(0.01)
        shutil.rmtree(run, ignore_errors=True)
