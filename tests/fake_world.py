"""A world in memory: the `World` protocol with bottles that are only values, and failures on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent_image.providers import PROVIDERS
from backends.api import (
    Agent,
    BackendError,
    BackendInfo,
    Changes,
    Check,
    EnvVar,
    Fault,
    GeneratedFile,
    LaunchPlan,
    LaunchSpec,
    Leftover,
    Limits,
    Prepared,
    Progress,
    Token,
    Values,
)
from manifests.catalog import AgentManifest, Bottle, Broken, Catalog, ManifestError
from sidecar_bundle.shared.activity import Activity
from sidecar_bundle.shared.config import Pipelock
from sidecar_bundle.shared.routes import Route, RouteAuth
from tests.fake_desk import FakeDesk

HOME = Path("/home/op/.bot-bottle")
CWD = Path("/home/op/shop")
NOW = 1_800_000_000.0

BUBBLEWRAP = BackendInfo(
    "bubblewrap", Check("bubblewrap", True, "0.8.0"), "namespaces, seccomp, no new privileges, no network"
)
DOCKER = BackendInfo(
    "docker", Check("docker", False, "no engine answers at /var/run/docker.sock", "start dockerd"), "a container"
)
FAKE = BackendInfo("fake", Check("fake", True, ""), "none: for tests")


def agent(name: str, bottle: str = "web", **more: object) -> AgentManifest:
    return AgentManifest(name, HOME / "agents" / f"{name}.md", "home", bottle, **more)  # type: ignore[arg-type]


def catalog() -> Catalog:
    bad = ManifestError(HOME / "agents/odd.md", 3, "botle", "unknown key (allowed: bottle, skills)")
    return Catalog(
        agents=(
            agent("builder"),
            agent("reviewer", prompt="Review."),
            AgentManifest("shell", CWD / ".bot-bottle/agents/shell.md", "repository", "web", shadows=True),
        ),
        bottles=(Bottle("web", HOME / "bottles/web.md", ("web", "base"), provider="shell"),),
        broken=(Broken("odd", "agent", bad),),
    )


def plan(spec: LaunchSpec, slug: str, env: tuple[EnvVar, ...] = ()) -> LaunchPlan:
    return LaunchPlan(
        slug=slug,
        agent=spec.agent,
        agent_source="repository" if spec.agent == "shell" else "home",
        bottles=("web", "base"),
        provider=PROVIDERS["shell"],
        backend=spec.backend,
        argv=("bash", "-l"),
        resume_argv=("bash", "-l"),
        cwd=spec.cwd,
        workspace=spec.workspace,
        routes=(
            Route("api.example.org", ("/v1",), RouteAuth("Bearer", "EGRESS_TOKEN_0")),
            Route("*.pypi.org", tls_passthrough=True, dlp="off"),
        ),
        tokens=(Token("EGRESS_TOKEN_0", "SHOP_TOKEN"),),
        env=(
            EnvVar("LANG", "literal", "C.UTF-8"),
            EnvVar("EDITOR", "host", "EDITOR"),
            EnvVar("HIDDEN_PLACEHOLDER", "placeholder", "egress-placeholder"),
            *env,
        ),
        skills=(HOME / "skills/review",),
        files=(GeneratedFile("/home/agent/.gitconfig", "[user]\n\tname = Op\n", 0o644),),
        remotes=(),
        identities=(),
        pipelock=Pipelock(),
        supervise=True,
        limits=Limits(2 << 30, 512, 1024, 1 << 28),
        notes=("the repository's agent shell is used in place of the one in HOME",) if spec.agent == "shell" else (),
    )


@dataclass
class FakeWorld:
    """Everything that a test sets up is a field. `fail` maps a method's name to the error that it raises."""

    manifests: Catalog = field(default_factory=catalog)
    infos: tuple[BackendInfo, ...] = (BUBBLEWRAP, DOCKER)
    last: LaunchSpec | None = None
    live: list[Agent] = field(default_factory=list)
    faults: tuple[Fault, ...] = ()
    lines: dict[str, tuple[Activity, ...]] = field(default_factory=dict)
    changed: dict[str, Changes] = field(default_factory=dict)
    left: tuple[Leftover, ...] = ()
    unswept: tuple[Fault, ...] = ()
    secrets: tuple[EnvVar, ...] = ()
    checks: tuple[Check, ...] = (Check("bubblewrap", True, "user namespaces work"),)
    cannot: frozenset[str] = frozenset()
    progress: tuple[str, ...] = ("bundle ready",)
    fail: dict[str, BackendError | Exception] = field(default_factory=dict)
    calls: list[tuple[object, ...]] = field(default_factory=list)
    count: int = 0
    desk: FakeDesk = field(init=False)

    def __post_init__(self) -> None:
        self.desk = FakeDesk(self._called)

    def _called(self, name: str, *args: object) -> None:
        self.calls.append((name, *args))
        if name in self.fail:
            raise self.fail[name]

    def catalog(self, cwd: Path) -> Catalog:
        self._called("catalog", cwd)
        return self.manifests

    def backends(self) -> tuple[BackendInfo, ...]:
        self._called("backends")
        return self.infos

    def last_spec(self) -> LaunchSpec | None:
        self._called("last_spec")
        return self.last

    def prepare(self, spec: LaunchSpec) -> Prepared:
        self._called("prepare", spec)
        checks = self.checks
        if spec.agent in self.cannot:
            checks = (*checks, Check("provider", False, f"{spec.agent} is not installed", "install it under /usr"))
        return Prepared(spec, plan(spec, f"{spec.agent}-{self.count + 1}", self.secrets), checks)

    def host_values(self, plan: LaunchPlan, answers: dict[str, str]) -> Values:
        self._called("host_values", plan.slug)
        return Values(env=answers)

    def launch(self, plan: LaunchPlan, values: Values, progress: Progress) -> Agent:
        for line in self.progress:
            progress(line)
        self._called("launch", plan.slug, tuple(sorted(values.env.items())))
        self.count += 1
        agent = Agent(plan.slug, plan.agent, plan.backend, "running", NOW, ("egress",))
        self.live.append(agent)
        return agent

    def enumerate(self) -> tuple[tuple[Agent, ...], tuple[Fault, ...]]:
        self._called("enumerate")
        return tuple(self.live), self.faults

    def watch(self, backend: str, seconds: float) -> bool:
        self._called("watch", backend)
        return False

    def stop(self, slug: str, *, drop_changes: bool) -> str:
        self._called("stop", slug, drop_changes)
        self.live = [a for a in self.live if a.slug != slug]
        kept = slug in self.changed and not self.changed[slug].exported and not drop_changes
        return f"{HOME}/state/{slug}.patch" if kept else ""

    def supply(self, slug: str) -> None:
        self._called("supply", slug)

    def attach_argv(self, slug: str, *, pane: bool) -> tuple[str, ...]:
        self._called("attach_argv", slug, pane)
        return ("attach", slug, "--pane") if pane else ("attach", slug)

    def changes(self, slug: str) -> Changes:
        self._called("changes", slug)
        return self.changed.get(slug, Changes(slug, (), "", False))

    def export(self, slug: str) -> Path:
        self._called("export", slug)
        self.changed[slug] = replace(self.changed[slug], exported=True)
        return HOME / "state" / f"{slug}.patch"

    def apply(self, slug: str, seen: str) -> str:
        self._called("apply", slug, seen)
        return f"applied {len(self.changed[slug].files)} files to {CWD}"

    def activity(self, slug: str, limit: int) -> tuple[Activity, ...]:
        self._called("activity", slug)
        return self.lines.get(slug, ())[-limit:]

    def leftovers(self) -> tuple[Leftover, ...]:
        self._called("leftovers")
        return self.left

    def sweep(self, leftovers: tuple[Leftover, ...]) -> tuple[Fault, ...]:
        self._called("sweep", leftovers)
        self.left = ()
        return self.unswept

    def init_home(self) -> tuple[Path, ...]:
        self._called("init_home")
        self.manifests = catalog()
        return (HOME / "agents/shell.md", HOME / "bottles/web.md")

    def warm(self) -> None:
        self._called("warm")


@dataclass
class FakePanes:
    """A pane that is only a value."""

    slug: str = ""
    focused: bool = False
    fail: BackendError | None = None
    history: list[tuple[str, ...]] = field(default_factory=list)

    def shown(self) -> str:
        return self.slug

    def show(self, slug: str, argv: Sequence[str], *, focus: bool) -> None:
        if self.fail:
            raise self.fail
        self.slug, self.focused = slug, focus
        self.history.append(tuple(argv))

    def close(self) -> None:
        self.slug = ""
