"""Verbs that only look: `list`, `list active`, `info`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import UTC, datetime

from backends.api import BackendError
from botbottle_tui.cli.out import dump, fail, leave, say
from botbottle_tui.host.launching import Host
from botbottle_tui.host.paths import host_paths, work_folder
from manifests.catalog import ManifestRoute
from sidecar_bundle.shared.visible import visible


def run(args: argparse.Namespace) -> int:
    """Agents that can be started, or with `active` the bottles that live."""
    host = Host(host_paths())
    return active(host, args.json) if args.what == "active" else manifests(host, args.json)


def active(host: Host, as_json: bool) -> int:
    """Backend, slug, agent, services, tab-separated; others' bottles and faults go to stderr."""
    agents, faults = host.enumerate()
    if as_json:
        rows = [{**asdict(a), "started": datetime.fromtimestamp(a.started, UTC).isoformat()} for a in agents]
        foreign = [asdict(one) for one in host.foreign()]
        dump({"schema": 1, "bottles": rows, "foreign": foreign, "faults": [asdict(f) for f in faults]})
    else:
        for agent in (a for a in agents if a.state != "lost"):
            say("\t".join((agent.backend, agent.slug, agent.name, ",".join(agent.services))))
        leave(host.foreign())
    for fault in faults:
        fail(f"{fault.source}: {fault.message}", fault.hint)
    return 1 if faults else 0


def manifests(host: Host, as_json: bool) -> int:
    """Agents by name with bottle, provider and source; broken ones with their error."""
    found = host.catalog(work_folder())
    if as_json:
        agents = [{"name": a.name, "bottle": a.bottle, "source": a.source, "path": str(a.path)} for a in found.agents]
        broken = [{"name": b.name, "kind": b.kind, "error": str(b.error)} for b in found.broken]
        bottles = [{"name": b.name, "chain": b.chain, "provider": b.provider} for b in found.bottles]
        dump({"schema": 1, "agents": agents, "bottles": bottles, "broken": broken, "warnings": found.warnings})
        return 0
    for agent in found.agents:
        bottle = found.bottle(agent.bottle)
        say("\t".join((agent.name, agent.bottle, bottle.provider if bottle else "?", agent.source)))
    for bad in found.broken:
        fail(f"{bad.kind} {bad.name}: {bad.error}")
    for warning in found.warnings:
        fail(warning)
    if not found.agents and not found.broken:
        fail("no agents yet", "bottle-dash init")
    return 0


def info(args: argparse.Namespace) -> int:
    """One agent: env names, skills, prompt, bottle, remotes, routes."""
    found = Host(host_paths()).catalog(work_folder())
    agent = found.agent(args.agent)
    if agent is None:
        broken = next((b for b in found.broken if b.name == args.agent and b.kind == "agent"), None)
        if broken is not None:
            raise BackendError(str(broken.error))
        raise BackendError(f"no agent {args.agent!r}", "agents: " + (", ".join(a.name for a in found.agents) or "none"))
    bottle = found.bottle(agent.bottle)
    assert bottle is not None  # an agent without its bottle is broken
    first = agent.prompt.strip().splitlines()[0] if agent.prompt.strip() else ""
    rows: dict[str, str | list[str]] = {
        "agent": agent.name,
        "source": agent.source,
        "path": str(agent.path),
        "bottle": list(bottle.chain),
        "provider": bottle.provider,
        "env": [e.name for e in bottle.env],
        "skills": list(agent.skills),
        "prompt": f"{len(agent.prompt)} characters: {first}" if first else "",
        "git remotes": [f"{r.host}: {r.upstream}" for r in bottle.remotes],
        "routes": [_route(r) for r in bottle.routes],
    }
    if args.json:
        dump({"schema": 1, **rows})
        return 0
    for name, value in rows.items():
        text = value if isinstance(value, str) else (" -> " if name == "bottle" else ", ").join(value)
        say(visible(f"{name:<12} {text or 'none'}", keep=""))
    return 0


def _route(route: ManifestRoute) -> str:
    paths = " ".join(("", *route.route.path_allowlist))
    auth = f" [auth:{route.route.auth.scheme} {route.token_ref}]" if route.route.auth else ""
    return f"{route.route.host}{paths}{auth}"
