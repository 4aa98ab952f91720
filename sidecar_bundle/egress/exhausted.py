"""Ends egress when its memory is used up: init starts a fresh one, and until then nothing passes."""

from __future__ import annotations

import os
from typing import Any

EXIT = 70
_LINE = b"memory is used up: ending, so that a fresh egress takes over\n"


def end_if_exhausted(error: Any) -> None:
    """Does not return when `error`, an exception or None, says that memory or threads cannot be had."""
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "start new thread" in str(error)):
        # At once: whatever else ran now would meet half a state, and might let it pass.
        try:
            os.write(2, _LINE)
        finally:
            os._exit(EXIT)
