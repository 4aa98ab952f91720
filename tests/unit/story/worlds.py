"""The worlds that stories begin in, and the keys that scroll."""

from __future__ import annotations

from dataclasses import replace

from backends.api import Agent, Changes, EnvVar, Health
from sidecar_bundle.shared.activity import Activity
from sidecar_bundle.shared.proposal import CapabilityRequest, HeldRequest, Question, RouteRequest
from tests.fake_world import NOW, FakeWorld
from tests.story import Story

SECRET = EnvVar("DB_PASSWORD", "secret", "the test database's password")


def live(slug: str, state: str = "running", since: float = 60, name: str = "builder") -> Agent:
    return Agent(slug, name, "bubblewrap", state, NOW - since, ("egress",))  # type: ignore[arg-type]


def three() -> FakeWorld:
    world = FakeWorld(live=[live("one-1", since=300), live("two-2", since=200, name="reviewer"), live("three-3")])
    world.changed["two-2"] = Changes(
        "two-2",
        (("M", "src/app.py"), ("A", "new.txt"), ("D", "old.txt")),
        "diff --git a/src/app.py b/src/app.py\n@@ -1 +1 @@\n-old\n+new\x1b[2J\u202e\n",
        False,
    )
    world.lines["one-1"] = (
        *(Activity(NOW + i, "egress", "allow", "GET", "api.example.org", f"/v1/{i}", "", 200) for i in range(40)),
        Activity(NOW + 50, "egress", "refuse", "GET", "evil.example", "/x", "no route allows this host", 403),
    )
    return world


def asking() -> FakeWorld:
    """Three bottles, of which five proposals wait, one of each kind but pipelock's, and a second route."""
    world = three()
    ask = world.desk.ask
    ask("one-1", "egress-block", RouteRequest("files.example.org", ("/a",), "because \u202eof x"), NOW - 300)
    ask("two-2", "ask-operator", Question("Which database?", ("postgres", "sqlite")), NOW - 250)
    ask("three-3", "capability-block", CapabilityRequest("FROM debian\nRUN true", "a compiler"), NOW - 200)
    findings = ("own-secret SHOP_TOKEN in the body",)
    ask("three-3", "dlp-ask", HeldRequest("POST", "api.example.org", "/v1", findings), NOW - 100)
    ask("one-1", "egress-block", RouteRequest("api.example.org", ("/v2",), "newer API"), NOW - 50)
    return world


def unwell() -> FakeWorld:
    """A bottle of which git-gate comes back, one whose egress is dead, and one that is well."""
    world = three()
    first, second, third = world.live
    services = ("egress", "git-gate", "supervise")
    ready = tuple(Health(name, "ready") for name in services)
    ended = Health("git-gate", "backoff", "killed by signal 9", 1)
    world.live = [
        replace(first, services=services, health=(ready[0], ended, ready[2])),
        replace(second, services=services, health=(Health("egress", "dead", "it ends at once"), *ready[1:])),
        replace(third, services=services, health=ready),
    ]
    return world


def many_lines(story: Story, *keys: str) -> Story:
    """Keys that scroll, in a small window where there is something to scroll."""
    return story.resize(60, 12).press(*keys)


SCROLLS = ("j", "down", "page down", "page up", "G", "end", "k", "up", "g", "home")
