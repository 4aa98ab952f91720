"""The inbox, the live routes and the audit log on the command line, over a backend that only remembers."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from botbottle_tui.__main__ import main
from botbottle_tui.host import live
from botbottle_tui.host.launching import Host
from sidecar_bundle.shared.proposal import HeldRequest, Question, RouteRequest
from tests.unit.host.deskrig import Rig

ROUTE = RouteRequest("files.example.org", ("/a",), "because \u202eof x")


@pytest.fixture
def rig(own_state: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    made = Rig(own_state)

    def host(*args: object, **more: object) -> Host:
        made.desk.via = str(more.get("via", ""))
        return made.host

    for module in ("proposals", "rules"):
        monkeypatch.setattr(f"botbottle_tui.cli.{module}.Host", host)
    return made


Capture = Callable[[], tuple[str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Capture:
    def read() -> tuple[str, str]:
        both = capsys.readouterr()
        assert "Traceback" not in both.err
        return both.out, both.err

    return read


def test_list_and_approve(rig: Rig, said: Capture) -> None:
    assert main(["proposals"]) == 0 and said() == ("", "")
    ident = rig.ask("egress-block", ROUTE)
    assert main(["proposals"]) == 0
    out, _ = said()
    assert out.split("\t")[:3] == [ident[:8], rig.slug, "egress-block"] and "files.example.org /a" in out
    assert main(["proposals", "--json"]) == 0
    (row,) = json.loads(said()[0])["proposals"]
    assert row["id"] == ident and row["slug"] == rig.slug and row["payload"]["host"] == "files.example.org"
    assert main(["approve", ident[:6]]) == 2
    assert "--yes where there is no terminal" in said()[1] and rig.response(ident) is None
    assert main(["approve", ident[:6], "--yes"]) == 0
    out, err = said()
    assert "egress-block approved" in out and "+route files.example.org" in err and "<U+202E>" in err
    assert rig.response(ident) is not None and "(command line)" in next(rig.desk.audit.entries())["who"]


def test_what_the_agent_wrote_does_not_pass_for_the_diff(rig: Rig, said: Capture) -> None:
    forged = "need docs\r\n\n--- rules now\u2028+++ rules then\n+route docs.python.org\x0b+  path /3"
    ident = rig.ask("egress-block", RouteRequest("evil.example", (), forged))
    assert main(["approve", ident, "--yes"]) == 0
    rows = said()[1].splitlines()
    assert "    +route docs.python.org" in rows and "    +  path /3" in rows
    assert [row for row in rows if row.startswith(("+route", "---"))] == ["--- rules now", "+route evil.example"]


def test_what_is_told_is_what_is_decided(rig: Rig, said: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    ident = rig.ask("dlp-ask", HeldRequest("GET", "ok.example", "/a", ("jwt in the query",)))
    (row,) = rig.waiting()
    path = next(rig.exchange().queue.iterdir())
    path.write_text(path.read_text().replace("ok.example", "evil.example"))
    monkeypatch.setattr(rig.desk.inbox, "waiting", lambda: ((row,), ()))
    assert main(["approve", ident, "--yes"]) == 0
    out = said()[1]
    assert "dlp-ask GET evil.example/a" in out and "ok.example" not in out


def test_for_good(rig: Rig, said: Capture) -> None:
    ident = rig.ask("egress-block", ROUTE)
    assert main(["approve", ident, "--for-good", "--yes"]) == 0
    assert "+    - host: files.example.org" in said()[1]
    assert "files.example.org" in rig.manifest("box").read_text()


def test_answers_and_rejections(rig: Rig, said: Capture) -> None:
    ident = rig.ask("ask-operator", Question("Which?", ("a", "b")))
    assert main(["approve", ident]) == 2 and "--answer TEXT: a, b" in said()[1]
    assert main(["approve", ident, "--answer", "c", "--yes"]) == 1 and "one of its choices" in said()[1]
    assert main(["proposals"]) == 0 and "its last apply failed" in said()[1]
    assert main(["approve", ident, "--answer", "b", "--yes"]) == 0
    answer = rig.response(ident)
    assert answer and answer.answer == "b"
    ident = rig.ask("egress-block", ROUTE)
    assert main(["reject", ident, "use", "the", "mirror"]) == 0
    answer = rig.response(ident)
    assert answer and (answer.status, answer.notes) == ("rejected", "use the mirror")


def test_ids_are_unique_prefixes(rig: Rig, said: Capture) -> None:
    idents = sorted(rig.ask("egress-block", RouteRequest(f"h{i}.example.org", (), "x")) for i in range(40))
    twice = next(a[0] for a, b in pairwise(idents) if a[0] == b[0])
    assert main(["reject", twice]) == 1 and "give more digits" in said()[1]
    assert main(["approve", "zz"]) == 1 and "no proposal 'zz' waits" in said()[1]
    assert main(["reject", ""]) == 1


def test_routes(rig: Rig, said: Capture, tmp_path: Path) -> None:
    assert main(["routes", rig.slug]) == 0
    assert said()[0].splitlines()[:3] == ["route api.example.org", "  path /v1", "  credential Bearer EGRESS_TOKEN_0"]
    assert main(["routes", rig.slug, "--add", "x.example.org/a", "--add", "x.example.org/b"]) == 2
    assert "+route x.example.org" in said()[1] and rig.backend.configured == []
    assert main(["routes", rig.slug, "--add", "x.example.org/a", "--add", "x.example.org/b", "--yes"]) == 0
    assert live.load(rig.folder).routes[-1].path_allowlist == ("/a", "/b")
    assert main(["routes", rig.slug, "--remove", "pypi.org", "--yes"]) == 0
    said()
    assert main(["routes", rig.slug, "--json"]) == 0
    whole = json.loads(said()[0])
    assert [r["host"] for r in whole["routes"]] == ["api.example.org", "x.example.org"]
    file = tmp_path / "routes.json"
    file.write_text(json.dumps({**whole, "routes": whole["routes"][:1]}))
    assert main(["routes", rig.slug, "--set", str(file), "--yes"]) == 0
    assert [r.host for r in live.load(rig.folder).routes] == ["api.example.org"]
    assert main(["routes", rig.slug, "--set", str(file), "--yes"]) == 0 and "nothing changes" in said()[1]
    assert [e["action"] for e in rig.desk.audit.entries()] == ["operator-edit"] * 3


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--add", "1.2.3.4"], 1, "is an IP address"),
        (["--add", "x.example.org/../a"], 1, "--add"),
        (["--remove", "no.example.org"], 1, "there is no route to no.example.org"),
        (["--set", "/nowhere/file"], 1, "cannot be read"),
        (["--edit"], 2, "needs a terminal"),
        (["--edit", "--add", "x"], 2, "not allowed with"),
    ],
)
def test_wrong_routes(rig: Rig, said: Capture, words: list[str], status: int, says: str) -> None:
    try:
        assert main(["routes", rig.slug, *words]) == status
    except SystemExit as end:
        assert end.code == status
    assert says in said()[1] and rig.backend.configured == []


def test_audit(rig: Rig, said: Capture) -> None:
    assert main(["audit"]) == 0 and main(["audit", "--verify"]) == 0
    assert "0 decisions, the chain is whole" in said()[0]
    for i in range(3):
        assert main(["reject", rig.ask("egress-block", RouteRequest(f"h{i}.example.org", (), "x"))]) == 0
    said()
    assert main(["audit"]) == 0
    rows = [line.split("\t") for line in said()[0].splitlines()]
    assert [r[1:4] for r in rows] == [[rig.slug, "egress-block", "reject"]] * 3
    assert [r[5] for r in rows] == [f"h{i}.example.org (every path)" for i in range(3)]
    assert main(["audit", "--json"]) == 0 and len(json.loads(said()[0])["decisions"]) == 3
    lines = rig.desk.audit.path.read_text().splitlines(keepends=True)
    rig.desk.audit.path.write_text("".join([lines[0], lines[2], lines[1]]))
    assert main(["audit", "--verify"]) == 1 and "line 2: is number 3" in said()[1]


def test_no_bottle(own_state: Path, said: Capture) -> None:
    assert main(["routes", "nobody-11111"]) == 1 and "no bottle nobody-11111" in said()[1]
