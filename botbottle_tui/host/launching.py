"""The host as one object: prepare, launch, list, stop, bring the work out, clean up: the dashboard's World."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from backends import registry
from backends.api import (
    Agent,
    Audited,
    Backend,
    BackendError,
    BackendInfo,
    Changes,
    Check,
    Fault,
    HostPaths,
    LaunchPlan,
    LaunchSpec,
    Leftover,
    Prepared,
    Progress,
    Values,
    WorkspaceMode,
)
from backends.bubblewrap.limits import default_limits
from backends.plan import make_plan, mint_slug
from backends.process import Runner
from botbottle_tui.host import catalog as manifest_files
from botbottle_tui.host import cleanup, files, last, live, preflight, workspace
from botbottle_tui.host.approvals import Approvals
from botbottle_tui.host.outcome import Outcomes
from botbottle_tui.host.proposals import Inbox
from botbottle_tui.host.records import BottleRecord, Records
from manifests.catalog import Catalog
from sidecar_bundle.shared.activity import Activity, parse_activity
from sidecar_bundle.shared.layout import PIPELOCK

_TAIL = 256 << 10  # bytes of an activity log read at a time


class Host:
    """Everything that a verb or the dashboard does to this machine. Safe to use from several threads."""

    def __init__(
        self, paths: HostPaths, backends: tuple[Backend, ...] | None = None, chosen: str = "", via: str = ""
    ) -> None:
        self.paths = paths
        self.runner = Runner()
        loaded, faults = registry.load(paths) if backends is None else (backends, ())
        self.all_backends: tuple[Backend, ...] = loaded
        self.load_faults: tuple[Fault, ...] = faults
        self.chosen = chosen
        self.closed = False
        self.records = Records(paths.home)
        self.outcomes = Outcomes(self.records, paths.home / "exports", self.runner)
        self.desk = Approvals(paths.home, Inbox(self.records, self.backend), self.backend, via)

    # What there is

    def catalog(self, cwd: Path) -> Catalog:
        """All manifests."""
        return manifest_files.read(self.paths.home, cwd)

    def backends(self) -> tuple[BackendInfo, ...]:
        """Every backend, found out by probing; one that could not be loaded says why."""
        out = [BackendInfo(b.name, b.available(), b.strength, b.capabilities()) for b in self.all_backends]
        return (*out, *(BackendInfo(f.source, Check(f.source, False, f.message, f.hint), "") for f in self.load_faults))

    def backend(self, name: str = "") -> Backend:
        """By argument, else by the flag or variable of this process."""
        return registry.choose(self.all_backends, name or self.chosen)

    def enumerate(self) -> tuple[tuple[Agent, ...], tuple[Fault, ...]]:
        """Live bottles of every backend, joined with the records: one without the other is `lost` or `foreign`."""
        agents: dict[str, Agent] = {}
        faults: list[Fault] = list(self.load_faults)
        for backend in self.all_backends:
            try:
                found, bad = backend.enumerate()
            except BackendError as error:
                faults.append(Fault(backend.name, error.message, error.hint))
                continue
            faults += bad
            agents |= {a.slug: a for a in found}
        down = {f.source for f in faults}
        for record in self.records.all():
            if record.slug not in agents and record.backend not in down and not self.records.busy(record.slug):
                agents[record.slug] = _lost(record)
        for slug, agent in agents.items():
            if agent.state != "lost" and self.records.load(slug) is None:
                agents[slug] = replace(agent, state="foreign", detail="no record in this state folder")
        return tuple(sorted(agents.values(), key=lambda a: (a.started, a.slug))), tuple(faults)

    # Launch

    def last_spec(self) -> LaunchSpec | None:
        """What was launched last."""
        return last.load(self.paths.home)

    def prepare(self, spec: LaunchSpec) -> Prepared:
        """The plan and its checks; touches nothing."""
        try:
            backend = self.backend(spec.backend)
            spec = replace(spec, backend=backend.name)
            found = self.catalog(spec.cwd)
            slug = mint_slug(spec.agent)
            while self.records.folder(slug).exists():
                slug = mint_slug(spec.agent)
            agent = found.agent(spec.agent)
            names = agent.skills if agent else ()
            programs = backend.programs()
            plan = make_plan(
                spec,
                found,
                slug=slug,
                limits=default_limits(),
                skills=preflight.skills(names),
                skills_folder=preflight.skills_folder(),
                has_pipelock=bool(programs.get(PIPELOCK)),
                sidecar_host=backend.sidecar_host,
            )
        except BackendError as error:
            return Prepared(spec, None, (Check("manifest", False, error.message, error.hint),))
        bottle = found.bottle(plan.bottles[0])
        checks = (
            *preflight.host_checks(plan, bottle, programs, os.environ),
            workspace.check(spec.cwd, spec.workspace, self.paths.home, self.runner),
        )
        return Prepared(spec, plan, (*checks, *backend.preflight(plan)))

    def host_values(self, plan: LaunchPlan, answers: Mapping[str, str]) -> Values:
        """`${VAR}` and tokens from this process's environment, `?text` from `answers` by variable name."""
        env: dict[str, str] = {}
        for var in plan.env:
            if var.kind == "host":
                env[var.name] = _host_variable(var.text)
            elif var.kind == "secret":
                if var.name not in answers:
                    raise BackendError(f"no value for {var.name}", "start it where the question can be answered")
                env[var.name] = answers[var.name]
        return preflight.values(plan, env, {t.slot: _host_variable(t.host_var) for t in plan.tokens}, os.environ)

    def supply(self, slug: str) -> None:
        """The values that a running bottle's bundle wants, once more from this process's environment."""
        record = self.records.load(slug)
        if record is None:
            raise BackendError(f"no bottle {slug}", "bottle-dash list active")
        spec = LaunchSpec(record.agent, record.backend, Path(record.cwd), WorkspaceMode(record.workspace))
        plan = self.prepare(spec).plan
        if plan is None or [t.host_var for t in plan.tokens] != record.token_names:
            raise BackendError(f"the manifests of {slug} changed since it was started", "stop it and start it anew")
        self.backend(record.backend).supply(slug, self.host_values(plan, {}))

    def launch(self, plan: LaunchPlan, values: Values, progress: Progress, *, remember: bool = True) -> Agent:
        """Copy, record, launch; whatever fails, nothing of it stays. `remember` makes it the next one's default."""
        backend = self.backend(plan.backend)
        folder = self.records.folder(plan.slug)
        bad = workspace.refuse(plan.cwd, plan.workspace, self.paths.home)
        if bad is not None:
            raise BackendError(bad.detail, bad.fix)
        with self.records.working_on(plan.slug):
            try:
                self.records.create(plan, time.time())
                shown = plan.cwd if plan.workspace is WorkspaceMode.BIND else None
                if plan.workspace is WorkspaceMode.COPY:
                    shown = folder / "workspace"
                    workspace.copy(plan.cwd, shown, self.runner, progress)
                    progress("remembering what the copy looked like")
                    self.outcomes.remember(plan.slug)
                live.save(folder, plan.config)
                agent = backend.launch(plan, values, shown, progress).agent
            except BaseException:
                self.records.remove(plan.slug)
                raise
        if remember and not plan.one_shot:
            last.save(self.paths.home, plan)
        return agent

    # One bottle

    def attach_argv(self, slug: str, *, pane: bool) -> tuple[str, ...]:
        """The command that shows the agent's terminal."""
        return self._owner(slug).attach_argv(slug, pane=pane)

    def stop(self, slug: str, *, drop_changes: bool) -> str:
        """Ends it and removes its state. Changes not brought out are kept as a patch unless told to drop them."""
        record = self.records.load(slug)
        live = self._owner(slug) if record is None or self.is_live(slug) else None
        kept = ""
        if live is not None:
            with self.records.working_on(slug):
                live.stop(slug)
        elif record is not None:
            backend = self.backend(record.backend)
            backend.sweep([one for one in backend.leftovers() if one.slug == slug])
        if record is not None and not drop_changes:
            kept = self.outcomes.keep(slug)
        self.records.remove(slug)
        return kept

    def changes(self, slug: str) -> Changes:
        """What the agent changed in its copy."""
        return self.outcomes.changes(slug)

    def export(self, slug: str) -> Path:
        """The changes as a patch file."""
        return self.outcomes.export(slug)

    def apply(self, slug: str, seen: str = "") -> str:
        """The changes into the operator's folder."""
        return self.outcomes.apply(slug, seen)

    def activity(self, slug: str, limit: int) -> tuple[Activity | Audited, ...]:
        """The last `limit` decisions of the bottle's bundle, and those of the operator about it."""
        lines: list[Activity | Audited] = []
        for backend in self.all_backends:
            path = backend.activity_path(slug)
            if path is not None:
                texts = files.read_tail(path, _TAIL).splitlines()[-limit:]
                lines += [a for a in map(parse_activity, texts) if a is not None]
                break
        return (*lines, *self.desk.audit.recent(slug)[-limit:])

    # The rest

    def leftovers(self, *, images: bool = False) -> tuple[Leftover, ...]:
        """Of every backend, and records whose bottle is gone; last, each with `left`, what is not ours or not known."""
        return cleanup.find(self, images=images)

    def foreign(self) -> tuple[Leftover, ...]:
        """Bottles that are somebody else's."""
        return tuple(one for backend in self.all_backends for one in backend.foreign())

    def sweep(self, leftovers: tuple[Leftover, ...]) -> tuple[Fault, ...]:
        """Removes them but for those with `left`; unexported changes become patches first."""
        return cleanup.sweep(self, leftovers)

    def watch(self, backend: str, seconds: float) -> bool:
        """As `Backend.watch`."""
        return self.backend(backend).watch(seconds)

    def init_home(self) -> tuple[Path, ...]:
        """The example manifests."""
        return manifest_files.init(self.paths.home)

    def warm(self) -> None:
        """A spare bundle of the backend that a launch would take; none any more after `close`."""
        if not self.closed:
            self.backend().warm()

    def close(self) -> None:
        """Ends what was only started ahead."""
        self.closed = True
        for backend in self.all_backends:
            backend.close()

    def is_live(self, slug: str) -> bool:
        """Whether some backend runs it."""
        return any(a.slug == slug and a.state != "lost" for a in self.enumerate()[0])

    def _owner(self, slug: str) -> Backend:
        record = self.records.load(slug)
        if record is not None:
            return self.backend(record.backend)
        for backend in self.all_backends:
            if any(a.slug == slug for a in backend.enumerate()[0]):
                return backend
        raise BackendError(f"no bottle {slug}", "bottle-dash list active")


def _lost(record: BottleRecord) -> Agent:
    detail = "its processes are gone (reboot or crash): x clears it away, D shows its changes"
    return Agent(record.slug, record.agent, record.backend, "lost", record.started, tuple(record.services), detail)


def _host_variable(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise BackendError(f"the host variable {name} is not set", f"export {name}=... before you start the program")
    return value
