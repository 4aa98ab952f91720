"""From a key to a painted screen with a thousand agents: update, screen, render."""

from __future__ import annotations

import time
from itertools import cycle, islice
from pathlib import Path

from backends.api import Agent
from botbottle_tui.core.model import DashOptions
from botbottle_tui.core.msg import Enumerated, KeyPressed
from botbottle_tui.core.update import start, update
from botbottle_tui.view.screen import screen
from tests.bench.figures import Row, p50, p95

AGENTS, KEYS = 1000, 600
PRESSED = ("j", "j", "j", "k", "page down", "j", "G", "k", "page up", "tab", "tab", "tab", "?", "esc", "g")


def rows() -> list[Row]:
    """At 160x50, where most rows are painted, and at 80x24."""
    out = []
    for size in ((160, 50), (80, 24)):
        model, _ = start(DashOptions(cwd=Path("/srv/shop"), home=Path("/srv/home")), 1.8e9, size)
        live = tuple(
            Agent(f"builder-{i:05}", "builder", "bubblewrap", "running", 1.8e9 - i, ("egress",)) for i in range(AGENTS)
        )
        model, _ = update(model, Enumerated(4, live, ()))
        assert model.agents is not None and len(model.agents) == AGENTS
        spent = []
        for key in islice(cycle(PRESSED), KEYS):
            begin = time.perf_counter()
            model, _ = update(model, KeyPressed(key))
            screen(model).render(size, True)
            spent.append((time.perf_counter() - begin) * 1000)
        where = f"{size[0]}x{size[1]}, {AGENTS} agents"
        out.append(Row(f"key to paint at {where}, p50", p50(spent)))
        out.append(Row(f"key to paint at {where}, p95", p95(spent), aim=16))
    return out
