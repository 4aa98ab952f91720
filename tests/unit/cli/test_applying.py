"""`apply` writes into the operator's folder: it says what, asks first, and applies what it said."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from backends.api import Changes
from botbottle_tui.__main__ import main
from botbottle_tui.cli import bottles


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    done: list[tuple[str, str]] = []
    rows = (("M", "a\u202e.txt"), *(("A", f"new-{i}") for i in range(40)))
    host = SimpleNamespace(
        changes=lambda slug: Changes(slug, rows, "diff", False, "against /p as it was copied", seen="the tree"),
        apply=lambda slug, seen: done.append((slug, seen)) or "41 files changed in /p",
    )
    monkeypatch.setattr(bottles, "Host", lambda paths: host)
    return done


@pytest.mark.parametrize(("typed", "status"), [("y\n", 0), ("\n", 2), ("no\n", 2), ("", 2)])
def test_it_asks(
    applied: list[tuple[str, str]],
    typed: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    person = io.StringIO(typed)
    monkeypatch.setattr(person, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", person)
    assert main(["apply", "a-1"]) == status
    out, err = capsys.readouterr()
    assert "M  a<U+202E>.txt\nA  new-0\n" in err and "and 11 more" in err and "bottle-dash diff a-1" in err
    assert "Apply them (41 files)? [y/N]" in err
    assert applied == ([("a-1", "the tree")] if typed == "y\n" else []) and bool(out) == bool(applied)


def test_where_nobody_can_answer_it_wants_yes(
    applied: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert main(["apply", "a-1"]) == 2 and applied == []
    assert "apply wants a yes (--yes where there is no terminal)" in capsys.readouterr().err
    assert main(["apply", "a-1", "--yes"]) == 0 and applied == [("a-1", "the tree")]
