"""The choices of the last launch, kept as the defaults of the next one."""

from __future__ import annotations

import json
from pathlib import Path

from backends.api import LaunchPlan, LaunchSpec, WorkspaceMode
from botbottle_tui.host import files

FILE = "last.json"


def load(home: Path) -> LaunchSpec | None:
    """What was launched last, None when that is not known."""
    try:
        raw = json.loads((home / FILE).read_text(encoding="utf-8"))
        return LaunchSpec(raw["agent"], raw["backend"], Path(raw["cwd"]), WorkspaceMode(raw["workspace"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(home: Path, plan: LaunchPlan) -> None:
    """Remembers what was launched."""
    made = {"agent": plan.agent, "backend": plan.backend, "cwd": str(plan.cwd), "workspace": plan.workspace.value}
    files.write(home / FILE, json.dumps(made) + "\n")
