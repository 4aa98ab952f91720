"""Proposals and answers: what is taken, what is refused and why, and that files are whole and bounded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar_bundle.shared import queue
from sidecar_bundle.shared.proposal import (
    MOVES,
    Proposal,
    ProposalError,
    Question,
    Response,
    RouteRequest,
    dump_proposal,
    make_proposal,
    parse_call,
    parse_proposal,
)

ROUTE = {"host": "API.Example.org", "paths": ["/v1", "/v1"], "justification": "the build needs it"}


def _one(text: str = "why?", salt: str = "") -> Proposal:
    return make_proposal("ask-operator", "b-1", Question(text, ("yes", "no")), 10.0, salt)


def test_a_call_becomes_a_payload_and_a_file_and_the_same_again() -> None:
    payload = parse_call("egress-block", ROUTE)
    assert payload == RouteRequest("api.example.org", ("/v1",), "the build needs it")
    one = make_proposal("egress-block", "b-1", payload, 12.3456)
    assert parse_proposal(dump_proposal(one)) == one
    assert one.id == make_proposal("egress-block", "b-1", payload, 99.0).id
    assert one.id != make_proposal("egress-block", "b-1", payload, 12.3456, "again").id


BAD: list[tuple[str, Any, str]] = [
    ("egress-block", {**ROUTE, "host": "10.0.0.1"}, "host"),
    ("egress-block", {**ROUTE, "host": ""}, "host"),
    ("egress-block", {**ROUTE, "paths": ["v1"]}, "paths[0]"),
    ("egress-block", {**ROUTE, "paths": ["/x"] * 51}, "paths"),
    ("egress-block", {**ROUTE, "justification": " "}, "justification"),
    ("egress-block", {**ROUTE, "auth": "x"}, "auth"),
    ("egress-block", [], "arguments"),
    ("pipelock-block", {"url": "ftp://x/", "justification": "y"}, "url"),
    ("pipelock-block", {"url": "https://a.example/", "host": "b.example", "justification": "y"}, "host"),
    ("capability-block", {"dockerfile": "RUN x", "justification": "y"}, "dockerfile"),
    ("capability-block", {"dockerfile": "FROM x\n" + "#" * 70000, "justification": "y"}, "dockerfile"),
    ("ask-operator", {"question": "x" * 4001}, "question"),
    ("ask-operator", {"question": "x", "choices": ["a", "a"]}, "choices"),
    ("ask-operator", {"question": "x", "choices": [1]}, "choices[0]"),
    ("nothing", {}, "kind"),
]


@pytest.mark.parametrize(("kind", "arguments", "key"), BAD)
def test_a_bad_call_is_refused_by_its_key(kind: str, arguments: Any, key: str) -> None:
    with pytest.raises(ProposalError) as caught:
        parse_call(kind, arguments)
    assert caught.value.key == key
    assert "\n" not in str(caught.value)


def test_a_url_loses_its_query() -> None:
    payload = parse_call("pipelock-block", {"url": "https://a.example/p?token=x#y", "justification": "z"})
    assert payload.url == "https://a.example/p"  # type: ignore[union-attr]


def test_a_queue_takes_the_same_once_and_no_more_than_its_bound(tmp_path: Path) -> None:
    queue.put_proposal(tmp_path, _one())
    queue.put_proposal(tmp_path, _one())
    assert queue.proposals(tmp_path) == ((_one(),), ())
    for i in range(queue.MAX_PENDING - 1):
        queue.put_proposal(tmp_path, _one(salt=str(i)))
    with pytest.raises(queue.QueueFull, match="100 proposals wait"):
        queue.put_proposal(tmp_path, _one("one more"))
    queue.drop_proposal(tmp_path, _one().id)
    queue.put_proposal(tmp_path, _one("one more"))


def test_what_is_no_proposal_is_a_line(tmp_path: Path) -> None:
    names = [c * 32 + queue.PROPOSAL for c in "abcdef"]
    (tmp_path / names[0]).write_text("{")
    (tmp_path / names[1]).write_text(dump_proposal(_one()))
    (tmp_path / names[2]).symlink_to("/etc/passwd")
    (tmp_path / names[3]).mkdir()
    (tmp_path / names[4]).write_bytes(b" " * 300_000)
    (tmp_path / names[5]).write_text(json.dumps({"schema": 2}))
    (tmp_path / "nonsense.proposal.json").write_text("{")
    found, bad = queue.proposals(tmp_path)
    assert found == ()
    assert len(bad) == 6
    assert queue.proposals(tmp_path / "missing") == ((), ())


def test_an_answer_is_read_once_it_is_there(tmp_path: Path) -> None:
    ident = _one().id
    assert queue.response(tmp_path, ident) is None
    queue.put_response(tmp_path, Response(ident, "approved", "fine", "yes", 11.0))
    assert queue.response(tmp_path, ident) == Response(ident, "approved", "fine", "yes", 11.0)
    assert [p.name for p in tmp_path.iterdir()] == [ident + queue.RESPONSE]
    (tmp_path / f"{ident}{queue.RESPONSE}").write_text('{"schema": 1, "id": "x", "status": "approved"}')
    with pytest.raises(ProposalError):
        queue.response(tmp_path, ident)


def test_every_move_leads_to_a_state_of_the_table() -> None:
    assert all(state in MOVES for moves in MOVES.values() for state in moves.values())
