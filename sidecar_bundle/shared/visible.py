"""Makes hidden characters of untrusted text visible, so that a screen shows what is there."""

from __future__ import annotations

import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str, keep: str = "\n\t") -> str:
    """`text` with every control, format (bidi, zero-width), surrogate and unassigned character written as `<U+XXXX>`.

    Characters in `keep` stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or unicodedata.category(c) not in _HIDDEN else f"<U+{ord(c):04X}>" for c in text)
