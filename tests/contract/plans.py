"""Plans for tests, made by the real planner from manifests given as text."""

from __future__ import annotations

from pathlib import Path

from backends.api import LaunchPlan, LaunchSpec, Limits, WorkspaceMode
from backends.docker.spec import SIDECARS
from backends.plan import make_plan, mint_slug
from backends.provision import SIDECAR_HOST
from manifests.catalog import build_catalog

BOTTLE = "---\nagent_provider:\n  template: shell\n---\n"
AGENT = "---\nbottle: box\n---\nBe careful.\n"
LIMITS = Limits(memory=1 << 30, pids=200, files=1024, tmpfs=64 << 20)


def plan(
    backend: str,
    *,
    bottle: str = BOTTLE,
    agent: str = AGENT,
    cwd: Path = Path("/"),
    workspace: WorkspaceMode = WorkspaceMode.NONE,
    command: tuple[str, ...] = (),
    limits: Limits = LIMITS,
    name: str = "worker",
) -> LaunchPlan:
    """A plan for `backend`."""
    catalog = build_catalog(
        {Path("/m/bottles/box.md"): bottle.encode()},
        {Path(f"/m/agents/{name}.md"): agent.encode()},
        {},
        repo_has_bottles=None,
        stale_json=None,
    )
    assert not catalog.broken, catalog.broken
    spec = LaunchSpec(name, backend, cwd, workspace, command)
    host = {"docker": SIDECARS}.get(backend, SIDECAR_HOST)
    return make_plan(
        spec,
        catalog,
        slug=mint_slug(name),
        limits=limits,
        skills={},
        skills_folder=Path("/skills"),
        sidecar_host=host,
    )
