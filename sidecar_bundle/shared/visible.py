"""Makes hidden characters of untrusted text visible, so that a screen shows what is there."""

from __future__ import annotations

import re
import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# Letters, marks and spaces that show nothing, or pass for a plain space: fillers, variation selectors, a blank pattern.
_BLANK = re.compile(
    "[\u00a0\u034f\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200a\u202f\u205f\u2800\u3000\u3164"
    "\ufe00-\ufe0e\uffa0\U000e0100-\U000e01ef]"
)


def visible(text: str, keep: str = "\n\t") -> str:
    """`text` with every character written as `<U+XXXX>` that shows nothing of itself.

    Control, format (bidi, zero-width), surrogate, unassigned and blank characters; those in `keep` stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or not _hidden(c) else f"<U+{ord(c):04X}>" for c in text)


def _hidden(c: str) -> bool:
    return unicodedata.category(c) in _HIDDEN or bool(_BLANK.match(c))
