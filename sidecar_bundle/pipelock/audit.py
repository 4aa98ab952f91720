"""Pipelock's audit lines as verdicts for the bottle's activity: noise left out, nothing secret kept. Pure."""

from __future__ import annotations

import base64
import datetime
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from sidecar_bundle.shared.activity import MAX_TIME, Verdict
from sidecar_bundle.shared.routes import Route, find_route

# Refusals that carry another event's name than `blocked`.
_REFUSALS = {"kill_switch_deny": 503, "sni_mismatch": 403, "session_deny": 403}
_FINDINGS = ("response_scan", "body_dlp", "header_dlp")
_QUOTED = re.compile(r'"[^"]*"')
HIDDEN = "[hidden]"


@dataclass(frozen=True, slots=True)
class Entry:
    """One verdict. `target` is a path without its query, `status` what pipelock answered (0: nothing)."""

    time: float
    verdict: Verdict
    method: str
    host: str
    target: str
    reason: str
    status: int


def entry(line: bytes, routes: Iterable[Route], secrets: Iterable[str]) -> Entry | None:
    """The verdict in a line; None for traffic, for noise and for what is no audit line."""
    try:
        raw: Any = json.loads(line)
        event = str(raw["event"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    said = _said(raw)
    if event == "blocked":
        verdict, status = "refuse", 403
        if str(raw.get("scanner")) == "rate_limit":
            status = 429
    elif event in _REFUSALS:
        verdict, status = "refuse", _REFUSALS[event]
    elif event in _FINDINGS:
        blocks = raw.get("action") == "block"
        verdict, status = ("refuse", 403) if blocks else ("allow", 0)
    elif event == "error" and "use of closed network connection" not in said:
        verdict, status = "error", 0
    else:
        return None
    host, path = _where(raw)
    scanner = str(raw.get("scanner", "")) or (event if event in _FINDINGS else "")
    if "dlp" in scanner:
        # The secret may stand in the path, or in a label of the host's name.
        route = find_route(routes, host)
        host, path = (route.host if route else HIDDEN), (f"/{HIDDEN}" if path else "")
    reason = f"{scanner}: {said}" if scanner and said else scanner or said
    return Entry(
        _time(raw.get("time")),
        verdict,  # type: ignore[arg-type]
        str(raw.get("method", "")),
        _without(host, secrets),
        _without(path, secrets),
        _without(_QUOTED.sub(f'"{HIDDEN}"', reason), secrets),
        status,
    )


def _said(raw: dict[str, Any]) -> str:
    words = str(raw.get("reason") or raw.get("error") or raw.get("message") or "")
    patterns = raw.get("patterns")
    return f"{words} ({', '.join(map(str, patterns))})" if isinstance(patterns, list) and patterns else words


def _where(raw: dict[str, Any]) -> tuple[str, str]:
    text = str(raw.get("url") or raw.get("target") or raw.get("resource") or "")
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        return parts.hostname or "", parts.path
    except ValueError:
        return "", ""


def _time(text: Any) -> float:
    try:
        value = datetime.datetime.fromisoformat(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return value if 0 <= value < MAX_TIME else 0.0


def _without(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
        for form in (secret, quote(secret, safe=""), encoded):
            text = text.replace(form, HIDDEN)
    return text
