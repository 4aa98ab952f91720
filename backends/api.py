"""What a backend is: the protocol, the plan it gets, and the values that it answers with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Protocol

from backends.deciding import Audited as Audited
from backends.deciding import Decision as Decision
from backends.deciding import Preview as Preview
from backends.deciding import Waiting as Waiting
from backends.launchplan import EnvVar as EnvVar
from backends.launchplan import GeneratedFile as GeneratedFile
from backends.launchplan import Identity as Identity
from backends.launchplan import LaunchPlan as LaunchPlan
from backends.launchplan import LaunchSpec as LaunchSpec
from backends.launchplan import Limits as Limits
from backends.launchplan import Token as Token
from backends.launchplan import Values as Values
from backends.launchplan import WorkspaceMode as WorkspaceMode
from sidecar_bundle.shared.config import BundleConfig

SCHEMA = 1

Progress = Callable[[str], None]


class Capability(Enum):
    """What a backend can do; the UI greys a key out by asking, never by a backend's name."""

    ATTACH = "attach"
    EXEC = "exec"
    BIND_WORKSPACE = "bind-workspace"
    SIGNAL_DAEMON = "signal-daemon"
    REBUILD = "rebuild"
    WATCH = "watch"


class BackendError(Exception):
    """A failure that a person can act on: what failed and why, and in `hint` what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure as a value: where it came from, what failed, what to do."""

    source: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A preflight line. `ok` False stops the launch; `warn` marks a passed check that deserves a look."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    warn: bool = False


AgentState = Literal["starting", "running", "done", "error", "lost", "foreign"]


@dataclass(frozen=True, slots=True)
class Health:
    """One daemon of a bundle as its init sees it.

    States: starting, unconfigured, needs-credentials, ready, backoff, stopping, dead. `restarts` counts its
    returns.
    """

    daemon: str
    state: str
    detail: str = ""
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Exchange:
    """Where proposals of a bottle are found and its answers go. `queue` is the bundle's own: untrusted."""

    queue: Path
    answers: Path


@dataclass(frozen=True, slots=True)
class Agent:
    """A live agent as enumeration sees it. `started` is seconds since the epoch; `detail` says why a state holds."""

    slug: str
    name: str
    backend: str
    state: AgentState
    started: float
    services: tuple[str, ...] = ()
    detail: str = ""
    health: tuple[Health, ...] = ()


@dataclass(frozen=True, slots=True)
class ExecResult:
    """The end of a command inside: exit status (128+n when signal n ended it) and captured text."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something dead that this user's bottles left behind. `ident` tells the backend what to remove.

    `left` says why it stays: it is somebody else's or, without an `ident`, nobody can tell now what there is.
    """

    backend: str
    kind: Literal[
        "process", "socket", "mount", "folder", "cgroup", "uid", "container", "network", "volume", "image", "machine"
    ]
    ident: str
    slug: str
    detail: str = ""
    left: str = ""


@dataclass(frozen=True, slots=True)
class Launched:
    """What a backend made of a plan: all that another process needs to find it again (plain JSON values)."""

    agent: Agent
    handle: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """A backend as the picker shows it: `available.detail` says why not, `strength` what holds the agent in."""

    name: str
    available: Check
    strength: str
    capabilities: frozenset[Capability] = frozenset()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A spec resolved: the plan (None when it cannot be made) and every check; nothing was touched."""

    spec: LaunchSpec
    plan: LaunchPlan | None
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether a launch may follow."""
        return self.plan is not None and all(c.ok for c in self.checks)


@dataclass(frozen=True, slots=True)
class Changes:
    """What the agent changed in its copy: (`A`|`M`|`D`, path) rows, the patch, and whether it was brought out.

    `compared` is False for a bottle without a copy, of whose changes nothing is known here. `seen` names the state of
    the copy that was compared: an apply that carries it brings that one out, whatever the agent did since.
    """

    slug: str
    files: tuple[tuple[str, str], ...]
    patch: str
    exported: bool
    note: str = ""
    compared: bool = True
    seen: str = ""


class Backend(Protocol):
    """One way to realise bottles. Methods may block for seconds; none prints, none raises but `BackendError`.

    `launch` is detached: it returns when the sidecars answer and the agent runs, and undoes what it began when it
    fails. `workspace` is the folder to show inside (the copy that the host made, or the operator's own for `bind`).
    """

    name: str
    strength: str
    # The name or address under which an agent of this backend reaches its sidecars.
    sidecar_host: str

    def capabilities(self) -> frozenset[Capability]: ...

    def available(self) -> Check: ...

    def preflight(self, plan: LaunchPlan) -> tuple[Check, ...]: ...

    def launch(self, plan: LaunchPlan, values: Values, workspace: Path | None, progress: Progress) -> Launched: ...

    def enumerate(self) -> tuple[tuple[Agent, ...], tuple[Fault, ...]]: ...

    def watch(self, seconds: float) -> bool:
        """Blocks until one of its bottles started or ended, or so long; whether one did (`Capability.WATCH`)."""
        ...

    def stop(self, slug: str) -> None: ...

    def signal(self, slug: str, daemon: str, sig: int) -> None: ...

    def attach_argv(self, slug: str, *, pane: bool) -> tuple[str, ...]: ...

    def exec_argv(self, slug: str, argv: Sequence[str], *, tty: bool) -> tuple[str, ...]: ...

    def exec(self, slug: str, script: str, timeout: float = 60.0) -> ExecResult: ...

    def copy_in(self, slug: str, files: Sequence[GeneratedFile]) -> None: ...

    def leftovers(self, *, images: bool = False) -> tuple[Leftover, ...]:
        """What dead bottles left; with `images` also those that were built for bottles and that nothing uses."""
        ...

    def foreign(self) -> tuple[Leftover, ...]:
        """What is seen of bottles that are somebody else's, dead or alive: each with `left`, and never touched."""
        ...

    def sweep(self, leftovers: Sequence[Leftover]) -> tuple[Fault, ...]: ...

    def activity_path(self, slug: str) -> Path | None:
        """The file that the bottle's egress writes its decisions to; untrusted: open it without following links."""
        ...

    def exchange(self, slug: str) -> Exchange | None:
        """Where the bottle's proposals and answers are; None when it is not live."""
        ...

    def configure(self, slug: str, config: BundleConfig) -> None:
        """New rules for the running bundle; they hold when this returns, also for connections that are open."""
        ...

    def supply(self, slug: str, values: Values) -> None:
        """New or refreshed credentials for the running bundle."""
        ...

    def build(
        self, plans: Sequence[LaunchPlan], progress: Progress, *, pull: bool = False, fresh: bool = False
    ) -> tuple[tuple[str, bool], ...]:
        """What launches of `plans` would build first, built now: each name, and whether it was not there."""
        ...

    def dockerfile(self, slug: str) -> str:
        """That of the agent's image, "" where there is none."""
        ...

    def rebuild(self, slug: str, dockerfile: str, progress: Progress) -> None:
        """Another image for the agent, its workspace and transcript kept (`Capability.REBUILD`)."""
        ...

    def programs(self) -> Mapping[str, str]:
        """The optional programs (`pipelock`, `gitleaks`) that this backend's bundles have: name to path or version."""
        ...

    def warm(self) -> None:
        """Starts a bundle ahead for the next launch: unconfigured, without secrets, gone when this process is."""
        ...

    def close(self) -> None:
        """Ends what was started ahead. Bottles live on."""
        ...


@dataclass(frozen=True, slots=True)
class HostPaths:
    """Where a backend keeps things: the state folder (`~/.bot-bottle`), the cache, and the operator's extra CA file."""

    home: Path
    cache: Path
    extra_ca: Path | None = None
