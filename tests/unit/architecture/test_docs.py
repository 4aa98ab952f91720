"""The generator of the documents: what it makes, what it keeps, and that it tells a stale document."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import docs

ROOT = Path(__file__).resolve().parents[3]
STALE = "# Map\n\n<!-- generated: map -->\nold\n<!-- end -->\n\nBy hand.\n"


def test_the_map_is_made_from_captions(tmp_path: Path) -> None:
    (tmp_path / "backends" / "deep").mkdir(parents=True)
    (tmp_path / "backends" / "__init__.py").write_text("")
    (tmp_path / "backends" / "deep" / "b.py").write_text('"""What a|b is.\n\nMore.\n"""\n')
    (tmp_path / "backends" / "a.py").write_text('"""The first."""\n')
    assert docs.file_map(tmp_path) == (
        "| `backends/` | |\n|---|---|\n| `a.py` | The first. |\n| `deep/b.py` | What a\\|b is. |\n"
    )


def test_only_the_block_changes() -> None:
    new = docs.regenerate("A.md", STALE, ("map",), {"map": lambda: "new\n"})
    assert new == STALE.replace("old", "new")
    assert docs.regenerate("A.md", new, ("map",), {"map": lambda: "new\n"}) == new


@pytest.mark.parametrize(
    "text",
    [
        "no block\n",
        STALE + STALE,
        STALE.replace("map", "other"),
        STALE.replace("<!-- end -->", ""),
        STALE + "<!-- end -->\n",
    ],
)
def test_a_document_without_exactly_its_blocks_is_an_error(text: str) -> None:
    with pytest.raises(docs.DocsError, match=r"^A\.md: has the blocks "):
        docs.regenerate("A.md", text, ("map",), {"map": str, "other": str})


def test_check_tells_and_write_mends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(docs, "DOCUMENTS", {"A.md": ("map",), "B.md": ("map",)})
    (tmp_path / "A.md").write_text(STALE)
    (tmp_path / "B.md").write_text(STALE.replace("old", docs.file_map().rstrip("\n")))
    assert docs.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err == "docs: A.md is not up to date; run: make docs\n"
    assert docs.main(["--write"], tmp_path) == 0
    assert docs.main(["--check"], tmp_path) == 0
    (tmp_path / "B.md").unlink()
    assert docs.main(["--check"], tmp_path) == 1
    assert docs.main([], tmp_path) == 2


def test_every_block_of_the_real_documents_can_be_made() -> None:
    for blocks in docs.DOCUMENTS.values():
        for block in blocks:
            text = docs.GENERATORS[block]()
            assert "\n|---|" in text, block
            assert text.endswith("|\n"), block


def named(text: str) -> list[tuple[str, str]]:
    """(file below tests/, test or story) for every `file.py::name` in a document."""
    return re.findall(r"([\w./-]+\.py)::(\w+)", text)


def missing(text: str) -> list[str]:
    """The named tests that do not exist."""
    out = []
    for file, test in named(text):
        path = ROOT / "tests" / file
        if not path.is_file() or f"\ndef {test}(" not in path.read_text():
            out.append(f"{file}::{test}")
    return out


@pytest.mark.parametrize("name", docs.DOCUMENTS)
def test_every_test_that_a_document_names_exists(name: str) -> None:
    text = (ROOT / name).read_text()
    assert len(named(text)) > 10
    assert missing(text) == []


def test_every_invariant_names_a_test() -> None:
    rows = re.findall(r"^\| \d+ \|.*$", (ROOT / "ARCHITECTURE.md").read_text().split("## What holds")[1], re.MULTILINE)
    assert len(rows) > 12
    assert [row for row in rows if not named(row)] == []


def test_a_test_that_is_gone_is_seen() -> None:
    here = "unit/architecture/test_docs.py"
    gone = [f"{here}::test_never_written", "unit/none.py::test_docs"]
    assert missing(f"`{here}::test_a_test_that_is_gone_is_seen`, `{gone[0]}` `{gone[1]}`") == gone
