"""Decisions that end in the middle, by a crash or by several failures at once: put back, and told of."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.api import Decision
from botbottle_tui.host import live
from botbottle_tui.host.audit import Audit
from sidecar_bundle.shared import queue
from sidecar_bundle.shared.proposal import Question
from tests.unit.host.deskrig import BASE, Rig
from tests.unit.host.test_approvals import ROUTE, approve, decide, hosts

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def rig(own_state: Path) -> Rig:
    return Rig(own_state)


# Where the program ends, and whether the decision was made by then.
ENDS: dict[str, tuple[object, str, bool]] = {
    "before it is in force": (live, "save", False),
    "before the audit": (Audit, "append", False),
    "before the answer": (queue, "put_response", False),
    "after the answer": (live, "finish", True),
}


def killed(do: Callable[[], object], where: str) -> None:
    """Does it in another process, which ends at that point as SIGKILL would end it."""
    owner, name, _ = ENDS[where]
    child = os.fork()
    if not child:
        setattr(owner, name, lambda *args: os._exit(9))
        do()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize("found_by", ["the next decision", "the next dashboard"])
@pytest.mark.parametrize("where", ENDS)
def test_a_decision_that_a_crash_ended_is_undone_or_done(rig: Rig, where: str, found_by: str) -> None:
    ident, before = rig.ask("egress-block", ROUTE), live.load(rig.folder)
    kept = rig.desk.preview_lasting(rig.slug, ident).seen
    decision = Decision(rig.slug, ident, "approve", rig.desk.preview(rig.slug, ident).seen, manifest=kept)
    killed(lambda: decide(rig, decision), where)
    if found_by == "the next dashboard":
        assert rig.desk.watch("", 0)[2] == ()
    else:
        other = rig.ask("ask-operator", Question("?"))
        assert decide(rig, Decision(rig.slug, other, "reject"))[1] == ()
    said = [(e["action"], e["id"]) for e in rig.desk.audit.entries() if e["id"] == ident]
    if ENDS[where][2]:
        assert rig.backend.configured == [] and hosts(rig)[-1] == "files.example.org"
        assert said == [("approve", ident)] and "files.example.org" in rig.manifest("box").read_text()
    else:
        assert rig.backend.configured == [before] and live.load(rig.folder) == before
        assert rig.manifest("box").read_text() == BASE and rig.response(ident) is None
        assert said == [("approve", ident)] * (where == "before the answer") + [("undone", ident)]
    assert not (rig.folder / live.PENDING).exists() and rig.desk.audit.verify() == []


def test_what_a_crash_left_is_put_back_before_anything_else_or_nothing_is_decided(rig: Rig) -> None:
    rules = rig.desk.rules(rig.slug, "routes")
    text = rules.text.replace("pypi.org", "pypi.example")
    killed(lambda: rig.desk.change_rules(rig.slug, "routes", text, rules.seen), "before the audit")
    rig.backend.refuse = ["the bundle did not answer"]
    ident = rig.ask("ask-operator", Question("?"))
    _, faults = decide(rig, Decision(rig.slug, ident, "reject"))
    assert faults[0].message == "the bundle did not answer" and rig.response(ident) is None
    assert rig.desk.watch("", 0)[2] == () and hosts(rig)[-1] == "pypi.org"
    (entry,) = rig.desk.audit.entries()
    assert (entry["action"], entry["kind"]) == ("undone", "routes") and "-route pypi.example" in entry["diff"]
    (rig.folder / live.PENDING).write_text("{}")
    assert "cannot be read: the rules of" in rig.desk.watch("", 0)[2][0].message


def test_a_manifest_that_a_crash_left_and_somebody_changed_is_told_once(rig: Rig) -> None:
    ident = rig.ask("egress-block", ROUTE)
    kept = rig.desk.preview_lasting(rig.slug, ident).seen
    decision = Decision(rig.slug, ident, "approve", rig.desk.preview(rig.slug, ident).seen, manifest=kept)
    killed(lambda: decide(rig, decision), "before the answer")
    rig.manifest("box").write_text(rig.manifest("box").read_text() + "More.\n")
    assert "may still be there: the manifest changed meanwhile" in rig.desk.watch("", 0)[2][0].message
    assert rig.desk.watch("", 0)[2] == () and "files.example.org" not in hosts(rig)


def test_both_failures_are_told_when_the_manifest_cannot_be_undone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        rig.manifest("box").write_text("another")
        raise OSError(28, "the disk is full")

    ident = rig.ask("egress-block", ROUTE)
    kept = rig.desk.preview_lasting(rig.slug, ident).seen
    monkeypatch.setattr(queue, "put_response", fail)
    _, faults = approve(rig, ident, manifest=kept)
    assert faults[0].message.startswith("the answer cannot be written: the disk is full; and ")
    assert "may still be there: the manifest changed meanwhile" in faults[0].message
    assert "files.example.org" not in hosts(rig)
