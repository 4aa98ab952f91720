"""The gate's decisions as lines of the bottle's activity: what was fetched, pushed, refused, and why."""

from __future__ import annotations

import threading
from pathlib import Path

from sidecar_bundle.shared import layout
from sidecar_bundle.shared.activity import Verdict
from sidecar_bundle.shared.activity_log import ActivityLog
from sidecar_bundle.shared.config import Remote


class Decisions:
    """`state` is the bundle's private state. Clients are served by threads; one of them writes at a time."""

    def __init__(self, state: Path) -> None:
        self._log = ActivityLog(str(state), source=layout.GIT_GATE)
        self._lock = threading.Lock()

    def tell(self, verdict: Verdict, what: str, remote: Remote | None, reason: str = "") -> None:
        """`what` is `fetch` or `push`; `remote` None for a request that names no declared one."""
        host, path = (remote.host, "/" + remote.path.lstrip("/")) if remote else ("", "")
        with self._lock:
            self._log.write(verdict, f"git {what}", host, path, reason)
