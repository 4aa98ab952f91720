"""A live bottle as a row: its state from its processes and what they wrote, its daemons' health from its bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from backends import bundle
from backends.api import Agent
from backends.bubblewrap import proof


def describe(run: Path, live: proof.Live) -> Agent:
    """The row. Waits at most `bundle.HEALTH_TIMEOUT` for a bundle that does not answer."""
    agent = Agent(live.slug, live.agent, "bubblewrap", "running", live.started, live.daemons)
    agent = replace(agent, health=bundle.health(proof.control(run)))
    if not live.sandbox.alive():
        return replace(agent, state="error", detail="its sandbox has ended; x removes it")
    if not live.bundle.alive():
        return replace(agent, state="error", detail="its sidecar bundle is gone: nothing gets out; x stops it")
    if not live.dialer.alive():
        return replace(agent, state="error", detail="its dialer is gone: nothing gets out; x stops it")
    try:
        status = (run / proof.STATUS).read_text().split()
    except OSError:
        return replace(agent, state="starting")
    if status[:1] == ["ended"]:
        return replace(agent, state="done", detail=f"ended with status {status[1] if len(status) > 1 else '?'}")
    return agent
