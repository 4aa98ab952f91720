"""What a request or an answer carries: the DLP engine of one bottle, and what follows from its findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidecar_bundle.egress.decide import Refuse, Request, decide_body, shown
from sidecar_bundle.shared.routes import Route

if TYPE_CHECKING:
    from sidecar_bundle.dlp.engine import Engine, Finding

HOW = "leave it out, or ask the operator to change the route's dlp"
_TAIL = 2048
_FIRST = b'{"text": "Zm9yIHRoZSBmaXJzdCB0aW1lLCBhcyBhIHRyeQ=="}'
_SKIPPED = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-encoding"})


@dataclass(frozen=True, slots=True)
class Clean:
    """Nothing was found. `body` is the body decoded; `redacted` says that headers, path and body were changed."""

    request: Request
    body: bytes
    redacted: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """The operator decides; `texts` say what was found and where, `refuse` is the answer unless he approves."""

    texts: tuple[str, ...]
    refuse: Refuse
    clean: Clean


Verdict = Clean | Ask | Refuse


def watched(route: Route) -> bool:
    """Whether requests of a route are held until they are judged, and its answers searched.

    Where a credential is added that is so with `dlp: off` too: it must not come back, and no other key may pass.
    Answers that are searched for instructions must come in a form that can be read.
    """
    return route.dlp != "off" or route.auth is not None or route.prompt_injection != "off"


class Scanner:
    """Holds the engine, made anew when the values change. `own` maps names to the values that must not leave."""

    def __init__(self, own: Mapping[str, str]) -> None:
        # Imported here: what is wrong with the engine refuses requests, but does not keep egress from starting.
        from sidecar_bundle.dlp.engine import Engine
        from sidecar_bundle.shared.weak import weak

        self.own = {name: value for name, value in own.items() if value and not weak(value)}
        self.engine: Engine = Engine(self.own)
        # Its tables are made when they are first needed: now, and not while somebody's request waits.
        self.engine.request(method="GET", host="a.example", path="/?a=b", headers=[("a", "b")], body=_FIRST)

    def look(self, request: Request, route: Route, body: bytes) -> Verdict:
        """The verdict on a whole request of `route`; `request.headers` are those that the agent sent and that stay."""
        from sidecar_bundle.dlp.coding import decoded
        from sidecar_bundle.dlp.engine import Unscannable

        try:
            plain = decoded(body, ",".join(request.all("content-encoding")))
            if refused := decide_body(route, " ".join(request.all("content-type")), plain):
                return refused
            if route.dlp == "off":
                return Clean(request, plain)
            headers = [_as_sent(pair) for pair in request.headers if pair[0].lower() not in _SKIPPED]
            findings = self.engine.request(
                method=request.method, host=request.host, path=request.path, headers=headers, body=plain
            )
        except Unscannable as error:
            return Refuse(
                f"request to {request.host} refused: it cannot be scanned: {shown(str(error))}", "send it plainly"
            )
        if route.host.startswith("*.") and (label := self.engine.host_label(request.host, route.host)):
            findings = [*findings, label]
        clean = Clean(request, plain)
        if not findings:
            return clean
        texts = tuple(dict.fromkeys(self.text(finding) for finding in findings))
        refuse = Refuse(f"request to {request.host} refused: it carries {', '.join(texts[:3])}", HOW)
        if route.dlp == "ask":
            return Ask(texts, refuse, clean)
        if route.dlp != "redact":
            return refuse
        return self._redact(clean, findings, texts) or refuse

    def _redact(self, clean: Clean, findings: Sequence[Finding], texts: Sequence[str]) -> Clean | None:
        request = clean.request
        fixed = [name.lower() in _SKIPPED for name, _ in request.headers]
        headers = [_as_sent(pair) for pair, skip in zip(request.headers, fixed, strict=True) if not skip]
        changed = self.engine.redact(headers, request.path, clean.body, findings)
        if changed is None or len(changed[0]) != len(headers):
            return None
        left = ((name, value.encode("utf-8", "surrogateescape").decode("latin-1")) for name, value in changed[0])
        whole = tuple(pair if skip else next(left) for pair, skip in zip(request.headers, fixed, strict=True))
        fresh = Request(
            request.method,
            request.scheme,
            request.host,
            request.port,
            changed[1],
            whole,
            request.authority,
            request.sni,
        )
        return Clean(fresh, changed[2], f"redacted: {', '.join(texts[:3])}")

    def text(self, finding: Finding) -> str:
        """What was found and where, in words that hold no value."""
        where = finding.where
        if any(value.lower() in where.lower() for value in self.own.values()):
            where = where.partition(" ")[0]
        what = f"the value of ${finding.name}" if finding.name else f"what looks like a secret ({finding.rule})"
        return f"{what} ({shown(where, 80)})"

    def message(self, data: bytes, tail: bytes) -> str:
        """What a WebSocket message of the agent carries, together with the end of those before it; or ""."""
        from sidecar_bundle.dlp.engine import Unscannable

        try:
            findings = self.engine.message(tail + data, where="websocket")
        except Unscannable as error:
            return f"what cannot be scanned: {shown(str(error))}"
        return self.text(findings[0]) if findings else ""

    def hides(self, text: str) -> bool:
        """Whether one of the values stands in `text`, so that no log may have it."""
        return bool(self.engine.answer(text.encode("latin-1", "replace")))

    def watch(self, found: Callable[[str], str]) -> Callable[[bytes], str]:
        """A function for the pieces of one answer, in order: "" for each, or what `found` makes of a finding's text."""
        tail = b""

        def look(data: bytes) -> str:
            nonlocal tail
            findings = self.engine.answer(data, tail)
            if findings:
                return found(f"the value of ${findings[0].name}")
            tail = data[-_TAIL:] if len(data) >= _TAIL else (tail + data)[-_TAIL:]
            return ""

        return look


def instructed(found: Callable[[str], str]) -> Callable[[bytes], str]:
    """A function for the pieces of one answer, in order: the first that instructs the agent goes through `found`."""
    from sidecar_bundle.dlp.inject import instructions

    tail, over = b"", False

    def look(data: bytes) -> str:
        nonlocal tail, over
        if over:
            return ""
        text = tail + data
        if why := instructions(text):
            over = True
            return found(why)
        tail = text[-_TAIL:]
        return ""

    return look


def _as_sent(pair: tuple[str, str]) -> tuple[str, str]:
    # A request's text is one character a byte; the engine reads UTF-8, in which values outside ASCII are written.
    return pair[0], pair[1].encode("latin-1").decode("utf-8", "surrogateescape")
