"""What a launch is: what the operator chose, and everything resolved from it, without effects and without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

from agent_image.providers import Provider
from sidecar_bundle.shared import layout
from sidecar_bundle.shared.config import BundleConfig, Pipelock, Remote
from sidecar_bundle.shared.routes import Route


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
class Identity:
    """The private key of a git remote: the remote's name and the key's file on the host."""

    remote: str
    file: str


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
    takes the place of one of theirs, or their credentials. `dockerfile` is the bottle's own, "" for the provider's.
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
    remotes: tuple[Remote, ...]
    identities: tuple[Identity, ...]
    supervise: bool
    pipelock: Pipelock
    limits: Limits
    has_pipelock: bool = False
    one_shot: bool = False
    sidecar_host: str = "127.0.0.1"
    notes: tuple[str, ...] = ()
    needs_consent: str = ""
    dockerfile: str = ""

    @property
    def daemons(self) -> tuple[str, ...]:
        """The sidecars that this bottle runs."""
        wanted = {
            layout.EGRESS: True,
            layout.PIPELOCK: self.has_pipelock,
            layout.GIT_GATE: bool(self.remotes),
            layout.SUPERVISE: self.supervise,
        }
        return tuple(name for name in layout.DAEMONS if wanted[name])

    @property
    def config(self) -> BundleConfig:
        """What its bundle is told; names of secrets only."""
        return BundleConfig(self.slug, self.routes, self.daemons, self.pipelock, self.remotes)


@dataclass(frozen=True, slots=True)
class Values:
    """Values of secrets, for the process that needs them only. Never shown.

    `env` by variable name and `tokens` by slot; `protect` is what no request may carry out beside the tokens, by
    variable name; `keys` are private SSH keys by remote, and `agent` the operator's SSH agent's socket for the remotes
    whose key is not there ("": none is needed).
    """

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    protect: Mapping[str, str] = field(default_factory=dict, repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    agent: str = ""
