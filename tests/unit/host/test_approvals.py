"""Decisions on real files: what is applied, audited and answered, in which order, and what a failure leaves."""

from __future__ import annotations

import getpass
import json
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from backends.api import Audited, BackendError, Capability, Decision, Fault
from botbottle_tui.host import live
from sidecar_bundle.shared.config import dump_config
from sidecar_bundle.shared.proposal import CapabilityRequest, HeldRequest, PipelockRequest, Question, RouteRequest
from sidecar_bundle.shared.queue import drop_proposal
from tests.unit.host.deskrig import BASE, Rig

ROUTE = RouteRequest("files.example.org", ("/a",), "the data is there")


@pytest.fixture
def rig(own_state: Path) -> Rig:
    return Rig(own_state)


def decide(rig: Rig, *decisions: Decision) -> tuple[tuple[str, ...], tuple[Fault, ...]]:
    return rig.desk.decide(decisions, lambda line: None)


def approve(rig: Rig, ident: str, **more: str) -> tuple[tuple[str, ...], tuple[Fault, ...]]:
    seen = rig.desk.preview(rig.slug, ident, more.get("text", "")).seen
    return decide(rig, Decision(rig.slug, ident, "approve", seen, **more))


def hosts(rig: Rig) -> list[str]:
    return [r.host for r in live.load(rig.folder).routes]


def test_from_a_file_to_the_answer(rig: Rig) -> None:
    ident = rig.ask("egress-block", ROUTE)
    assert [(w.slug, w.proposal.payload) for w in rig.waiting()] == [(rig.slug, ROUTE)]
    preview = rig.desk.preview(rig.slug, ident)
    assert "+route files.example.org\n+  path /a\n+  no credential of yours" in preview.diff and not preview.refused
    done, faults = approve(rig, ident)
    assert done == (f"{rig.slug}: egress-block approved: files.example.org /a",) and faults == ()
    assert hosts(rig) == ["api.example.org", "pypi.org", "files.example.org"]
    assert rig.backend.configured == [live.load(rig.folder)]
    answer = rig.response(ident)
    assert answer is not None and answer.status == "approved"
    assert rig.waiting() == (), "an answered one waits no more, though the bundle has not taken it away"
    (entry,) = rig.desk.audit.entries()
    assert (entry["slug"], entry["kind"], entry["action"]) == (rig.slug, "egress-block", "approve")
    assert entry["justification"] == "the data is there" and entry["diff"] == preview.diff and "(test)" in entry["who"]
    assert rig.desk.audit.verify() == []
    assert approve_again(rig, ident, preview.seen) == "waits no more"


def approve_again(rig: Rig, ident: str, seen: str) -> str:
    _, faults = decide(rig, Decision(rig.slug, ident, "approve", seen))
    assert len(rig.backend.configured) == 1
    return "waits no more" if "waits no more" in faults[0].message else faults[0].message


def test_a_rejection_changes_nothing_and_is_audited(rig: Rig) -> None:
    ident = rig.ask("egress-block", ROUTE)
    done, _ = decide(rig, Decision(rig.slug, ident, "reject", reason="use the mirror"))
    answer = rig.response(ident)
    assert done and answer and (answer.status, answer.notes) == ("rejected", "use the mirror")
    assert rig.backend.configured == [] and [e["action"] for e in rig.desk.audit.entries()] == ["reject"]


def test_what_was_decided_is_read_back_from_the_audit(rig: Rig) -> None:
    """A dashboard that was started anew shows it as the one did that was asked."""
    first, second, third = (rig.ask("egress-block", replace(ROUTE, paths=(f"/{name}",))) for name in "abc")
    done, _ = approve(rig, first)
    decide(rig, Decision(rig.slug, second, "reject", reason="use the\nmirror"))
    approve(rig, third, text='{"host": "files.example.org", "paths": ["/only"]}')
    rules = rig.desk.rules(rig.slug, "routes")
    rig.desk.change_rules(rig.slug, "routes", rules.text.replace("pypi.org", "pypi.example"), rules.seen)
    lines = [a for a in rig.another().activity(rig.slug, 100) if isinstance(a, Audited)]
    who = f", by {getpass.getuser()} (test)"
    assert [a.text for a in lines] == [
        f"egress-block approved: files.example.org /a{who}",
        f"egress-block rejected: files.example.org /b (use the<U+000A>mirror){who}",
        f"egress-block modified: files.example.org /only{who}",
        f"routes changed{who}",
    ]
    assert done == (f"{rig.slug}: {lines[0].text.removesuffix(who)}",)
    assert abs(lines[0].time - time.time()) < 60 and rig.host.activity("another-1", 100) == ()


def test_modified_is_what_the_operator_wrote(rig: Rig) -> None:
    ident = rig.ask("egress-block", ROUTE)
    text = rig.desk.preview(rig.slug, ident).text.replace('"/a"', '"/a/only"')
    approve(rig, ident, text=text)
    assert live.load(rig.folder).routes[-1].path_allowlist == ("/a/only",)
    answer = rig.response(ident)
    granted = '{\n  "host": "files.example.org",\n  "paths": [\n    "/a/only"\n  ]\n}'
    assert answer and answer.status == "modified"
    assert answer.notes == f"granted as the operator changed it:\n{granted}", "and no word of the editor's"
    assert [e["action"] for e in rig.desk.audit.entries()] == ["modify"]


def test_merging_keeps_what_is_the_operators(rig: Rig) -> None:
    approve(rig, rig.ask("egress-block", RouteRequest("api.example.org", ("/v2", "/v1"), "x")))
    first, second = live.load(rig.folder).routes
    assert first.path_allowlist == ("/v1", "/v2") and first.auth is not None and second.host == "pypi.org"
    ident = rig.ask("egress-block", RouteRequest("api.example.org", (), "x"))
    preview = rig.desk.preview(rig.slug, ident)
    assert "+  every path" in preview.diff and "-  path /v1" in preview.diff
    assert "every path of the host" in preview.note and "carry your credential" in preview.note
    ident = rig.ask("egress-block", RouteRequest("pypi.org", ("/simple",), "x"))
    assert rig.desk.preview(rig.slug, ident).note == "nothing changes: that is allowed already"
    configured = len(rig.backend.configured)
    approve(rig, ident)
    assert len(rig.backend.configured) == configured and rig.response(ident)


@pytest.mark.parametrize("what", ["config", "proposal", "text"])
def test_compare_and_set(rig: Rig, what: str) -> None:
    ident = rig.ask("egress-block", ROUTE)
    seen = rig.desk.preview(rig.slug, ident).seen
    text = ""
    if what == "config":
        rules = rig.desk.rules(rig.slug, "routes")
        rig.desk.change_rules(rig.slug, "routes", rules.text.replace("pypi.org", "pypi.example"), rules.seen)
    elif what == "proposal":
        path = next(rig.exchange().queue.iterdir())
        raw = json.loads(path.read_text())
        raw["payload"]["host"] = "evil.example.org"
        path.write_text(json.dumps(raw))
    else:
        text = '{"host": "evil.example.org"}'
    _, faults = decide(rig, Decision(rig.slug, ident, "approve", seen, text))
    assert faults[0].message == "it changed meanwhile: look again"
    assert rig.response(ident) is None and "evil.example.org" not in hosts(rig) and len(rig.waiting()) == 1
    seen = rig.desk.preview(rig.slug, ident, text).seen
    assert decide(rig, Decision(rig.slug, ident, "approve", seen, text))[1] == ()


def test_several_at_once_follow_each_other(rig: Rig) -> None:
    idents = [rig.ask("egress-block", RouteRequest(f"h{i}.example.org", (), "x")) for i in range(3)]
    decisions = [Decision(rig.slug, i, "approve", rig.desk.preview(rig.slug, i).seen) for i in idents]
    done, faults = decide(rig, *decisions)
    assert len(done) == 3 and faults == ()
    assert hosts(rig)[-3:] == ["h0.example.org", "h1.example.org", "h2.example.org"]
    assert [e["n"] for e in rig.desk.audit.entries()] == [1, 2, 3]


def test_a_failed_apply_leaves_everything_as_it_was(rig: Rig) -> None:
    ident, before = rig.ask("egress-block", ROUTE), live.load(rig.folder)
    rig.backend.refuse = ["the bundle did not answer"]
    _, faults = approve(rig, ident)
    assert faults[0].message == "the bundle did not answer"
    assert live.load(rig.folder) == before and rig.backend.configured == [before], "the bundle has again what it had"
    assert rig.response(ident) is None and list(rig.desk.audit.entries()) == []
    assert [w.error for w in rig.waiting()] == ["the bundle did not answer"]
    assert approve(rig, ident)[1] == () and rig.response(ident)


def test_a_rollback_that_fails_is_said(rig: Rig) -> None:
    ident = rig.ask("egress-block", ROUTE)
    rig.backend.refuse = ["the bundle did not answer", "it is gone"]
    _, faults = approve(rig, ident)
    assert "the rules that were could not be restored: it is gone" in faults[0].message


@pytest.mark.parametrize("what", ["audit", "answer"])
def test_no_audit_or_no_answer_is_no_approval(rig: Rig, what: str) -> None:
    ident, before = rig.ask("egress-block", ROUTE), live.load(rig.folder)
    if what == "audit":
        rig.desk.audit.path.parent.write_text("in the way")
    else:
        rig.exchange().answers.rmdir()
    _, faults = approve(rig, ident)
    assert ("cannot be written" in faults[0].message) and live.load(rig.folder) == before
    assert rig.backend.configured[-1] == before
    if what == "answer":
        assert [(e["action"], e["id"]) for e in rig.desk.audit.entries()] == [("approve", ident), ("undone", ident)]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (Question("May I delete build/?", ("yes", "no")), Question("May I push --force?", ("yes", "no"))),
        (HeldRequest("GET", "a.example", "/", ("jwt",)), HeldRequest("POST", "b.example", "/", ("own-secret",))),
        (ROUTE, RouteRequest("files.example.org", ("/a",), "another reason")),
    ],
)
def test_a_preview_holds_the_proposal_that_it_is_of(rig: Rig, first: Question, then: Question) -> None:
    kinds = {Question: "ask-operator", HeldRequest: "dlp-ask", RouteRequest: "egress-block"}
    ident = rig.ask(kinds[type(first)], first)  # type: ignore[arg-type]
    path = next(rig.exchange().queue.iterdir())
    path.write_text(json.dumps({**json.loads(path.read_text()), "payload": asdict(then)}))
    shown = rig.desk.preview(rig.slug, ident).waiting
    assert shown and shown.proposal.payload == then and shown.key == (rig.slug, ident)


def test_an_answer_is_what_the_agent_can_read_or_there_is_none(rig: Rig) -> None:
    ident = rig.ask("ask-operator", Question("?"))
    _, faults = approve(rig, ident, answer="é" * 50_000)
    assert "the answer is too long: 300" in faults[0].message and "262144 at most" in faults[0].message
    assert rig.response(ident) is None and list(rig.desk.audit.entries()) == [] and len(rig.waiting()) == 1
    assert decide(rig, Decision(rig.slug, ident, "reject", reason="caf\udce9"))[1] == ()
    answer = rig.response(ident)
    assert answer and answer.notes == "caf?"
    assert [e["notes"] for e in rig.desk.audit.entries()] == ["caf?"]


def test_a_question_wants_one_of_its_choices(rig: Rig) -> None:
    ident = rig.ask("ask-operator", Question("Which?", ("a", "b")))
    assert "one of its choices" in approve(rig, ident, answer="c")[1][0].message
    assert approve(rig, ident, answer="b")[1] == ()
    answer = rig.response(ident)
    assert answer and answer.answer == "b"
    ident = rig.ask("ask-operator", Question("Name?"))
    assert "an answer" in approve(rig, ident, answer=" ")[1][0].message
    assert approve(rig, ident, answer="shop")[1] == () and rig.backend.configured == []


def test_a_held_request_is_sent_or_not(rig: Rig) -> None:
    ident = rig.ask("dlp-ask", HeldRequest("POST", "api.example.org", "/v1", ("own-secret SHOP_TOKEN",)))
    assert approve(rig, ident)[1] == ()
    (entry,) = rig.desk.audit.entries()
    assert entry["request"]["findings"] == ["own-secret SHOP_TOKEN"] and rig.response(ident)


def test_pipelock_needs_a_route_and_pipelock(own_state: Path) -> None:
    rig = Rig(own_state)
    ident = rig.ask("pipelock-block", PipelockRequest("pypi.org", "https://pypi.org/x", "y"))
    assert rig.desk.preview(rig.slug, ident).refused == "pipelock does not run in this bottle"
    rig.backend.has = {"pipelock": "/usr/bin/pipelock"}
    rig.slug = rig.start()
    ident = rig.ask("pipelock-block", PipelockRequest("no.example.org", "https://no.example.org/", "y"))
    assert "there is no route to no.example.org" in rig.desk.preview(rig.slug, ident).refused
    ident = rig.ask("pipelock-block", PipelockRequest("pypi.org", "https://pypi.org/x", "y"))
    assert approve(rig, ident)[1] == ()
    assert [r.tls_passthrough for r in live.load(rig.folder).routes] == [False, True]


def test_an_image_is_rebuilt_where_there_is_one(rig: Rig) -> None:
    ident = rig.ask("capability-block", CapabilityRequest("FROM debian\nRUN true", "a compiler"))
    assert "builds no image" in rig.desk.preview(rig.slug, ident).refused
    rig.backend.can = frozenset({Capability.REBUILD})
    assert "+RUN true" in rig.desk.preview(rig.slug, ident).diff
    assert approve(rig, ident)[1] == () and rig.backend.rebuilt == ["FROM debian\nRUN true"]
    ident = rig.ask("capability-block", CapabilityRequest("FROM debian\nRUN false", "another"))
    assert "-RUN true\n+RUN false" in rig.desk.preview(rig.slug, ident).diff


def test_edited_rules(rig: Rig) -> None:
    rules = rig.desk.rules(rig.slug, "routes")
    text = rules.text.replace('"pypi.org"', '"pypi.example"')
    shown = rig.desk.preview_rules(rig.slug, "routes", text)
    assert "-route pypi.org" in shown.diff and "+route pypi.example" in shown.diff
    assert rig.desk.change_rules(rig.slug, "routes", text, shown.seen).endswith("routes changed")
    with pytest.raises(BackendError, match="changed meanwhile"):
        rig.desk.change_rules(rig.slug, "routes", rules.text, shown.seen)
    (entry,) = rig.desk.audit.entries()
    assert entry["action"] == "operator-edit" and "+route pypi.example" in entry["diff"]
    for bad, why in (
        ("{", "not JSON in line 1"),
        ('{"route": []}', "route: unknown key"),
        ('{"routes": [{"host": "1.2.3.4"}]}', "is an IP address"),
        ("[" * 100_000, "nested too deeply"),
        (rules.text.replace("EGRESS_TOKEN_0", "EGRESS_TOKEN_5"), "no credential of this bottle"),
    ):
        assert why in rig.desk.preview_rules(rig.slug, "routes", bad).refused
        with pytest.raises(BackendError):
            rig.desk.change_rules(rig.slug, "routes", bad, rig.desk.rules(rig.slug, "routes").seen)
    policy = rig.desk.preview_rules(rig.slug, "pipelock", '{"seed_phrases": true, "tls_passthrough": []}')
    assert "+pipelock seed phrases refused" in policy.diff
    assert "no route to x" in rig.desk.preview_rules(rig.slug, "pipelock", '{"tls_passthrough": ["x"]}').refused


def test_only_one_of_two_approvals_at_once(rig: Rig) -> None:
    ident = rig.ask("egress-block", ROUTE)
    seen = rig.desk.preview(rig.slug, ident).seen
    told: list[tuple[tuple[str, ...], tuple[Fault, ...]]] = []
    decision = Decision(rig.slug, ident, "approve", seen)
    both = [threading.Thread(target=lambda: told.append(decide(rig, decision))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(10)
    assert sorted(len(done) for done, _ in told) == [0, 1] and len(rig.backend.configured) == 1


def test_what_is_taken_back_or_gone(rig: Rig) -> None:
    ident = rig.ask("egress-block", ROUTE)
    drop_proposal(rig.exchange().queue, ident)
    with pytest.raises(BackendError, match="waits no more"):
        rig.desk.preview(rig.slug, ident)
    rig.backend.gone = True
    with pytest.raises(BackendError, match="not live"):
        rig.desk.preview(rig.slug, ident)
    (rig.folder / live.LIVE).unlink()
    with pytest.raises(BackendError, match="not known"):
        rig.desk.rules(rig.slug, "routes")
    assert "no bottle nobody-1" in decide(rig, Decision("nobody-1", ident, "reject"))[1][0].message


def test_supply_takes_the_values_of_this_process(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match="SHOP_TOKEN is not set"):
        rig.host.supply(rig.slug)
    monkeypatch.setenv("SHOP_TOKEN", "value-of-the-shop")
    rig.host.supply(rig.slug)
    assert rig.backend.supplied[0].tokens == {"EGRESS_TOKEN_0": "value-of-the-shop"}
    rig.manifest("box").write_text(BASE.replace("SHOP_TOKEN", "OTHER_TOKEN"))
    with pytest.raises(BackendError, match="changed since it was started"):
        rig.host.supply(rig.slug)


def test_the_live_file_holds_no_value(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads((rig.folder / live.LIVE).read_text()) == dump_config(live.load(rig.folder))
    assert (rig.folder / live.LIVE).stat().st_mode & 0o777 == 0o600
