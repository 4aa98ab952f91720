"""One line of a bottle's activity log: what a daemon of the bundle decided, as JSON that host and bundle both read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["allow", "refuse", "error"]

MAX_TEXT = 2000
# Seconds: beyond the year 2200, and well inside what any calendar can show.
MAX_TIME = 2.0**33


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
    """The value of a line, its texts cut at `MAX_TEXT`; None, never an exception, for whatever else a line may hold."""
    try:
        raw: Any = json.loads(line)
        time, verdict, status = raw["time"], raw["verdict"], raw.get("status", 0)
        texts = [raw["source"], raw["method"], raw["host"], raw["target"], raw.get("reason", "")]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    if verdict not in ("allow", "refuse", "error") or not all(isinstance(text, str) for text in texts):
        return None
    # By type, not by isinstance: True is no number here. NaN fails every comparison.
    if type(time) not in (int, float) or not 0 <= time < MAX_TIME or type(status) is not int or not 0 <= status <= 999:
        return None
    source, method, host, target, reason = (text[:MAX_TEXT] for text in texts)
    return Activity(float(time), source, verdict, method, host, target, reason, status)
