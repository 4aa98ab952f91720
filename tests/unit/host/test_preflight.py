"""What the preflight says of scanning and of values that cannot be protected, and what the bundle is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backends.api import Check, LaunchSpec, Prepared, WorkspaceMode
from tests.unit.host.deskrig import BASE, Rig

# Made here, so that no scanner takes it for a real one.
LONG = "Zq7" + "pR2xK9vB4" * 3
ENV = f"env: {{LANG: C.UTF-8, DEBUG: 'yes', GIVEN: '${{GIVEN}}', ASKED: '?what', FIXED: {LONG[::-1]}}}\n"


def prepared(own_state: Path, text: str, has: dict[str, str] | None = None) -> tuple[Rig, Prepared]:
    rig = Rig(own_state)
    rig.manifest("box").write_text(text)
    rig.backend.has = has or {}
    return rig, rig.host.prepare(LaunchSpec("worker", "", Path("/"), WorkspaceMode.NONE))


def check(found: Prepared, name: str) -> Check:
    return next(c for c in found.checks if c.name == name)


def test_pipelock_is_there_or_not_or_required(own_state: Path) -> None:
    rig, found = prepared(own_state, BASE)
    assert check(found, "pipelock").ok and "egress alone scans" in check(found, "pipelock").detail
    assert found.plan and "pipelock" not in found.plan.daemons
    rig.backend.has = {"pipelock": "/usr/bin/pipelock 2.3.0"}
    found = rig.host.prepare(found.spec)
    assert "/usr/bin/pipelock 2.3.0" in check(found, "pipelock").detail
    assert found.plan and "pipelock" in found.plan.daemons
    rig.manifest("box").write_text(BASE.replace("egress:", "pipelock: {required: true}\negress:"))
    assert rig.host.prepare(found.spec).plan
    rig.backend.has = {}
    found = rig.host.prepare(found.spec)
    assert not found.ok and not check(found, "pipelock").ok and "BOT_BOTTLE_PIPELOCK" in check(found, "pipelock").fix


def test_how_each_route_is_scanned(own_state: Path) -> None:
    text = BASE.replace("    - host: pypi.org\n", "    - host: pypi.org\n      dlp: off\n")
    _, found = prepared(own_state, text)
    off = next((c for c in found.checks if c.name == "DLP off"), None)
    if off is None:
        pytest.fail(f"no line says what is not scanned: {found.checks}")
    assert off.warn and off.detail == "NOT SCANNED: pypi.org"
    assert check(found, "DLP block").detail.endswith("is refused: api.example.org")


def test_weak_values_are_named_and_strong_ones_protected(own_state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "abc")
    monkeypatch.setenv("GIVEN", LONG)
    rig, found = prepared(own_state, BASE.replace("egress:", f"{ENV}egress:"))
    named = [c for c in found.checks if c.name == "not protected"]
    said = " ".join(c.detail for c in named)
    assert "SHOP_TOKEN" in said and "LANG" in said and "DEBUG" in said and "GIVEN" not in said and "FIXED" not in said
    assert any(c.warn and "SHOP_TOKEN" in c.detail for c in named)
    assert "abc" not in said.replace("alphabet", "") and LONG not in repr(found.checks)
    assert found.plan is not None
    values = rig.host.host_values(found.plan, {"ASKED": LONG[3:] + "Q"})
    assert values.protect == {"GIVEN": LONG, "FIXED": LONG[::-1], "ASKED": LONG[3:] + "Q"}
    assert values.env == {"GIVEN": LONG, "ASKED": LONG[3:] + "Q"} and LONG not in repr(values)


def test_placeholders_are_protected_by_nobody(own_state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", LONG)
    rig, found = prepared(own_state, BASE)
    assert found.plan is not None
    from backends.api import EnvVar

    plan = replace(found.plan, env=(EnvVar("API_KEY", "placeholder", LONG[::-1]),))
    assert rig.host.host_values(plan, {}).protect == {}


def test_git_keys_are_checked(own_state: Path) -> None:
    remote = (
        "git:\n  remotes:\n    github.com: {Name: shop, Upstream: 'ssh://git@github.com/a/b.git',"
        " IdentityFile: /nowhere/key}\n"
    )
    _, found = prepared(own_state, BASE.replace("egress:", f"{remote}egress:"))
    assert not found.ok and any("/nowhere/key" in c.detail for c in found.checks if not c.ok)
    assert check(found, "git-gate").warn and "built-in scan" in check(found, "git-gate").detail
