"""What is said of a bottle's daemons: a mark for each, and a line for one that does not serve."""

from __future__ import annotations

from backends.api import Agent, Health

MARKS = {
    "ready": "",
    "starting": "…",
    "backoff": "…",
    "stopping": "…",
    "needs-credentials": "!",
    "unconfigured": "!",
    "dead": "✗",
}
WORDS = {
    "starting": "starting",
    "backoff": "ended, comes back",
    "stopping": "stopping",
    "needs-credentials": "needs credentials",
    "unconfigured": "has no rules",
    "dead": "dead",
}


def services(agent: Agent) -> str:
    """The daemons by name, those that do not serve with a mark."""
    states = {h.daemon: h.state for h in agent.health}
    names = dict.fromkeys((*agent.services, *states))
    return " ".join(name + MARKS.get(states.get(name, "ready"), "?") for name in names)


def trouble(agent: Agent) -> str:
    """The first daemon that does not serve and why, "" when all do."""
    if agent.state not in ("running", "done"):
        return ""
    bad = next((h for h in agent.health if h.state != "ready"), None)
    if bad is None:
        return ""
    return f"{bad.daemon} {WORDS.get(bad.state, bad.state)}" + (f": {bad.detail}" if bad.detail else "")


def news(before: Agent, now: Agent) -> tuple[tuple[str, bool], ...]:
    """(text, is bad) for each daemon that ended, came back or stopped serving since."""
    known = {h.daemon: h for h in before.health}
    out = []
    for health in now.health:
        was = known.get(health.daemon)
        if was is not None and (text := _news(now.slug, was, health)):
            out.append((text, health.state not in ("ready", "starting")))
        elif was is None and known and health.state == "dead":
            out.append((f"{health.daemon} of {now.slug}: {health.detail or 'dead'}", True))
    gone = [h.daemon for h in before.health if h.state == "dead" and h.daemon not in {n.daemon for n in now.health}]
    return (*out, *((f"{name} of {now.slug} answers again", False) for name in gone if now.health))


def _news(slug: str, was: Health, now: Health) -> str:
    if now.state == "stopping":  # with its bottle, on somebody's order
        return ""
    name = f"{now.daemon} of {slug}"
    why = f" ({now.detail})" if now.detail else ""
    if now.restarts > was.restarts and was.state == "ready":  # one that ends again and again says so once
        return f"{name} ended{why} and is back" if now.state == "ready" else f"{name} ended{why}: restarting"
    if now.state == was.state:
        return ""
    if now.state == "ready":
        # The first time that it serves is the end of a launch.
        return f"{name} serves again" if now.restarts or was.state != "starting" else ""
    return f"{name}: {WORDS.get(now.state, now.state)}{why}"


def wants_credentials(agent: Agent) -> bool:
    """Whether the bottle's egress waits for values that this process may have."""
    return any(h.daemon == "egress" and h.state == "needs-credentials" for h in agent.health)
