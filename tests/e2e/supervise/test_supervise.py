"""What an agent asks reaches the operator and comes back: MCP clients of the SDK against the real daemon."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

from sidecar_bundle.shared.proposal import CapabilityRequest, Question, RouteRequest
from tests.e2e.bundle.rig import until
from tests.e2e.supervise.conftest import Agent, Desk

Connect = Callable[..., Agent]
ROUTE = {"host": "New.example", "paths": ["/v2"], "justification": "to fetch\nthe docs"}


def test_the_tools_say_when_to_use_them(connect: Connect, mode: str) -> None:
    agent = connect(mode)
    agent.do(do="list")
    (said,) = until(lambda: agent.heard("tools"))
    names = ["egress-block", "pipelock-block", "capability-block", "list-egress-routes", "ask-operator"]
    assert list(said["tools"]) == names
    assert all(text for text, _ in said["tools"].values())
    assert said["tools"]["egress-block"][1]["required"] == ["host", "justification"]
    routes = agent.result(agent.call("list-egress-routes"))["value"]
    assert routes == {"routes": [{"host": "api.example", "paths": ["/v1"], "credential": False, "dlp": "block"}]}


def test_a_call_blocks_until_the_operator_answers(desk: Desk, connect: Connect, mode: str) -> None:
    agent = connect(mode)
    n = agent.call("egress-block", **ROUTE)
    proposal = desk.one()
    assert (proposal.kind, proposal.bottle) == ("egress-block", "b-1")
    assert proposal.payload == RouteRequest("new.example", ("/v2",), "to fetch\nthe docs")
    file = desk.queue / f"{proposal.id}.proposal.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(desk.queue.stat().st_mode) == 0o700
    until(lambda: len(agent.heard("progress", n)) >= 2)  # one at once, one 5 s later: still blocked
    assert not agent.heard("text", n)
    desk.answer(proposal, "modified", "only /v2/docs")
    answer = agent.result(n)
    assert answer["value"] == {"status": "modified", "notes": "only /v2/docs", "answer": ""}
    assert not answer["error"]
    assert desk.waiting() == ()


def test_the_same_request_later_is_a_new_one(desk: Desk, connect: Connect, mode: str) -> None:
    agent = connect(mode)
    ids = []
    for status in ("rejected", "approved"):
        n = agent.call("egress-block", **ROUTE)
        proposal = desk.one()
        ids.append(proposal.id)
        desk.answer(proposal, status)
        assert agent.result(n)["value"]["status"] == status
    assert len(set(ids)) == 2


def test_two_sessions_and_each_kind_of_request(desk: Desk, connect: Connect) -> None:
    one, two = connect("legacy"), connect("2026-07-28")
    n = one.call("ask-operator", question="Which?", choices=["a", "b"])
    question = desk.one()
    assert question.payload == Question("Which?", ("a", "b"))
    m = two.call("capability-block", dockerfile="FROM x\nRUN y", justification="z")
    until(lambda: len(desk.waiting()) == 2)
    capability = next(p for p in desk.waiting() if p.id != question.id)
    assert capability.payload == CapabilityRequest("FROM x\nRUN y", "z")
    desk.answer(capability, "rejected", "no\udce9")  # typed where the terminal spoke Latin-1
    assert two.result(m)["value"] == {"status": "rejected", "notes": "no?", "answer": ""}
    assert not one.heard("text", n)
    desk.answer(question, "approved", answer="b")
    assert one.result(n)["value"]["answer"] == "b"
    # Two who ask the same wait for one proposal, and both hear the answer.
    n, m = (a.call("pipelock-block", url="https://a.example/x?s=1", justification="w") for a in (one, two))
    proposal = desk.one()
    until(lambda: one.heard("progress", n) and two.heard("progress", m))
    desk.answer(proposal)
    assert [a.result(i)["value"]["status"] for a, i in ((one, n), (two, m))] == ["approved", "approved"]


def test_a_cancelled_call_withdraws_its_proposal(desk: Desk, connect: Connect, mode: str) -> None:
    agent = connect(mode)
    n = agent.call("egress-block", **ROUTE)
    first = desk.one()
    agent.do(do="cancel", n=n)
    assert agent.result(n)["cancelled"]
    until(lambda: desk.waiting() == ())
    agent.call("egress-block", **ROUTE)
    assert desk.one().id == first.id


def test_a_vanished_client_withdraws_its_proposal_and_another_s_stays(desk: Desk, connect: Connect, mode: str) -> None:
    one, two = connect(mode), connect(mode)
    one.call("egress-block", **ROUTE)
    shared = desk.one()
    n = two.call("egress-block", **ROUTE)
    one.call("ask-operator", question="still there?")
    until(lambda: len(desk.waiting()) == 2 and two.heard("progress", n))
    one.process.kill()
    until(lambda: desk.waiting() == (shared,))
    desk.answer(shared)
    assert two.result(n)["value"]["status"] == "approved"


def test_a_killed_daemon_comes_back_and_the_retry_finds_its_proposal(desk: Desk, connect: Connect, mode: str) -> None:
    connect(mode).call("egress-block", **ROUTE)
    proposal = desk.one()
    pid = desk.pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: desk.pid not in (0, pid))
    assert desk.state() == "ready"
    retry = connect(mode)
    n = retry.call("egress-block", **ROUTE)
    until(lambda: retry.heard("progress", n))
    assert desk.waiting() == (proposal,)
    desk.answer(proposal)
    assert retry.result(n)["value"]["status"] == "approved"


def test_an_answer_written_while_nobody_waits_is_told_once(desk: Desk, connect: Connect, mode: str) -> None:
    agent = connect(mode)
    agent.call("egress-block", **ROUTE)
    proposal = desk.one()
    agent.process.kill()
    until(lambda: desk.waiting() == ())
    desk.answer(proposal, notes="late")
    other = connect(mode)
    assert other.result(other.call("egress-block", **ROUTE))["value"]["notes"] == "late"
    until(lambda: (desk.bundle.folder / "supervise" / "delivered.json").exists())
    other.call("egress-block", **ROUTE)
    assert desk.one().id != proposal.id


def test_sigterm_keeps_what_waits_and_ends_clean(desk: Desk, connect: Connect, mode: str) -> None:
    agent = connect(mode)
    agent.call("egress-block", **ROUTE)
    proposal = desk.one()
    pid = desk.pid
    assert desk.bundle.ask(op="restart", daemon="supervise") == {"ok": True}
    until(lambda: desk.pid not in (0, pid))
    assert desk.state() == "ready"
    assert desk.waiting() == (proposal,)
    assert "supervise ended with 0" in desk.bundle.log
    assert "Traceback" not in desk.bundle.log
    rss = int(Path(f"/proc/{desk.pid}/status").read_text().split("VmRSS:")[1].split()[0]) // 1024
    assert rss < 120


def test_a_daemon_that_is_not_kept_is_gone_for_good(desk: Desk) -> None:
    config = {"slug": "b-1", "routes": [], "daemons": []}
    assert desk.bundle.ask(op="configure", config=config) == {"ok": True}
    assert desk.bundle.ask(op="health") == {"ok": True, "daemons": {}}
    until(lambda: desk.pid == 0)
    config["daemons"] = ["supervise"]
    assert "supervise does not run here" in desk.bundle.ask(op="configure", config=config)["error"]
