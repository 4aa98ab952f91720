"""The audit chain: it grows through crashes, and every line that is changed, dropped or moved is found."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.api import BackendError
from botbottle_tui.host import audit as audit_module
from botbottle_tui.host import files
from botbottle_tui.host.audit import Audit, seal


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    log = Audit(tmp_path / "audit")
    for i in range(5):
        log.append({"slug": f"s-{i}", "diff": "+ é\n"})
    return log


def lines(audit: Audit) -> list[str]:
    return audit.path.read_text().splitlines(keepends=True)


def test_whole_and_private(audit: Audit, tmp_path: Path) -> None:
    assert audit.verify() == [] and [e["n"] for e in audit.entries()] == [1, 2, 3, 4, 5]
    assert audit.path.stat().st_mode & 0o777 == 0o600
    assert Audit(tmp_path / "none").verify() == []


def test_the_end_of_the_log_is_read_back(audit: Audit) -> None:
    ask = {"slug": "s-1", "time": 7, "kind": "ask-operator", "action": "approve", "who": "me"}
    audit.append({**ask, "what": "a\u202eb" + "x" * 9000, "answer": "yes"})
    with audit.path.open("a") as file:
        file.write('nonsense\n[]\n{"slug": "s-1", "time": "x"}\n{"slug": "s-1", "time": -1}\n')
    (first, last) = audit.recent("s-1")
    assert first.time == 0 and last.time == 7
    assert last.text.startswith("ask-operator approved: a<U+202E>bxxx") and last.text.endswith("x… (yes), by me")
    assert len(last.text) < 400 and Audit(audit.path.parent / "none").recent("s-1") == ()
    audit.append({**ask, "what": "z" * (audit_module.TAIL + 1)})
    assert len(audit.recent("s-1")) == 0, "what one line pushed out is not looked for"


def forged(rows: list[str]) -> list[str]:
    """A line changed together with its own hash, which the next one then does not follow."""
    entry = {**json.loads(rows[2]), "slug": "other"}
    number, previous = entry.pop("n"), entry.pop("prev")
    del entry["hash"]
    return [*rows[:2], json.dumps(seal(entry, number, previous), sort_keys=True) + "\n", *rows[3:]]


TAMPERED: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "changed": (lambda r: [*r[:1], r[1].replace("s-1", "s-x"), *r[2:]], "line 2: was changed"),
    "changed with its hash": (forged, "line 4: does not follow"),
    "dropped in the middle": (lambda r: [*r[:2], *r[3:]], "line 3: is number 4"),
    "first dropped": (lambda r: r[1:], "line 1: is number 2"),
    "last dropped": (lambda r: r[:-1], "1 line(s) are missing"),
    "all dropped": (lambda r: [], "5 line(s) are missing"),
    "reordered": (lambda r: [r[0], r[2], r[1], *r[3:]], "line 2: is number 3"),
    "repeated": (lambda r: [*r, r[-1]], "line 6: is number 5"),
    "last two swapped": (lambda r: [*r[:3], r[4], r[3]], "line 4: is number 5"),
    "inserted": (lambda r: [*r[:2], "{}\n", *r[2:]], "line 3: is no line of this log"),
    "torn": (lambda r: [*r[:-1], r[-1][:20]], "line 5: is no line of this log"),
    "no newline": (lambda r: [*r[:-1], r[-1].rstrip()], "line 5: is cut off"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_tampering_is_found(audit: Audit, what: str) -> None:
    change, says = TAMPERED[what]
    audit.path.write_text("".join(change(lines(audit))))
    problems = audit.verify()
    assert any(says in p for p in problems), problems


def test_a_replaced_end_is_found(audit: Audit) -> None:
    rows = lines(audit)
    last = json.loads(rows[3])["hash"]
    audit.path.write_text("".join([*rows[:4], json.dumps(seal({"slug": "forged"}, 5, last), sort_keys=True) + "\n"]))
    assert audit.verify() == ["the last line is not the one that was written last"]


def test_a_lost_head_is_said_for_ever_and_the_log_goes_on(audit: Audit) -> None:
    audit.path.write_text("".join(lines(audit)[:-2]))
    audit.head.unlink()
    assert "missing" in audit.verify()[0]
    audit.append({"slug": "next"})
    audit.append({"slug": "one more"})
    assert audit.verify() == ["line 4: head.json was gone here: lines before it may be missing"]
    assert [(e["n"], e.get("action")) for e in audit.entries()][3:] == [(4, "head-lost"), (5, None), (6, None)]


def test_without_its_head_a_log_whose_end_cannot_be_read_takes_nothing(audit: Audit) -> None:
    audit.head.unlink()
    whole = audit.path.read_bytes()
    for end in (b"[" * 100_000 + b"\n", b"{}\n", whole.splitlines()[-1]):
        audit.path.write_bytes(whole + end)
        with pytest.raises(BackendError, match="its last line cannot be read"):
            audit.append({"slug": "next"})
        assert audit.path.read_bytes() == whole + end


def test_a_crash_while_a_lost_head_is_told_of_does_not_hide_it(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(path: Path, text: str, mode: int = 0o600) -> None:
        raise OSError(5, "ended here")

    audit.head.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(files, "write", crash)
        with pytest.raises(BackendError):
            audit.append({"slug": "next"})
    audit.append({"slug": "next"})
    assert [p.partition(":")[0] for p in audit.verify()] == ["line 6", "line 7"]


def test_a_key_that_stands_twice_is_found(audit: Audit) -> None:
    rows = lines(audit)
    audit.path.write_text("".join([rows[0], rows[1].replace("{", '{"slug": "another", ', 1), *rows[2:]]))
    assert audit.verify() == ["line 2: was changed after it was written"]


def test_what_is_too_long_for_a_line_is_refused(audit: Audit) -> None:
    with pytest.raises(BackendError, match="too long for one line"):
        audit.append({"diff": "\U0001f600" * 400_000})
    audit.append({"diff": "\U0001f600" * 300_000})
    assert audit.verify() == [] and len(lines(audit)) == 6


@pytest.mark.parametrize("at", ["before the line", "in the line", "after the line"])
def test_a_crash_leaves_a_chain_that_verifies(audit: Audit, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    head = audit.head.read_text()
    announced = ""
    write = files.write

    def recorded(path: Path, text: str, mode: int = 0o600) -> None:
        nonlocal announced
        announced = announced or text
        write(path, text, mode)

    monkeypatch.setattr(files, "write", recorded)
    before = audit.path.read_bytes()
    audit.append({"slug": "crash"})
    whole = audit.path.read_bytes()
    assert head != announced
    audit.head.write_text(announced)
    cut = {"before the line": len(before), "in the line": len(before) + 30, "after the line": len(whole)}[at]
    audit.path.write_bytes(whole[:cut])
    assert audit.verify() == []
    audit.append({"slug": "later"})
    assert audit.verify() == []
    assert [e["slug"] for e in audit.entries()][5:] == (["crash", "later"] if at == "after the line" else ["later"])


def test_many_writers(audit: Audit) -> None:
    def write() -> None:
        for _ in range(20):
            Audit(audit.path.parent).append({"slug": "x"})

    threads = [threading.Thread(target=write) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert audit.verify() == [] and len(lines(audit)) == 65


def test_a_full_disk_adds_nothing(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    before = audit.path.read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
    with pytest.raises(BackendError, match="cannot be written: the disk is full"):
        audit.append({"slug": "lost"})
    monkeypatch.undo()
    assert audit.path.read_bytes() == before and audit.verify() == []


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BackendError, match="cannot be written"):
        Audit(tmp_path / "audit").append({})
    assert not (tmp_path / "elsewhere").exists()
