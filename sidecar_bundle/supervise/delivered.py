"""Which answers have reached the agent, so that the same request asked again later is a new one. A small file."""

from __future__ import annotations

import json
import os
from pathlib import Path


class Delivered:
    """Counts by the request's first id. Grows only when the operator answers, so the agent cannot make it large."""

    def __init__(self, folder: Path) -> None:
        """Raises `OSError` when the folder cannot be made or the file not be read."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = folder / "delivered.json"
        self._counts: dict[str, int] = {}
        try:
            raw = json.loads(self._file.read_bytes())
            self._counts = {str(key): int(value) for key, value in raw.items()}
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            # At worst an old answer is told once more.
            self._counts = {}

    def count(self, first: str) -> int:
        """How often that request has been answered and the answer taken."""
        return self._counts.get(first, 0)

    def took(self, first: str, count: int) -> None:
        """The answer after `count` others has been taken; told twice is told once. Raises `OSError`."""
        if self.count(first) > count:
            return
        self._counts[first] = count + 1
        fresh = self._file.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
            json.dump(self._counts, file)
        fresh.replace(self._file)
