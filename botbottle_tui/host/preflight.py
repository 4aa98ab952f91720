"""Checks of a plan against this host: variables that must be set, skills, and what this version cannot promise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from backends import gitkeys
from backends.api import Check, LaunchPlan, Values
from manifests.catalog import Bottle
from sidecar_bundle.shared.layout import PIPELOCK
from sidecar_bundle.shared.weak import weak


def skills_folder() -> Path:
    """Where the operator's skills are, a folder each."""
    return Path.home() / ".claude" / "skills"


def skills(names: Iterable[str]) -> dict[str, Path]:
    """Those of `names` that are folders in the operator's skills folder."""
    folder = skills_folder()
    return {name: folder / name for name in names if (folder / name).is_dir()}


def host_checks(
    plan: LaunchPlan, bottle: Bottle | None, programs: Mapping[str, str], environ: Mapping[str, str]
) -> tuple[Check, ...]:
    """Failed checks stop the launch; warnings say what is weaker than one may think."""
    checks = []
    for name in dict.fromkeys([t.host_var for t in plan.tokens] + [v.text for v in plan.env if v.kind == "host"]):
        if not environ.get(name):
            checks.append(Check("environment", False, f"the host variable {name} is not set", f"export {name}=..."))
    checks += [Check("note", True, note, warn=True) for note in plan.notes]
    checks.append(_pipelock(plan, programs))
    if bottle is not None and bottle.isolation not in ("auto", ""):
        checks.append(
            Check(
                "isolation",
                False,
                f"isolation {bottle.isolation} is not to be had on {plan.backend}",
                "isolation: auto",
            )
        )
    if plan.remotes:
        scans = programs.get("gitleaks", "")
        detail = f"gitleaks scans pushes ({scans})" if scans else "gitleaks is not there: pushes get the built-in scan"
        checks.append(Check("git-gate", True, detail, "install gitleaks, or name it in BOT_BOTTLE_GITLEAKS", not scans))
    return (*checks, *gitkeys.checks(plan, environ), *_dlp(plan, environ))


def values(plan: LaunchPlan, env: Mapping[str, str], tokens: Mapping[str, str], environ: Mapping[str, str]) -> Values:
    """All that the bundle is given: what no request may carry out are the agent's values that can be told apart."""
    literals = {v.name: v.text for v in plan.env if v.kind == "literal"}
    protect = {name: value for name, value in {**literals, **env}.items() if not weak(value)}
    keys, agent = gitkeys.load(plan, environ)
    return Values(dict(env), dict(tokens), protect, keys, agent)


def _pipelock(plan: LaunchPlan, programs: Mapping[str, str]) -> Check:
    found = programs.get(PIPELOCK, "")
    if found:
        return Check("pipelock", True, f"scans behind egress ({found})")
    if plan.pipelock.required:
        where = "put pipelock on PATH or name it in BOT_BOTTLE_PIPELOCK, or remove pipelock.required"
        return Check("pipelock", False, "the bottle requires it, and it is not there", where)
    hint = "put it on PATH, or name it in BOT_BOTTLE_PIPELOCK"
    return Check("pipelock", True, "not there: egress alone scans", hint, warn=True)


def _dlp(plan: LaunchPlan, environ: Mapping[str, str]) -> list[Check]:
    """How requests are scanned, by mode, and the values that cannot be: names, never a value."""
    said = {
        "block": "a request that carries a secret is refused",
        "redact": "secrets are cut out",
        "ask": "a request that carries a secret waits for your answer in Proposals",
        "off": "NOT SCANNED",
    }
    out = []
    for mode, words in said.items():
        hosts = [r.host for r in plan.routes if r.dlp == mode]
        if hosts:
            more = f" and {len(hosts) - 6} more" if len(hosts) > 6 else ""
            out.append(Check(f"DLP {mode}", True, f"{words}: {', '.join(hosts[:6])}{more}", warn=mode == "off"))
    named = {t.host_var: environ.get(t.host_var, "") for t in plan.tokens}
    for var in plan.env:
        if var.kind in ("literal", "host"):
            named[var.name] = var.text if var.kind == "literal" else environ.get(var.text, "")
    reasons: dict[str, list[str]] = {}
    for name, value in named.items():
        if value and (reason := weak(value)):
            reasons.setdefault(reason, []).append(name)
    for reason, names in sorted(reasons.items()):
        literal = all(v.kind == "literal" for v in plan.env if v.name in names) and not any(
            t.host_var in names for t in plan.tokens
        )
        detail = f"{', '.join(sorted(names))}: {reason}, so no request is stopped for it"
        out.append(Check("not protected", True, detail, warn=not literal))
    return out
