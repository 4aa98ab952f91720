"""Appends decisions to the bottle's activity file, one JSON line each, and keeps it bounded."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

from sidecar_bundle.shared.activity import Activity, Verdict
from sidecar_bundle.shared.layout import ACTIVITY_BYTES, ACTIVITY_FILE


class ActivityLog:
    """`activity.jsonl` in `folder`, mode 0600; above `limit` bytes it becomes `activity.jsonl.1`.

    Several daemons may write one file, each with its own `source`: lines stay whole, and one of them moves it away.
    """

    def __init__(self, folder: str, limit: int = ACTIVITY_BYTES, source: str = "egress") -> None:
        self._path = Path(folder, ACTIVITY_FILE)
        self._limit = limit
        self._source = source
        self._fd = -1
        self._complained = False

    def write(
        self,
        verdict: Verdict,
        method: str,
        host: str,
        target: str,
        reason: str = "",
        status: int = 0,
        at: float | None = None,
    ) -> None:
        """Appends one decision, made at `at` or now; `target` must hold no query.

        A full disk is said once and stops no traffic.
        """
        line = Activity(
            time=round(time.time() if at is None else at, 3),
            source=self._source,
            verdict=verdict,
            method=method[:32],
            host=host[:255],
            target=target[:1024],
            reason=reason[:1024],
            status=status,
        ).to_json()
        try:
            self._append(line.encode() + b"\n")
            self._complained = False
        except OSError as error:
            if not self._complained:
                self._complained = True
                sys.stderr.write(f"cannot write {self._path}: {error.strerror}\n")

    def _append(self, data: bytes) -> None:
        if self._fd < 0:
            self._open()
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        if not self._current():
            # Another daemon has moved it away: the lock of the old file guards nothing any more.
            self.close()
            return self._append(data)
        if os.fstat(self._fd).st_size + len(data) > self._limit:
            self._path.replace(f"{self._path}.1")
            self.close()
            return self._append(data)
        os.write(self._fd, data)
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        return None

    def _current(self) -> bool:
        try:
            named = self._path.lstat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self._fd)
        return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(self._path, flags, 0o600)

    def close(self) -> None:
        """Closes the file; a later write opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
