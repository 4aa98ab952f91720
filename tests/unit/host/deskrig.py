"""A host with one recorded bottle, no process, and a backend that only remembers what it was told."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from backends.api import (
    Agent,
    BackendError,
    Capability,
    Exchange,
    Fault,
    HostPaths,
    LaunchSpec,
    Progress,
    Values,
    Waiting,
    WorkspaceMode,
)
from backends.fake.driver import FakeBackend
from botbottle_tui.host import live
from botbottle_tui.host.launching import Host
from sidecar_bundle.shared import queue
from sidecar_bundle.shared.config import BundleConfig
from sidecar_bundle.shared.proposal import Kind, Payload, Response, make_proposal

BASE = """---
# what every bottle may reach
agent_provider:
  template: shell
egress:
  routes:
    - host: api.example.org   # the API
      path_allowlist:
        - /v1
      auth: {scheme: Bearer, token_ref: SHOP_TOKEN}
    # the packages
    - host: pypi.org
---
Text.
"""


class Told(FakeBackend):
    """`configured` holds every configuration in order; `refuse` makes the next ones fail."""

    def __init__(self, paths: HostPaths) -> None:
        super().__init__(paths)
        self.base = paths.home / "exchange"
        self.configured: list[BundleConfig] = []
        self.supplied: list[Values] = []
        self.rebuilt: list[str] = []
        self.refuse: list[str] = []
        self.can: frozenset[Capability] = frozenset()
        self.has: dict[str, str] = {}
        self.gone = False

    def capabilities(self) -> frozenset[Capability]:
        return self.can

    def programs(self) -> Mapping[str, str]:
        return self.has

    def enumerate(self) -> tuple[tuple[Agent, ...], tuple[Fault, ...]]:
        slugs = [] if self.gone or not self.base.exists() else sorted(p.name for p in self.base.iterdir())
        return tuple(Agent(s, "worker", self.name, "running", time.time() - 60, ("egress",)) for s in slugs), ()

    def exchange(self, slug: str) -> Exchange | None:
        return None if self.gone else Exchange(self.base / slug / "queue", self.base / slug / "answers")

    def configure(self, slug: str, config: BundleConfig) -> None:
        if self.refuse:
            raise BackendError(self.refuse.pop(0))
        self.configured.append(config)

    def supply(self, slug: str, values: Values) -> None:
        self.supplied.append(values)

    def dockerfile(self, slug: str) -> str:
        return self.rebuilt[-1] if self.rebuilt else ""

    def rebuild(self, slug: str, dockerfile: str, progress: Progress) -> None:
        self.rebuilt.append(dockerfile)


class Rig:
    """`bottles` are the manifests by name; agent `worker` runs in `box`."""

    def __init__(self, home: Path, bottles: Mapping[str, str] | None = None) -> None:
        self.home = home
        for name, text in (bottles or {"box": BASE}).items():
            self.manifest(name).parent.mkdir(parents=True, exist_ok=True)
            self.manifest(name).write_text(text)
        (home / "agents").mkdir(parents=True)
        (home / "agents" / "worker.md").write_text("---\nbottle: box\n---\n")
        paths = HostPaths(home, home / "cache")
        self.backend = Told(paths)
        self.host = Host(paths, (self.backend,), chosen="fake", via="test")
        self.desk = self.host.desk
        self.slug = self.start()

    def manifest(self, name: str) -> Path:
        return self.home / "bottles" / f"{name}.md"

    def start(self) -> str:
        prepared = self.host.prepare(LaunchSpec("worker", "", Path("/"), WorkspaceMode.NONE))
        plan = prepared.plan
        assert plan is not None, prepared.checks
        self.host.records.create(plan, time.time() - 60)
        live.save(self.host.records.folder(plan.slug), plan.config)
        for name in ("queue", "answers"):
            (self.backend.base / plan.slug / name).mkdir(parents=True)
        return plan.slug

    def another(self) -> Host:
        """Another process's host on the same state."""
        return Host(HostPaths(self.home, self.home / "cache"), (self.backend,), chosen="fake")

    @property
    def folder(self) -> Path:
        return self.host.records.folder(self.slug)

    def exchange(self, slug: str = "") -> Exchange:
        found = self.backend.exchange(slug or self.slug)
        assert found is not None
        return found

    def ask(self, kind: Kind, payload: Payload, slug: str = "", salt: str = "") -> str:
        """Queues a proposal as the bundle does, and answers its id."""
        one = make_proposal(kind, "whatever it says", payload, time.time(), salt)
        queue.put_proposal(self.exchange(slug).queue, one)
        return one.id

    def waiting(self) -> tuple[Waiting, ...]:
        return self.desk.inbox.waiting()[0]

    def response(self, ident: str) -> Response | None:
        return queue.response(self.exchange().answers, ident)
