"""The emulator: what sequences do, and that a repaint shows the same screen to a fresh terminal."""

from __future__ import annotations

import random
import re
import time

import pytest

from backends.holder.backlog import KEPT, Backlog
from backends.holder.screen import Screen

SEQUENCES = [
    b"hello\r\nworld", b"\x1b[2J\x1b[H", b"\x1b[3;5H", b"\x1b[1;31mred\x1b[0m",
    b"\x1b[38;5;200mx\x1b[48;2;1;2;3my", b"\x1b[4:3m\x1b[58:2::9:8:7mcurly\x1b[m",
    b"\x1b[7m\x1b[9m\x1b[3m\x1b[2m", "漢字かな".encode(), "e\u0301a\u0308".encode(), "─│┌┐ ⠋ ✻ 🚀".encode(),
    b"\x1b[K", b"\x1b[1K", b"\x1b[2K", b"\x1b[J", b"\x1b[1J", b"\x1b[3X", b"\x1b[2@", b"\x1b[2P", b"\x1b[2L",
    b"\x1b[2M", b"\x1b[2;6r", b"\x1b[r", b"\x1b[2S", b"\x1b[T", b"\x1bM", b"\x1bD", b"\x1bE", b"\x1b7",
    b"\x1b8", b"\x1b[s", b"\x1b[u", b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?47h", b"\x1b[?47l",
    b"\x1b[?1047h", b"\x1b[?1047l", b"\x1b[?25l", b"\x1b[?25h", b"\x1b[?1h", b"\x1b=", b"\x1b>",
    b"\x1b[?2004h", b"\x1b[?1002;1006h", b"\x1b[?1002l", b"\x1b[?1004h", b"\x1b[?7l", b"\x1b[?7h", b"\x1b[4h",
    b"\x1b[4l", b"\x1b[?6h", b"\x1b[?6l", b"\x1b[?2026h", b"\x1b[>1u", b"\x1b[>5u", b"\x1b[<u", b"\x1b[=3;2u",
    b"\x1b]0;a title\x07", b"\x1b]2;other\x1b\\", b"\x1b(0lqqk\x1b(B", b"\x0e", b"\x0f", b"\x1b)0", b"\t",
    b"\x1bH", b"\x1b[g", b"\x1b[3g", b"\x1b[2I", b"\x1b[Z", b"\b\b", b"\n\n\n", b"\r", b"\x1b[5G", b"\x1b[4d",
    b"\x1b[2A", b"\x1b[3B", b"\x1b[9C", b"\x1b[4D", b"\x1b[7b", b"\x1b[2 q", b"\x1b[>4;2m", b"\x1b[!p",
    b"\x1bc", b"\x1b#8", b"\x1bPq#0;junk\x1b\\", b"\x1b_Gkitty\x1b\\", b"\x1b[c", b"\x1b[6n", b"A" * 45,
    b"\x1b[20h", b"\x1b[20l",
]  # fmt: skip


def shown(data: bytes, rows: int = 8, cols: int = 30) -> Screen:
    screen = Screen(rows, cols)
    screen.feed(data)
    return screen


def state(screen: Screen) -> dict[str, object]:
    grid = screen.grid
    lines = [(line.chars, line.attrs) for line in grid.lines]
    return {
        "lines": lines,
        "hidden": [(line.chars, line.attrs) for line in grid.hidden] if grid.alternate else None,
        "cursor": (grid.y, grid.x, grid.wrap, grid.pen, grid.charsets, grid.shift),
        "margins": (grid.top, grid.bottom, grid.origin, grid.insert, grid.autowrap, grid.tabs),
        "saved": [s and (s[0], s[1], *s[2:]) for s in grid.saved][grid.alternate],
        "modes": (screen.modes, screen.keypad, screen.linefeed, screen.cursor_style, screen.modify_keys),
        "kitty": screen.kitty[grid.alternate][-1],
        "alternate": grid.alternate,
        "title": screen.title,
    }


def assert_round_trip(screen: Screen) -> None:
    fresh = Screen(screen.grid.rows, screen.grid.cols)
    fresh.feed(b"rubbish\x1b[?1002h\x1b[?6h\x1b[2;3r\x1b(0\x1b[4h")  # a terminal is never as new as one hopes
    fresh.feed(screen.render())
    want, got = state(screen), state(fresh)
    if screen.grid.saved[screen.grid.alternate] is None:
        want.pop("saved"), got.pop("saved")
    assert got == want
    assert fresh.text() == screen.text()
    assert not fresh.take_replies()


@pytest.mark.parametrize(
    ("data", "want"),
    [
        (b"one\r\ntwo", ["one", "two"]),
        (b"abcdef\x1b[3D\x1b[P", ["abcef"]),
        (b"abcdef\x1b[4G\x1b[2@", ["abc  def"]),
        (b"abcdef\x1b[2;1Hx\x1b[1;3H\x1b[K", ["ab", "x"]),
        (b"abcdef\x1b[3G\x1b[2X", ["ab  ef"]),
        (b"a\r\nb\r\nc\x1b[2;1H\x1b[L", ["a", "", "b", "c"]),
        (b"a\r\nb\r\nc\x1b[2;1H\x1b[M", ["a", "c"]),
        (b"a\r\nb\r\nc\r\nd\x1b[2;3r\x1b[3;1H\n", ["a", "c", "", "d"]),
        (b"a\r\nb\x1b[H\x1bM", ["", "a", "b"]),
        (b"x" * 30 + b"y", ["x" * 30, "y"]),
        (b"x" * 30 + b"\ry", ["y" + "x" * 29]),
        (b"\x1b[?7l" + b"x" * 40 + b"y", ["x" * 29 + "y"]),
        ("漢字".encode() + b"\x1b[2Gx", [" x字"]),
        (b"a" * 29 + "漢".encode(), ["a" * 29, "漢"]),
        ("e\u0301x".encode(), ["e\u0301x"]),
        (b"main\x1b[?1049halt", ["    alt"]),
        (b"main\x1b[?1049halt\x1b[?1049l!", ["main!"]),
        (b"\x1b(0lqk\x1b(Bq", ["┌─┐q"]),
        (b"a\tb", ["a       b"]),
        (b"-\x1b[5b", ["------"]),
        (b"\x1b]0;t\x07x\x1bPjunk\x1b\\y\x1b_G\x07z\x1b\\w", ["xyw"]),
        (b"\xff\xc3(\xe2\x82", ["\ufffd\ufffd("]),
        (b"\x1b[4habc\rX", ["Xabc"]),
        (b"\x1b[2;4r\x1b[?6h\x1b[1;1Hx", ["", "x"]),
        (b"ab\x1b7\x1b[5;5Hz\x1b8c", ["abc", "", "", "", "    z"]),
        (b"\x1b[12", []),
    ],
)  # fmt: skip
def test_what_is_on_the_screen(data: bytes, want: list[str]) -> None:
    for screen in (shown(data), Screen(8, 30)):
        if not any(screen.text()):
            for at in range(len(data)):
                screen.feed(data[at : at + 1])  # cut at every byte
        text = screen.text()
        while text and not text[-1]:
            text.pop()
        assert text == want
        assert_round_trip(screen)


def test_round_trip_of_random_scripts() -> None:
    chance = random.Random(7)
    for _ in range(600):
        screen = Screen(chance.choice((3, 8, 24)), chance.choice((10, 31, 80)))
        for _ in range(chance.randrange(1, 40)):
            screen.feed(chance.choice(SEQUENCES))
            if chance.random() < 0.03:
                screen.resize(chance.randrange(2, 30), chance.randrange(4, 90))
        assert_round_trip(screen)


def test_any_bytes_are_survived() -> None:
    chance = random.Random(11)
    finals = b"@ABCDEFGHIJKLMPSTXZ`abcdefghlmnqrsu"
    for number in range(2000):
        screen = Screen(chance.choice((1, 2, 24)), chance.choice((1, 2, 80)))
        for _ in range(chance.randrange(1, 25)):
            kind = chance.random()
            if kind < 0.3:
                data = chance.randbytes(chance.randrange(60))
            elif kind < 0.6:
                params = ";".join(
                    str(chance.choice((0, 1, 2, 5, 38, 48, 99999, ""))) for _ in range(chance.randrange(6))
                )
                data = b"\x1b[" + chance.choice((b"", b"?", b">", b"=", b"<")) + params.encode()
                data += bytes([chance.choice(finals)])
            elif kind < 0.8:
                data = chance.choice(SEQUENCES)[: chance.randrange(1, 12)]
            else:
                data = "".join(chr(chance.randrange(0x20, 0x1FAFF)) for _ in range(9)).encode("utf-8", "replace")
            screen.feed(data)
            if chance.random() < 0.1:
                screen.resize(chance.randrange(-1, 40), chance.randrange(-1, 100))
        grid = screen.grid
        assert 0 <= grid.x < grid.cols, number
        assert 0 <= grid.y < grid.rows, number
        assert (
            [len(line.chars) for line in grid.lines] == [grid.cols] * grid.rows == [len(li.attrs) for li in grid.lines]
        )
        assert len(grid.hidden) == grid.rows
        screen.feed(b"\x18")
        screen.render()


def test_a_repaint_asks_the_terminal_nothing() -> None:
    screen = Screen(24, 80)
    for sequence in SEQUENCES:
        screen.feed(sequence)
        assert not re.search(
            rb"\x1b\[[>=?]?[0-9;]*[cn]|\x1b\[\?u|\$p|\x1b\][0-9]+;\?|\x1bP|\x1b\[>[0-9]*q|\x1b\[1[0-9]t",
            screen.render(),
        )


def test_memory_is_bounded() -> None:
    screen = shown(
        b"\x1b]0;" + b"t" * 1_000_000 + b"\x07" + b"a" + "\u0301".encode() * 100_000 + b"\x1b[" + b"1;" * 100_000
    )
    screen.feed(b"\x1b[6n" * 100_000 + b"\x1b[>1u" * 10_000 + b"\x1b[" + b"1" * 9000)
    assert len(screen.title) <= 192
    assert len(screen.grid.lines[0].chars[0]) <= 8
    assert len(screen.take_replies()) < 5000
    assert len(screen.kitty[0]) <= 17
    assert len(screen.render()) < 20_000
    assert Screen(10**9, 10**9).grid.rows * 1 <= 512


def test_titles_are_made_harmless() -> None:
    assert shown("\x1b]2;a\x9bb\u202ec\td\x07".encode()).title == "abcd"


def test_queries_are_answered() -> None:
    assert shown(b"ab\x1b[c\x1b[5n\x1b[6n\x1b]11;?\x07\x1b[?u").take_replies() == b"\x1b[?62;22c\x1b[0n\x1b[1;3R"


def test_resize_keeps_the_cursor_row() -> None:
    screen = shown(b"\r\n".join(b"line%d" % n for n in range(8)))
    screen.resize(3, 30)
    assert screen.text() == ["line5", "line6", "line7"]
    screen.resize(5, 4)
    assert screen.text() == ["line", "line", "line", "", ""]


def test_a_flood_keeps_modes_and_the_last_lines_and_stays_small() -> None:
    backlog = Backlog(24, 80)
    backlog.append(b"\x1b[?2004h\x1b[?1049h\x1b[?25l")
    lines = b"".join(b"\x1b[3%dmline %d\r\n" % (n % 8, n) for n in range(4000))
    began = time.process_time()
    for _ in range(200):
        backlog.append(lines)
        assert len(backlog) <= 2 * KEPT
    spent = time.process_time() - began
    screen = backlog.screen()
    assert screen.text()[-2] == "line 3999"
    assert {2004} <= screen.modes and 25 not in screen.modes and screen.grid.alternate
    assert spent < 5


def test_a_query_cut_in_two_is_answered_once() -> None:
    backlog = Backlog(24, 80)
    answers = b""
    for data in (b"ab\x1b[", b"6n", b"cd", b"\x1b[c", b"x"):
        if backlog.asks(data):
            answers += backlog.answer(data)
        else:
            backlog.append(data)
    assert answers == b"\x1b[1;3R\x1b[?62;22c"
