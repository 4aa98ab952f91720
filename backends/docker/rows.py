"""A bottle on an engine as a row: its state from containers and terminal, its daemons' health from its bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from backends import bundle
from backends.api import Agent
from backends.docker import proof
from backends.holder import client

_CLEAR = "x clears it away and keeps its changes"


def _ended(what: str, state: str) -> str:
    if not state:
        return f"{what} was removed from outside"
    if state == "paused":
        return f"{what} is paused (docker unpause)"
    return f"{what} was ended from outside (docker, or an engine's restart)"


def describe(run: Path, bottle: proof.Bottle, states: Mapping[str, str]) -> Agent:
    """The row; `states` are those of its containers by role, as the engine calls them."""
    agent = Agent(bottle.slug, bottle.agent, "docker", "running", bottle.started, bottle.daemons)
    if (state := states.get("agent", "")) != "running":
        return replace(agent, state="error", detail=f"{_ended('its container', state)}; {_CLEAR}")
    if (state := states.get("sidecars", "")) != "running":
        return replace(agent, state="error", detail=f"nothing gets out: {_ended('its bundle', state)}; {_CLEAR}")
    agent = replace(agent, health=bundle.health(proof.control(run)))
    if any(one.state == "unconfigured" for one in agent.health):
        detail = f"nothing gets out: its bundle was restarted from outside and has no rules; {_CLEAR}"
        return replace(agent, state="error", detail=detail)
    if not bottle.holder.start:
        return agent
    try:
        status = client.request(str(run / proof.HOLDER_SOCKET), {"op": "status"}, timeout=1)
    except client.ClientError:
        return replace(agent, state="error", detail="its terminal is gone; x stops it")
    if status.get("state") == "ended":
        return replace(agent, state="done", detail=f"ended with status {status.get('exit')}")
    return agent
