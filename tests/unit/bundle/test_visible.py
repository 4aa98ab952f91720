"""What hides from the eye is written out; what people write stays."""

from __future__ import annotations

import pytest

from sidecar_bundle.shared.visible import visible


@pytest.mark.parametrize("number", [0x202E, 0x200B, 0x1B, 0xA0, 0x3164, 0x115F, 0x2800, 0x2003, 0xFE01, 0xE0101, 0x34F])
def test_what_shows_nothing_is_written_out(number: int) -> None:
    assert visible(f"a{chr(number)}b") == f"a<U+{number:04X}>b"


@pytest.mark.parametrize("text", ["plain", "größer", "日本語", "две строки\n", "\u2764\ufe0f", "naïve – “quoted”"])
def test_what_people_write_stays(text: str) -> None:
    assert visible(text) == text
