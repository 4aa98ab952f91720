"""One line of a bottle's activity log: what egress decided, as JSON that host and bundle both read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["allow", "refuse", "error"]


@dataclass(frozen=True, slots=True)
class Activity:
    """A decision. `time` is seconds since the epoch; texts come from inside the bottle and are untrusted.

    `target` holds no query string and no credentials; `status` is the HTTP status sent to the agent, 0 if none yet.
    """

    time: float
    source: str
    verdict: Verdict
    method: str
    host: str
    target: str
    reason: str = ""
    status: int = 0

    def to_json(self) -> str:
        """The line, without its newline."""
        return json.dumps(asdict(self), ensure_ascii=True, separators=(",", ":"))


def parse_activity(line: str) -> Activity | None:
    """The value of a line, or None when the line is not one (cut off, or of another version)."""
    try:
        raw: Any = json.loads(line)
        verdict = raw["verdict"]
        if verdict not in ("allow", "refuse", "error"):
            return None
        return Activity(
            time=float(raw["time"]),
            source=str(raw["source"]),
            verdict=verdict,
            method=str(raw["method"]),
            host=str(raw["host"]),
            target=str(raw["target"]),
            reason=str(raw.get("reason", "")),
            status=int(raw.get("status", 0)),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
