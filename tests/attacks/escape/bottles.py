"""A bottle to break out of, on any backend: launched the way an operator does, with planted secrets."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol
from unittest import mock

import sidecar_bundle
from backends.api import Backend, ExecResult, HostPaths, LaunchSpec, WorkspaceMode
from backends.bubblewrap import spare
from backends.bubblewrap.driver import BubblewrapBackend
from backends.docker import images
from backends.docker.driver import DockerBackend
from botbottle_tui.host.launching import Host
from tests import docker_engine
from tests.attacks.escape.fakes import GOOD, PUBLIC_DNS, Log

_RANDOM = b64encode(hashlib.sha512(b"planted a").digest() + hashlib.sha512(b"planted b").digest(), b"-_").decode()
# Shaped as real ones, made here so that they stand in no file.
SECRETS = {
    "TEST_SECRET_ANTHROPIC": "sk-ant-" + "api03-" + _RANDOM[:93] + "AA",
    "TEST_SECRET_AWS": "AKIA" + "Q3EGRT5UVWXYZ234",
    "TEST_SECRET_GENERIC": "kv8" + hashlib.sha256(b"planted c").hexdigest()[:37],
}
GENERIC_NAME = "TEST_SECRET_GENERIC"
TOKEN_VARIABLE = "TEST_TOKEN_OF_THE_BOTTLE"
TOKEN = "injected-" + os.urandom(16).hex()
BOTTLE = """---
agent_provider:
  template: shell
supervise: false
env:
{env}
egress:
  routes:
    - host: allowed.example
    - host: pass.example
      pipelock:
        tls_passthrough: true
    - host: "*.wild.example"
    - host: loop.example
    - host: inner.example
    - host: metadata.example
    - host: api.example
      auth:
        scheme: Bearer
        token_ref: {token}
{remotes}---
"""


class Rig(Protocol):
    """What the suite must know of a backend beside its protocol."""

    def backend(self, paths: HostPaths) -> Backend: ...

    def engine(self) -> contextlib.AbstractContextManager[None]:
        """Whatever the backend needs to run in this namespace."""
        ...

    def metadata(self) -> list[Path]:
        """Folders in which an engine notes what it was told of a bottle."""
        ...

    # Where an SSH server in this namespace is within a bundle's reach.
    ssh_address: str
    # Attacks that something of the backend itself stops besides the layers that are named with them.
    also_stops: frozenset[str]

    def with_package(self, package: Path) -> contextlib.AbstractContextManager[object]:
        """Bundles started in the block run this copy of `sidecar_bundle`."""
        ...


class Bubblewrap:
    ssh_address = "127.0.0.1"
    also_stops = frozenset[str]()

    def backend(self, paths: HostPaths) -> Backend:
        return BubblewrapBackend(paths)

    def engine(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def metadata(self) -> list[Path]:
        return []

    def with_package(self, package: Path) -> contextlib.AbstractContextManager[object]:
        return mock.patch.object(spare, "sidecar_bundle", SimpleNamespace(__path__=[str(package)]))


class Docker:
    ssh_address = GOOD
    # The bundle has a loopback of its own.
    also_stops = frozenset({"an allowed name that leads to loopback"})

    def backend(self, paths: HostPaths) -> Backend:
        return DockerBackend(paths)

    def engine(self) -> contextlib.AbstractContextManager[None]:
        return docker_engine.running(PUBLIC_DNS)

    def metadata(self) -> list[Path]:
        return [Path(os.environ[docker_engine.ARCHIVE_ENV]).parent / "engine" / "containers"]

    def with_package(self, package: Path) -> contextlib.AbstractContextManager[object]:
        return mock.patch.object(images, "_BUNDLE", package)


RIGS: dict[str, Callable[[], Rig]] = {"bubblewrap": Bubblewrap, "docker": Docker}


def rig(name: str) -> Rig:
    """The rig of a backend; a backend without one is an error, never a skip."""
    if name not in RIGS:
        raise AssertionError(f"no attacks are known for the backend {name!r} (known: {', '.join(RIGS)})")
    return RIGS[name]()


@dataclass
class Ground:
    """The place of the attacks: a state folder, the fakes' log and CA, git remotes, and the backend under attack."""

    base: Path
    rig: Rig
    log: Log
    remotes: str = ""

    @property
    def ca(self) -> Path:
        return self.base / "pki" / "ca.pem"

    def free(self, script: str) -> ExecResult:
        """The script where nothing confines it, as the positive control: the fakes are there and can be reached."""
        trust = {name: str(self.ca) for name in ("CURL_CA_BUNDLE", "SSL_CERT_FILE", "GIT_SSL_CAINFO")}
        with tempfile.TemporaryDirectory(dir=self.base) as home:
            env = {"PATH": "/usr/bin:/bin", "HOME": home, "GIT_TERMINAL_PROMPT": "0", **trust, **SECRETS}
            done = subprocess.run(
                ["sh", "-s"], input=script, env=env, cwd=home, capture_output=True, text=True, timeout=60
            )
        return ExecResult(done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def bottle(self, without: Mapping[str, str] | None = None, gitleaks: str = "") -> Iterator[Bottle]:
        """A bottle; `without` maps modules of its bundle to code that takes a layer out of them."""
        with contextlib.ExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self.base, prefix="home-")))
            manifests(home, self.remotes)
            settings = {TOKEN_VARIABLE: TOKEN, **SECRETS}
            for name in ("BOT_BOTTLE_PIPELOCK", "BOT_BOTTLE_GITLEAKS"):
                settings[name] = gitleaks if name.endswith("LEAKS") else ""
            stack.enter_context(mock.patch.dict(os.environ, {**settings, "BOT_BOTTLE_HOME": str(home)}))
            if without:
                stack.enter_context(self.rig.with_package(_copy(self.base, without, stack)))
            cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bot-bottle"
            backend = self.rig.backend(HostPaths(home, cache, self.ca))
            stack.callback(backend.close)
            host = Host(HostPaths(home, cache, self.ca), (backend,))
            prepared = host.prepare(LaunchSpec("worker", backend.name, self.base, WorkspaceMode.NONE))
            assert prepared.plan is not None, prepared.checks
            bad = [check for check in prepared.checks if not check.ok]
            assert not bad, bad
            agent = host.launch(prepared.plan, host.host_values(prepared.plan, {}), lambda text: None)
            stack.callback(host.stop, agent.slug, drop_changes=True)
            yield Bottle(agent.slug, backend, host)


@dataclass(frozen=True, slots=True)
class Bottle:
    """A running bottle."""

    slug: str
    backend: Backend
    host: Host

    def run(self, script: str, timeout: float = 60) -> ExecResult:
        """A script of the agent's, with the variables that the agent has."""
        exports = "".join(f"export {name}='{value}'\n" for name, value in SECRETS.items())
        return self.backend.exec(self.slug, exports + script, timeout)


def manifests(home: Path, remotes: str) -> None:
    """An agent and its bottle in `home`."""
    env = "\n".join(f"  {name}: ${{{name}}}" for name in SECRETS)
    for path, text in (
        ("bottles/box.md", BOTTLE.format(env=env, token=TOKEN_VARIABLE, remotes=remotes)),
        ("agents/worker.md", "---\nbottle: box\n---\nBreak out.\n"),
    ):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text)


def _copy(base: Path, without: Mapping[str, str], stack: contextlib.ExitStack) -> Path:
    """A copy of the bundle's package; each function of `without` takes the place of its namesake."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=base, prefix="package-")))
    package = folder / "sidecar_bundle"
    source = Path(sidecar_bundle.__path__[0])
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    for module, code in without.items():
        path = package / module
        path.write_text(path.read_text() + "\n\n" + code)
    return package
