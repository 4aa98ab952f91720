"""The worlds that stories begin in, and the keys that scroll."""

from __future__ import annotations

from backends.api import Agent, Changes, EnvVar
from sidecar_bundle.shared.activity import Activity
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


def many_lines(story: Story, *keys: str) -> Story:
    """Keys that scroll, in a small window where there is something to scroll."""
    return story.resize(60, 12).press(*keys)


SCROLLS = ("j", "down", "page down", "page up", "G", "end", "k", "up", "g", "home")
