"""Keys as a table, and text as columns."""

from __future__ import annotations

import random
from dataclasses import replace

from botbottle_tui.core.body import hint
from botbottle_tui.core.keymap import KEYMAP, TITLES, reference
from botbottle_tui.core.styled import Line, Style, wrapped
from botbottle_tui.core.text import age, clean, clock, columns, fit
from tests.unit.core.test_update import model

ALPHABET = "ab ,/漢é🍾-\u0301"


def test_no_key_has_two_meanings_in_a_context() -> None:
    seen = [(b.context, key) for b in KEYMAP for key in b.keys]
    assert len(seen) == len(set(seen))
    assert {b.context for b in KEYMAP} == set(TITLES)


def test_reference_names_every_binding() -> None:
    text = reference()
    assert all(f"| {b.help} |" in text for b in KEYMAP) and all(f"**{t}**" in text for t in TITLES.values())
    assert "| `j`, `Down` |" in text and "| 1-9 |" in text


def test_footer_fits_and_always_names_help() -> None:
    for width in (20, 40, 60, 80, 160):
        text = hint(model(), width)
        assert len(text) <= width and text.endswith("? help")
    assert "init" not in hint(model(), 200) and "init" in hint(replace(model(), catalog=type(model().catalog)()), 200)


def test_wrapped_rows_fit_and_lose_nothing() -> None:
    rng = random.Random(7)
    styles: tuple[Style, ...] = ("", "bold", "bad")
    for _ in range(400):
        texts = ["".join(rng.choices(ALPHABET, k=rng.randrange(30))) for _ in range(3)]
        one: Line = tuple(zip(styles, texts, strict=True))
        width = rng.randrange(4, 40)
        rows = wrapped([one], width, 2)
        assert all(sum(columns(t) for _, t in row) <= width for row in rows)
        kept = [(s, c) for row in rows for s, t in row for c in t if c != " "]
        assert kept == [(s, c) for s, t in one for c in t if c != " "]


def test_fit_is_exact() -> None:
    rng = random.Random(8)
    for _ in range(400):
        text, width = "".join(rng.choices(ALPHABET, k=rng.randrange(20))), rng.randrange(1, 20)
        assert columns(fit(text, width)) == width


def test_words() -> None:
    assert clean("a\tb\x1b\u202e\n") == "a   b<U+001B><U+202E><U+000A>"
    assert [age(x) for x in (-1, 59, 60, 7200, 90000)] == ["0s", "59s", "1m", "2h", "1d"]
    assert clock(0, 3600) == "01:00:00"
