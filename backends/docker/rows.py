"""A bottle on an engine as a row: its state from containers and terminal, its daemons' health from its bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from backends import bundle
from backends.api import Agent
from backends.docker import proof
from backends.holder import client


def describe(run: Path, bottle: proof.Bottle, states: Mapping[str, str]) -> Agent:
    """The row; `states` are those of its containers by role."""
    agent = Agent(bottle.slug, bottle.agent, "docker", "running", bottle.started, bottle.daemons)
    if states.get("agent") != "running":
        return replace(agent, state="error", detail="its container has ended; x removes it")
    if states.get("sidecars") != "running":
        return replace(agent, state="error", detail="its sidecar bundle is gone: nothing gets out; x stops it")
    agent = replace(agent, health=bundle.health(proof.control(run)))
    if not bottle.holder.start:
        return agent
    try:
        status = client.request(str(run / proof.HOLDER_SOCKET), {"op": "status"}, timeout=1)
    except client.ClientError:
        return replace(agent, state="error", detail="its terminal is gone; x stops it")
    if status.get("state") == "ended":
        return replace(agent, state="done", detail=f"ended with status {status.get('exit')}")
    return agent
