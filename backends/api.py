"""What a backend is: the protocol, the plan it gets, and the values that it answers with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Protocol

from agent_image.providers import Provider
from sidecar_bundle.shared.routes import Route

SCHEMA = 1

Progress = Callable[[str], None]


class Capability(Enum):
    """What a backend can do; the UI greys a key out by asking, never by a backend's name."""

    ATTACH = "attach"
    EXEC = "exec"
    BIND_WORKSPACE = "bind-workspace"
    SIGNAL_DAEMON = "signal-daemon"
    REBUILD = "rebuild"


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


@dataclass(frozen=True, slots=True)
class GeneratedFile:
    """A file rendered before any I/O. `path` is absolute inside the bottle; `mode` its permission bits.

    `binary` stands for `text` where the content is no text.
    """

    path: str
    text: str
    mode: int = 0o644
    binary: bytes = b""

    @property
    def content(self) -> bytes:
        """What is written."""
        return self.binary or self.text.encode()


class WorkspaceMode(Enum):
    """How the operator's folder appears inside."""

    COPY = "copy"
    BIND = "bind"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """What the operator chose. `command` not empty means one-shot: run that instead of the agent, keep nothing."""

    agent: str
    backend: str
    cwd: Path
    workspace: WorkspaceMode = WorkspaceMode.COPY
    command: tuple[str, ...] = ()
    remote_control: bool = False


@dataclass(frozen=True, slots=True)
class EnvVar:
    """One variable of the agent. `text` is the literal, the host variable's name, or the question to ask.

    Kinds: `literal`; `host` (`${NAME}`); `secret` (`?text`); `placeholder` (looks like a credential, is none, hidden
    in the preflight). Values of `host` and `secret` never stand in a plan.
    """

    name: str
    kind: Literal["literal", "host", "secret", "placeholder"]
    text: str


@dataclass(frozen=True, slots=True)
class Token:
    """A credential that egress injects: its slot and the host variable that holds it (`token_ref`)."""

    slot: str
    host_var: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one bottle: bytes of memory, number of processes, open files a process, bytes of each tmpfs."""

    memory: int
    pids: int
    files: int
    tmpfs: int


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """Everything resolved, without effects and without a secret's value.

    `needs_consent` says why a person must agree, and may not be passed over by a script: a repository's agent that
    takes the place of one of theirs, or their credentials.
    """

    slug: str
    agent: str
    agent_source: str
    bottles: tuple[str, ...]
    provider: Provider
    backend: str
    argv: tuple[str, ...]
    resume_argv: tuple[str, ...]
    cwd: Path
    workspace: WorkspaceMode
    routes: tuple[Route, ...]
    tokens: tuple[Token, ...]
    env: tuple[EnvVar, ...]
    skills: tuple[Path, ...]
    files: tuple[GeneratedFile, ...]
    git_remotes: tuple[str, ...]
    supervise: bool
    limits: Limits
    one_shot: bool = False
    notes: tuple[str, ...] = ()
    needs_consent: str = ""

    @property
    def daemons(self) -> tuple[str, ...]:
        """The sidecars that this bottle runs."""
        return ("egress",)


@dataclass(frozen=True, slots=True)
class Values:
    """Values of secrets, for the process that needs them only: env by variable name, tokens by slot. Never shown."""

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)


AgentState = Literal["starting", "running", "done", "error", "lost", "foreign"]


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


@dataclass(frozen=True, slots=True)
class ExecResult:
    """The end of a command inside: exit status (128+n when signal n ended it) and captured text."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something dead that this user's bottles left behind. `ident` tells the backend what to remove."""

    backend: str
    kind: Literal["process", "socket", "mount", "folder", "cgroup", "uid", "container", "network", "volume", "machine"]
    ident: str
    slug: str
    detail: str = ""


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

    `compared` is False for a bottle without a copy, of whose changes nothing is known here.
    """

    slug: str
    files: tuple[tuple[str, str], ...]
    patch: str
    exported: bool
    note: str = ""
    compared: bool = True


class Backend(Protocol):
    """One way to realise bottles. Methods may block for seconds; none prints, none raises but `BackendError`.

    `launch` is detached: it returns when the sidecars answer and the agent runs, and undoes what it began when it
    fails. `workspace` is the folder to show inside (the copy that the host made, or the operator's own for `bind`).
    """

    name: str
    strength: str

    def capabilities(self) -> frozenset[Capability]: ...

    def available(self) -> Check: ...

    def preflight(self, plan: LaunchPlan) -> tuple[Check, ...]: ...

    def launch(self, plan: LaunchPlan, values: Values, workspace: Path | None, progress: Progress) -> Launched: ...

    def enumerate(self) -> tuple[tuple[Agent, ...], tuple[Fault, ...]]: ...

    def stop(self, slug: str) -> None: ...

    def signal(self, slug: str, daemon: str, sig: int) -> None: ...

    def attach_argv(self, slug: str, *, pane: bool) -> tuple[str, ...]: ...

    def exec_argv(self, slug: str, argv: Sequence[str], *, tty: bool) -> tuple[str, ...]: ...

    def exec(self, slug: str, script: str, timeout: float = 60.0) -> ExecResult: ...

    def copy_in(self, slug: str, files: Sequence[GeneratedFile]) -> None: ...

    def leftovers(self) -> tuple[Leftover, ...]: ...

    def sweep(self, leftovers: Sequence[Leftover]) -> tuple[Fault, ...]: ...

    def activity_path(self, slug: str) -> Path | None:
        """The file that the bottle's egress writes its decisions to; untrusted: open it without following links."""
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
