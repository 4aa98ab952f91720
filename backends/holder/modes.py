"""Terminal modes: which ones a repaint carries, and the bytes that put a terminal back into its ordinary state."""

from __future__ import annotations

# Modes that are on in an ordinary terminal: autowrap, visible cursor.
DEFAULT_ON = frozenset({7, 25})

# Private modes (DECSET) that change what a person sees or what the terminal sends; a repaint restores them. Origin mode
# (6) is restored with the cursor, whose place depends on it.
CARRIED = (1, 5, 7, 25, 66, 9, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004)

_OFF = ";".join(str(mode) for mode in CARRIED if mode not in DEFAULT_ON)

# Leaves the alternate screen, so the cursor may be anywhere afterwards. The kitty keyboard flags are kept for each of
# the two screens, hence twice.
ORDINARY = (
    "\x1b[=0;1u\x1b[?1049l\x1b[=0;1u"
    f"\x1b[?6;{_OFF}l\x1b[?7;25h"
    "\x1b>\x1b[4l\x1b[20l\x1b[>4m\x1b[r\x1b(B\x1b)B\x0f\x1b[0 q\x1b[0m"
).encode()
