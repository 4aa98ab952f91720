"""The values of a catalogue: agents, bottles, their parts, and what is broken, with its error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sidecar_bundle.shared.routes import Route
from sidecar_bundle.shared.visible import visible


class ManifestError(ValueError):
    """One mistake in one manifest. `str()` is `file:line: key: what is wrong (what is allowed)`."""

    def __init__(self, path: Path, line: int, key: str, message: str) -> None:
        # What a manifest holds may come from a cloned repository: one bounded line, with nothing hidden in it.
        self.path = path
        self.line = line
        self.key = _clip(visible(key, keep=""), 200)
        self.message = _clip(visible(message, keep=""), 600)
        where = f"{visible(str(path), keep='')}:{line}: "
        super().__init__(f"{where}{self.key}: {self.message}" if self.key else f"{where}{self.message}")


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


@dataclass(frozen=True, slots=True)
class EnvEntry:
    """`literal`: text is the value; `host`: the host variable's name; `secret`: the question to ask."""

    name: str
    kind: Literal["literal", "host", "secret"]
    text: str


@dataclass(frozen=True, slots=True)
class GitRemote:
    """One declared upstream. `host` is the map key, a label; `ssh_host` is the upstream's, where SSH connects."""

    host: str
    ssh_host: str
    name: str
    upstream: str
    user: str
    port: int
    path: str
    identity_file: str
    known_host_key: str
    extra_hosts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ManifestRoute:
    """An egress route as written: `route.auth.slot` is already assigned, `token_ref` names the host variable."""

    route: Route
    token_ref: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class Bottle:
    """A bottle after `extends`: `chain` runs from itself to its oldest ancestor."""

    name: str
    path: Path
    chain: tuple[str, ...]
    env: tuple[EnvEntry, ...] = ()
    provider: str = "claude"
    dockerfile: str = ""
    git_user_name: str = ""
    git_user_email: str = ""
    remotes: tuple[GitRemote, ...] = ()
    routes: tuple[ManifestRoute, ...] = ()
    supervise: bool = True
    isolation: str = "auto"
    pipelock_required: bool = False
    pipelock_seed_phrases: bool = False


@dataclass(frozen=True, slots=True)
class AgentManifest:
    """An agent; `source` says whose file it is, `shadows` that it replaces an agent of the HOME folder."""

    name: str
    path: Path
    source: Literal["home", "repository"]
    bottle: str
    skills: tuple[str, ...] = ()
    prompt: str = ""
    shadows: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """A manifest that cannot be used; a row, never an exit."""

    name: str
    kind: Literal["agent", "bottle"]
    error: ManifestError


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything found, each sorted by name."""

    agents: tuple[AgentManifest, ...] = ()
    bottles: tuple[Bottle, ...] = ()
    broken: tuple[Broken, ...] = ()
    warnings: tuple[str, ...] = ()

    def agent(self, name: str) -> AgentManifest | None:
        """The agent of that name, if it is whole."""
        return next((a for a in self.agents if a.name == name), None)

    def bottle(self, name: str) -> Bottle | None:
        """The bottle of that name, if it is whole."""
        return next((b for b in self.bottles if b.name == name), None)
