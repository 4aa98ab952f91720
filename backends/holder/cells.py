"""What one cell of the screen holds: characters and their widths, colours and attributes (SGR)."""

from __future__ import annotations

import unicodedata

# (flags, underline style, foreground, background, underline colour); colours are SGR parameters, "" is the default.
Attr = tuple[int, int, str, str, str]
PLAIN: Attr = (0, 0, "", "", "")

_FLAGS = {1: 1, 2: 2, 3: 4, 5: 8, 6: 8, 7: 16, 8: 32, 9: 64, 53: 128}
_CLEARS = {22: 3, 23: 4, 25: 8, 27: 16, 28: 32, 29: 64, 55: 128}
_SHOWN = ((1, "1"), (2, "2"), (4, "3"), (8, "5"), (16, "7"), (32, "8"), (64, "9"), (128, "53"))

# DEC special graphics, the set of `ESC ( 0`.
LINE_DRAWING = dict(zip(range(0x5F, 0x7F), " ◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·", strict=True))

_widths: dict[str, int] = {}


def width(char: str) -> int:
    """How many columns a character takes: 0 for combining and invisible ones, 2 for wide ones, else 1."""
    known = _widths.get(char)
    if known is None:
        if len(_widths) > 8192:
            _widths.clear()
        known = _widths[char] = _width(char)
    return known


def _width(char: str) -> int:
    code = ord(char)
    if code < 0x300:
        return 1
    # Hangul vowels and finals join the syllable before them.
    if unicodedata.category(char) in ("Mn", "Me", "Cf") or 0x1160 <= code <= 0x11FF:
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


class Line:
    """One row. A wide character is followed by an empty string; `wide` says that there may be one."""

    __slots__ = ("attrs", "chars", "wide")

    def __init__(self, cols: int, attr: Attr = PLAIN) -> None:
        self.chars = [" "] * cols
        self.attrs = [attr] * cols
        self.wide = False

    def fill(self, start: int, end: int, attr: Attr) -> None:
        """Blanks the columns from `start` up to `end`."""
        self.chars[start:end] = [" "] * (end - start)
        self.attrs[start:end] = [attr] * (end - start)
        self.heal()

    def insert(self, at: int, count: int, attr: Attr) -> None:
        """Pushes `count` blanks in at column `at`; what leaves on the right is lost."""
        cols = len(self.chars)
        self.chars[at:at] = [" "] * count
        self.attrs[at:at] = [attr] * count
        del self.chars[cols:], self.attrs[cols:]
        self.heal()

    def delete(self, at: int, count: int, attr: Attr) -> None:
        """Takes `count` columns out at `at`; blanks come in on the right."""
        del self.chars[at : at + count], self.attrs[at : at + count]
        self.chars += [" "] * count
        self.attrs += [attr] * count
        self.heal()

    def resize(self, cols: int) -> None:
        """Cuts or pads the row to `cols` columns."""
        del self.chars[cols:], self.attrs[cols:]
        missing = cols - len(self.chars)
        self.chars += [" "] * missing
        self.attrs += [PLAIN] * missing
        self.heal()

    def heal(self) -> None:
        """Blanks halves of wide characters whose other half was overwritten."""
        if not self.wide:
            return
        chars = self.chars
        expect = False
        for at, char in enumerate(chars):
            if char == "":
                if not expect:
                    chars[at] = " "
                expect = False
                continue
            if expect:
                chars[at - 1] = " "
            expect = width(char[0]) == 2
        if expect:
            chars[-1] = " "


def sgr(attr: Attr) -> str:
    """The sequence that sets exactly this attribute."""
    flags, underline, foreground, background, colour = attr
    parts = ["0"]
    parts += [code for bit, code in _SHOWN if flags & bit]
    if underline:
        parts.append("4" if underline == 1 else f"4:{underline}")
    parts += [part for part in (foreground, background, colour) if part]
    return f"\x1b[{';'.join(parts)}m"


def apply_sgr(attr: Attr, params: str) -> Attr:
    """The attribute after `CSI params m`; parameters that mean nothing change nothing."""
    flags, underline, foreground, background, colour = attr
    parts = params.split(";")
    at = 0
    while at < len(parts):
        subs = parts[at].split(":")
        code = _number(subs[0])
        at += 1
        if code == 0:
            flags, underline, foreground, background, colour = PLAIN
        elif code == 4 and len(subs) > 1:
            underline = min(_number(subs[1]), 5)
        elif code in (4, 21):
            underline = 1 if code == 4 else 2
        elif code == 24:
            underline = 0
        elif code in _FLAGS:
            flags |= _FLAGS[code]
        elif code in _CLEARS:
            flags &= ~_CLEARS[code]
        elif code in (38, 48, 58):
            if len(subs) > 1:
                found = _colon_colour(subs)
            else:
                found, used = _colour(parts[at : at + 4])
                at += used
            if found and code == 38:
                foreground = "38;" + found
            elif found and code == 48:
                background = "48;" + found
            elif found:
                # The form with semicolons is misread by terminals that do not know 58.
                colour = "58:" + found.replace(";", ":").replace("2:", "2::", 1 if found.startswith("2;") else 0)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            foreground = str(code)
        elif 40 <= code <= 47 or 100 <= code <= 107:
            background = str(code)
        elif code == 39:
            foreground = ""
        elif code == 49:
            background = ""
        elif code == 59:
            colour = ""
    return (flags, underline, foreground, background, colour)


def _number(text: str) -> int:
    return min(int(text), 255) if text else 0


def _colour(parts: list[str]) -> tuple[str, int]:
    """A colour given with semicolons, and how many parameters it took."""
    kind = parts[0] if parts else ""
    if kind == "5" and len(parts) > 1:
        return f"5;{_number(parts[1].split(':')[0])}", 2
    if kind == "2" and len(parts) > 3:
        return "2;" + ";".join(str(_number(part.split(":")[0])) for part in parts[1:4]), 4
    return "", len(parts)


def _colon_colour(subs: list[str]) -> str:
    if subs[1] == "5" and len(subs) > 2:
        return f"5;{_number(subs[2])}"
    if subs[1] == "2" and len(subs) > 4:
        # 2::r:g:b has the empty place of a colour space, 2:r:g:b has not.
        rgb = subs[3:6] if len(subs) > 5 else subs[2:5]
        return "2;" + ";".join(str(_number(part)) for part in rgb)
    return ""
