"""mitmproxy glue for requests: flows become requests for `decide` and the scan, verdicts become flows."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import asyncio
import functools
import inspect
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sidecar_bundle.egress import chain
from sidecar_bundle.egress import decide as rules
from sidecar_bundle.egress.ask import Inbox
from sidecar_bundle.egress.decide import Allow, Answer, Refuse, Request
from sidecar_bundle.egress.exhausted import end_if_exhausted
from sidecar_bundle.egress.held import MAX_BODY, TOO_LARGE, TOO_MUCH
from sidecar_bundle.egress.live import Live
from sidecar_bundle.egress.scan import Ask, Clean, Scanner, Verdict, watched
from sidecar_bundle.egress.stream import text_response
from sidecar_bundle.shared.activity import Verdict as Said
from sidecar_bundle.shared.activity_log import ActivityLog
from sidecar_bundle.shared.routes import Route, find_route

# Bytes of a body that are scanned at once; more, or what may become more, goes to a thread, so that nobody waits.
INLINE = 256 * 1024
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?\Z")
_BROKEN = Refuse("the request could not be judged", "tell the operator; the bundle's log says why")
_NO_SCAN = Refuse("the scan for secrets does not work", "tell the operator; the bundle's log says why", 503)


def closed(hook: Callable[[Gate, Any], Any]) -> Callable[[Gate, Any], Any]:
    """A hook that raises refuses its flow: mitmproxy itself would log the exception and let the flow pass."""

    def refuse(self: Gate, flow: Any, error: Exception) -> None:
        end_if_exhausted(error)
        sys.stderr.write(f"{hook.__name__} failed, refused: {type(error).__name__}\n")
        flow.request.stream = False
        flow.response = text_response(_BROKEN.status, _BROKEN.text)
        flow.metadata["settled"] = True
        self.live.forget(flow.client_conn)

    async def later(self: Gate, flow: Any, rest: Awaitable[None]) -> None:
        try:
            await rest
        except Exception as error:
            refuse(self, flow, error)

    @functools.wraps(hook)
    def guarded(self: Gate, flow: Any) -> Awaitable[None] | None:
        try:
            rest = hook(self, flow)
        except Exception as error:
            refuse(self, flow, error)
            return None
        return later(self, flow, rest) if inspect.isawaitable(rest) else None

    return guarded


class Gate:
    """Holds one bottle's routes and credentials, and lets a connection upstream pass only after an `Allow`."""

    def __init__(self, log: ActivityLog, inbox: Inbox, close: Callable[[Any], None]) -> None:
        self.log = log
        self.bottle = ""
        self.routes: tuple[Route, ...] = ()
        self.values: dict[str, str] = {}
        self.protect: dict[str, str] = {}
        self.chained = False
        self.live = Live()
        self.scanner: Scanner | None = None
        self._inbox = inbox
        self._close = close
        self._rules = 0
        # One thread: two large scans side by side would take twice the memory and not half the time.
        self._pool = ThreadPoolExecutor(1, "scan")

    def protect_values(self, values: Mapping[str, str], protect: Mapping[str, str]) -> None:
        """New values for every later request: credentials by slot, and what else must not leave, by name."""
        if self.scanner and (dict(values), dict(protect)) == (self.values, self.protect):
            return
        self.values, self.protect, self.scanner = dict(values), dict(protect), None
        self._rules += 1
        try:
            self.scanner = Scanner({**self.protect, **self.values})
        except Exception as error:
            end_if_exhausted(error)
            sys.stderr.write(f"the scan for secrets does not start: {type(error).__name__}\n")

    def configure_bottle(self, bottle: str, routes: Sequence[Route], chained: bool = False) -> None:
        """New rules for every later request; what is open and no longer allowed ends."""
        old, self.bottle, self.routes, self.chained = self.routes, bottle, tuple(routes), chained
        self._rules += 1
        for client, host in self.live.forbidden(old, self.routes, lambda r: isinstance(self._decide(r), Allow)):
            self.log.write("refuse", "", host, "", "the connection was ended: the routes no longer allow it")
            self.live.forget(client)
            self._close(client)

    def missing(self) -> list[str]:
        """Slots of routes whose value is not at hand, or cannot stand in a header."""
        slots = {route.auth.slot for route in self.routes if route.auth}
        return sorted(slot for slot in slots if not _VALUE.match(self.values.get(slot, "")))

    def networks(self, host: str) -> Sequence[str] | None:
        """For the dialling loop: what a host's route allows beside public addresses; None without a route."""
        route = find_route(self.routes, host)
        return None if route is None else route.ssrf_ip_allowlist

    def _decide(self, request: Request) -> rules.Decision:
        return rules.decide(self.bottle, self.routes, set(self.values) - set(self.missing()), request)

    @closed
    def http_connect(self, flow: Any) -> None:
        """A tunnel that cannot hold an allowed request is refused; else its requests are judged."""
        request = flow.request
        refused = rules.decide_connect(request.host, request.port)
        if refused:
            self.settle(flow, refused, "")

    @closed
    def requestheaders(self, flow: Any) -> None:
        """The decision, before any byte of the body is read and before any connection upstream."""
        if flow.error:
            # mitmproxy found it malformed and answers itself; the error hook writes the line.
            flow.metadata["malformed"] = True
            return
        request = _describe(flow)
        decision = self._decide(request)
        if not isinstance(decision, Allow):
            self.settle(flow, decision, request.bare_path)
            return
        for name in decision.strip:
            flow.request.headers.pop(name, None)
        flow.metadata["allowed"] = (request, decision, self._rules)
        if not watched(decision.route):
            flow.request.stream = True
            self._pass(flow, request, decision)
        elif self.scanner is None:
            self.settle(flow, _NO_SCAN, request.bare_path)
        elif any(size.isdecimal() and int(size) > MAX_BODY for size in request.all("content-length")):
            self._excess(flow, 413)

    def _excess(self, flow: Any, status: int) -> None:
        why = TOO_LARGE if status == 413 else TOO_MUCH
        how = "send less at once" if status == 413 else "try again when others are through"
        self.settle(flow, Refuse(f"request to {flow.request.host} refused: {why}", how, status), target_of(flow))

    @closed
    def request(self, flow: Any) -> Awaitable[None] | None:
        """The whole request of a route that is scanned: nothing of it has left yet."""
        if flow.metadata.get("settled") or flow.request.stream:
            return None
        if status := flow.metadata.get("excess"):
            self._excess(flow, status)
            return None
        _, allow, _ = flow.metadata["allowed"]
        body = flow.request.raw_content or b""
        if len(body) > INLINE or "content-encoding" in flow.request.headers:
            return self._scan_aside(flow, allow, body)
        assert self.scanner is not None
        return self._conclude(flow, self.scanner.look(_describe(flow), allow.route, body))

    async def _scan_aside(self, flow: Any, allow: Allow, body: bytes) -> None:
        assert self.scanner is not None
        loop = asyncio.get_running_loop()
        verdict = await loop.run_in_executor(self._pool, self.scanner.look, _describe(flow), allow.route, body)
        if rest := self._conclude(flow, verdict):
            await rest

    def _conclude(self, flow: Any, verdict: Verdict) -> Awaitable[None] | None:
        if isinstance(verdict, Ask):
            return self._ask(flow, verdict)
        if isinstance(verdict, Refuse):
            # The path may be what holds the secret.
            self.settle(flow, verdict, "")
            return None
        request, allow, seen = flow.metadata["allowed"]
        if seen != self._rules:
            # The rules changed while the body came, or while the operator was asked.
            decision = self._decide(request)
            if not isinstance(decision, Allow) or self.scanner is None:
                self.settle(flow, decision if isinstance(decision, Refuse) else _BROKEN, "")
                return None
            allow = decision
        self._apply(flow, verdict)
        self._pass(flow, request, allow)
        return None

    async def _ask(self, flow: Any, held: Ask) -> None:
        request = flow.request
        path = target_of(flow)
        if self.scanner is None or self.scanner.hides(path) or any("url path" in text for text in held.texts):
            path = "/(withheld: it holds the secret)"
        gone = functools.partial(flow.metadata.get, "gone")
        why = await self._inbox.ask(self.bottle, request.method, request.host, path, held.texts, gone)
        if why:
            self.settle(flow, Refuse(f"{held.refuse.reason}; {why}", held.refuse.how), "")
            return
        flow.metadata["note"] = f"approved by the operator: {', '.join(held.texts[:3])}"
        self._conclude(flow, held.clean)

    def _apply(self, flow: Any, clean: Clean) -> None:
        """What the scan changed. A body goes as it was scanned, without its encoding, which pipelock would refuse."""
        message = flow.request
        encoded = "content-encoding" in message.headers
        if clean.redacted:
            flow.metadata["note"] = clean.redacted
            message.data.path = clean.request.path.encode("latin-1")
            message.headers.fields = tuple((k.encode("latin-1"), v.encode("latin-1")) for k, v in clean.request.headers)
        if clean.redacted or encoded:
            message.data.content = clean.body
            message.headers.pop("content-encoding", None)
            if "transfer-encoding" not in message.headers and ("content-length" in message.headers or clean.body):
                message.headers["content-length"] = str(len(clean.body))

    def _pass(self, flow: Any, request: Request, allow: Allow) -> None:
        headers = flow.request.headers
        if watched(allow.route):
            # What an answer holds must be seen, by the scan here and by pipelock.
            headers["accept-encoding" if flow.request.is_http2 else "Accept-Encoding"] = "identity"
        if allow.auth:
            name = "authorization" if flow.request.is_http2 else "Authorization"
            headers[name] = f"{allow.auth.scheme} {self.values[allow.auth.slot]}"
        websocket = chain.is_websocket(flow.request)
        chained = self.chained and not websocket
        if self.chained and websocket:
            flow.metadata["note"] = chain.NOT_SEEN
        chain.take(flow, chained)
        reached = [chain.ADDRESS] if chained else []
        self.live.allow(flow.client_conn, flow.id, request, (flow.request.host, flow.request.port), *reached)

    def settle(self, flow: Any, decision: Refuse | Answer, target: str) -> None:
        """Answers the request here, with a line of activity; `target` is "" where the path must not be told."""
        flow.metadata["settled"] = True
        # Without this the agent would be told to send a body that nobody wants.
        flow.request.headers.pop("expect", None)
        request = flow.request
        if isinstance(decision, Answer):
            flow.response = text_response(200, decision.body, "application/json")
            self.line("allow", request.method, request.host, target, "answered by egress", 200)
            return
        flow.response = text_response(decision.status, decision.text)
        self.line("refuse", request.method, request.host, target, f"{decision.reason}; {decision.how}", decision.status)

    def line(self, verdict: Said, method: str, host: str, target: str, reason: str, status: int) -> None:
        """A line of activity, without the values that must not leave."""
        if self.scanner and self.scanner.hides(f"{method} {host} {target} {reason}"):
            method, host, target, reason = "", "", "", "withheld: it holds a secret of the bottle"
        self.log.write(verdict, method, host, target, reason, status)


def target_of(flow: Any) -> str:
    """The path without its query."""
    return str(flow.request.path).partition("?")[0]


def _describe(flow: Any) -> Request:
    data = flow.request.data
    return Request(
        # As it was written: mitmproxy shows it in capitals.
        method=data.method.decode("latin-1"),
        scheme=flow.request.scheme,
        host=flow.request.host,
        port=flow.request.port,
        path=data.path.decode("latin-1"),
        headers=tuple((k.decode("latin-1"), v.decode("latin-1")) for k, v in data.headers.fields),
        authority=data.authority.decode("latin-1"),
        sni=flow.client_conn.sni or "",
    )
