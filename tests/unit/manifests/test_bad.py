"""Each bad manifest is one row whose error names file, line, key and what is allowed; its neighbours work."""

from __future__ import annotations

import pytest

from manifests.catalog import build_catalog
from tests.unit.manifests.bad import AGENTS, BOTTLES, FILES, Bad
from tests.unit.manifests.building import HOME, catalog, error


def _check(message: str, line: int, words: tuple[str, ...]) -> None:
    missing = [w for w in words if w not in message]
    assert not missing, message
    assert "\n" not in message and f".md:{line}: " in message


@pytest.mark.parametrize("name", BOTTLES)
def test_bad_bottle(name: str) -> None:
    bad: Bad = BOTTLES[name]
    found = catalog({"base": "", name: bad.text})
    e = error(found, name)
    assert (e.path, e.line, e.key) == (HOME / "bottles" / f"{name}.md", bad.line, bad.key), str(e)
    _check(str(e), bad.line, bad.words)
    assert [b.name for b in found.bottles] == ["base"]


@pytest.mark.parametrize("name", AGENTS)
def test_bad_agent(name: str) -> None:
    bad: Bad = AGENTS[name]
    found = catalog({"base": ""}, {"good": "bottle: base\n", name: bad.text})
    e = error(found, name)
    assert (e.path, e.line, e.key) == (HOME / "agents" / f"{name}.md", bad.line, bad.key), str(e)
    _check(str(e), bad.line, bad.words)
    assert [a.name for a in found.agents] == ["good"]


@pytest.mark.parametrize("name", FILES)
def test_bad_file(name: str) -> None:
    data, line, words = FILES[name]
    found = build_catalog({HOME / "bottles" / f"{name}.md": data, HOME / "bottles" / "ok.md": b"---\n---\n"}, {}, {})
    e = error(found, name)
    assert (e.line, e.key) == (line, "")
    _check(str(e), line, words)
    assert [b.name for b in found.bottles] == ["ok"]


def test_a_pasted_credential_is_not_repeated() -> None:
    secret = "sk-ant-oat01-0123456789abcdef"
    text = f"egress:\n  routes:\n    - host: a.example\n      auth: {{scheme: Bearer, token_ref: {secret}}}\n"
    e = error(catalog({"b": text}), "b")
    assert secret not in str(e) and "take it out of the file" in str(e)


def test_hidden_characters_and_long_texts_stay_out_of_the_message() -> None:
    e = error(catalog({"b": f'"a\\e[31m\\u202e{"x" * 900}": 1\n'}), "b")
    assert "\x1b" not in str(e) and "\u202e" not in str(e) and "<U+202E>" in str(e)
    assert len(str(e)) < 900
