"""Checks of a plan against this host: variables that must be set, skills, and what this version cannot promise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from backends.api import Check, LaunchPlan
from manifests.catalog import Bottle


def skills_folder() -> Path:
    """Where the operator's skills are, a folder each."""
    return Path.home() / ".claude" / "skills"


def skills(names: Iterable[str]) -> dict[str, Path]:
    """Those of `names` that are folders in the operator's skills folder."""
    folder = skills_folder()
    return {name: folder / name for name in names if (folder / name).is_dir()}


def host_checks(plan: LaunchPlan, bottle: Bottle | None, environ: Mapping[str, str]) -> tuple[Check, ...]:
    """Failed checks stop the launch; warnings say what is weaker than one may think."""
    checks = []
    for name in dict.fromkeys([t.host_var for t in plan.tokens] + [v.text for v in plan.env if v.kind == "host"]):
        if not environ.get(name):
            checks.append(Check("environment", False, f"the host variable {name} is not set", f"export {name}=..."))
    checks += [Check("note", True, note, warn=True) for note in plan.notes]
    if bottle is not None and bottle.pipelock_required:
        checks.append(
            Check(
                "pipelock",
                False,
                "the bottle requires pipelock, which this version does not run",
                "remove pipelock.required",
            )
        )
    if bottle is not None and bottle.isolation not in ("auto", ""):
        checks.append(
            Check(
                "isolation",
                False,
                f"isolation {bottle.isolation} is not to be had on {plan.backend}",
                "isolation: auto",
            )
        )
    if bottle is not None and bottle.dockerfile:
        detail = f"agent_provider.dockerfile is not used on {plan.backend}: the agent sees this host's /usr"
        checks.append(Check("dockerfile", True, detail, warn=True))
    if plan.routes:
        checks.append(Check("DLP", True, "this version does not scan requests to allowed hosts", warn=True))
    return tuple(checks)
