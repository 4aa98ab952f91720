"""Proposals and answers: what is taken, what is refused and why, and that files are whole and bounded."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from sidecar_bundle.shared import queue
from sidecar_bundle.shared.proposal import (
    KINDS,
    MAX_FILE,
    MOVES,
    Proposal,
    ProposalError,
    Question,
    Response,
    RouteRequest,
    dump_proposal,
    dump_response,
    make_proposal,
    make_response,
    parse_call,
    parse_proposal,
    parse_response,
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


BAD: list[tuple[Any, Any, str]] = [
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
    ([], {}, "kind"),
    ({}, {}, "kind"),
]


@pytest.mark.parametrize(("kind", "arguments", "key"), BAD)
def test_a_bad_call_is_refused_by_its_key(kind: Any, arguments: Any, key: str) -> None:
    with pytest.raises(ProposalError) as caught:
        parse_call(kind, arguments)
    assert caught.value.key == key
    assert "\n" not in str(caught.value)


def test_a_url_loses_its_query() -> None:
    payload = parse_call("pipelock-block", {"url": "https://a.example/p?token=x#y", "justification": "z"})
    assert payload.url == "https://a.example/p"  # type: ignore[union-attr]


def test_a_dockerfile_of_empty_lines_takes_no_time() -> None:
    dockerfile = "x" + "\n" * 65000 + "y\nFROM a"
    start = time.monotonic()
    parse_call("capability-block", {"dockerfile": dockerfile, "justification": "y"})
    assert time.monotonic() - start < 1
    with pytest.raises(ProposalError, match="with a FROM line"):
        parse_call("capability-block", {"dockerfile": "x\nFROM\na", "justification": "y"})


def test_an_error_does_not_repeat_what_it_is_about_at_length() -> None:
    with pytest.raises(ProposalError) as caught:
        parse_call("egress-block", {**ROUTE, "host": "a" * 200_000})
    assert len(str(caught.value)) < 500


# What JSON can say, and no parser of ours may answer with anything but its own error.
STRANGE: tuple[str, ...] = (
    *("[]", "{}", '""', "null", "true", "-1", "1e999", "-1e999", "NaN", "Infinity", "1" * 400, "1" * 5000),
    *('"\\ud800"', '"\\u0000"', '["a", ["b"]]', '{"host": {}}', "[" * 400 + "]" * 400, "[" * 100_000),
    *('{"question": []}', '{"question": "q", "choices": [[]]}', '{"host": "a.example", "justification": [1]}'),
    *(
        '{"host": "a.example", "paths": [{}], "justification": "j"}',
        '{"url": "https://\\ud800/", "justification": "j"}',
    ),
)
KEYS = {
    parse_proposal: ("schema", "id", "kind", "bottle", "created", "payload"),
    parse_response: ("schema", "id", "status", "notes", "answer", "decided"),
}


@pytest.mark.parametrize("parse", KEYS, ids=lambda parse: parse.__name__)
def test_whatever_a_file_holds_is_parsed_or_refused(parse: Any) -> None:
    rng = random.Random(7)
    whole = {"schema": "1", "id": f'"{"a" * 32}"', "bottle": '"x"', "created": "1", "status": '"approved"'}
    for i in range(2000):
        sane = {**whole, "kind": f'"{KINDS[i % 5]}"', "payload": '{"question": "q"}'}
        fields = {key: sane.get(key, '"x"') for key in KEYS[parse]}
        for key in rng.sample(KEYS[parse], rng.randint(1, 2)):
            fields[key] = rng.choice(STRANGE)
        text = "{" + ", ".join(f'"{key}": {value}' for key, value in fields.items()) + "}"
        try:
            parse(text)
        except ProposalError as error:
            assert "\n" not in str(error)


def test_a_file_that_breaks_the_parser_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes) -> Proposal:
        if b"first" in data:
            raise ZeroDivisionError
        return parse_proposal(data)

    monkeypatch.setattr(queue, "parse_proposal", broken)
    queue.put_proposal(tmp_path, _one("first"))
    queue.put_proposal(tmp_path, _one("second"))
    found, bad = queue.proposals(tmp_path)
    assert found == (_one("second"),) and bad == (
        f"{_one('first').id}{queue.PROPOSAL}: cannot be read (ZeroDivisionError)",
    )


def test_folders_in_the_place_of_files_cost_no_descriptors(tmp_path: Path) -> None:
    (tmp_path / f"{'a' * 32}{queue.PROPOSAL}").mkdir()
    (tmp_path / f"{'a' * 32}{queue.RESPONSE}").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        assert queue.proposals(tmp_path)[1] == (f"{'a' * 32}{queue.PROPOSAL}: file: is not a plain file",)
        with pytest.raises(ProposalError, match="not a plain file"):
            queue.response(tmp_path, "a" * 32)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "queue"
    real.mkdir()
    queue.put_proposal(real, _one())
    link.symlink_to(real)
    assert queue.proposals(link) == ((), ("queue: Not a directory",))
    with pytest.raises(ProposalError, match="Not a directory"):
        queue.proposal(link, _one().id)


def test_one_is_found_by_its_id(tmp_path: Path) -> None:
    assert queue.proposal(tmp_path / "missing", _one().id) is None and queue.proposal(tmp_path, _one().id) is None
    queue.put_proposal(tmp_path, _one())
    assert queue.proposal(tmp_path, _one().id) == _one()
    (tmp_path / f"{_one().id}{queue.PROPOSAL}").write_text("{")
    with pytest.raises(ProposalError, match="is not JSON"):
        queue.proposal(tmp_path, _one().id)


def test_what_did_not_change_is_not_parsed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    parse = parse_proposal
    monkeypatch.setattr(queue, "parse_proposal", lambda data: parsed.append(data) or parse(data))
    known: queue.Known = {}
    queue.put_proposal(tmp_path, _one())
    path = tmp_path / f"{_one().id}{queue.PROPOSAL}"
    for _ in range(2):
        assert queue.proposals(tmp_path, known)[0] == (_one(),)
    assert len(parsed) == 2, "so young a file may change within the same tick of the clock"
    monkeypatch.setattr(queue, "SETTLED", -1)
    for _ in range(3):
        assert queue.proposals(tmp_path, known)[0] == (_one(),)
    assert len(parsed) == 3
    times = path.stat()
    path.write_text(path.read_text().replace("why?", "who?"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    (changed,), _ = queue.proposals(tmp_path, known)
    assert changed.payload == Question("who?", ("yes", "no")), "the same inode, size and time of writing"
    path.unlink()
    assert queue.proposals(tmp_path, known) == ((), ()) and not known


def test_a_folder_without_end_is_looked_at_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MAX_ENTRIES", 50)
    for i in range(60):
        (tmp_path / f"junk{i}").touch()
    assert queue.proposals(tmp_path)[1] == (f"{tmp_path.name}: holds more than 50 files: not all were looked at",)


def test_an_answer_that_the_agent_could_not_read_is_not_made() -> None:
    ident = _one().id
    made = make_response(ident, "rejected", "caf\udce9", "\udce9", 1.0)
    assert (made.notes, made.answer) == ("caf?", "?")
    assert parse_response(dump_response(Response(ident, "rejected", "caf\udce9"))).notes == "caf?"
    with pytest.raises(ProposalError, match=f"too long: .* bytes as it is written, {MAX_FILE} at most"):
        make_response(ident, "approved", "", "é" * 50_000, 1.0)


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
