"""Text as the screen needs it: columns, widths, times and sizes, nothing hidden."""

from __future__ import annotations

import unicodedata

from sidecar_bundle.shared.visible import visible


def clean(text: str) -> str:
    """Untrusted text on one line, with hidden characters made visible."""
    return visible(text.expandtabs(4), keep="")


def columns(text: str) -> int:
    """How many columns the text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(char_columns(c) for c in text)


def char_columns(char: str) -> int:
    """How many columns one character takes: 0, 1 or 2."""
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fit(text: str, width: int) -> str:
    """The text in exactly `width` columns: padded, or cut with an ellipsis."""
    used = columns(text)
    if used > width:
        out, used = "", 0
        for char in text:
            if used + char_columns(char) > width - 1:
                break
            out += char
            used += char_columns(char)
        text, used = (out + "…", used + 1) if width > 0 else ("", 0)
    return text + " " * (width - used)


def clock(seconds: float, utc_offset: int) -> str:
    """The time of day, `12:03:04`."""
    day = int(seconds + utc_offset) % 86400
    return f"{day // 3600:02}:{day // 60 % 60:02}:{day % 60:02}"


def age(seconds: float) -> str:
    """A length of time in at most three characters or so: `42s`, `5m`, `3h`, `12d`."""
    s = max(0, int(seconds))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if s >= length:
            return f"{s // length}{unit}"
    return f"{s}s"


def files(count: int) -> str:
    """`1 file`, `3 files`."""
    return f"{count} file" if count == 1 else f"{count} files"
