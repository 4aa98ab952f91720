"""mitmproxy glue: turns flows into requests for `decide`, and its decisions into flows. Decides nothing itself."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import functools
import re
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from sidecar_bundle.egress import decide as rules
from sidecar_bundle.egress.activity_log import ActivityLog
from sidecar_bundle.egress.decide import Allow, Answer, Refuse, Request
from sidecar_bundle.egress.exhausted import end_if_exhausted
from sidecar_bundle.egress.stream import error_text, text_response
from sidecar_bundle.shared.activity import Verdict
from sidecar_bundle.shared.routes import Route, find_route

_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?\Z")
_BROKEN = Refuse("the request could not be judged", "tell the operator; the bundle's log says why")


def closed(hook: Callable[[Gate, Any], None]) -> Callable[[Gate, Any], None]:
    """A hook that raises refuses its flow: mitmproxy itself would log the exception and let the flow pass."""

    @functools.wraps(hook)
    def guarded(self: Gate, flow: Any) -> None:
        try:
            hook(self, flow)
        except Exception as error:
            end_if_exhausted(error)
            sys.stderr.write(f"{hook.__name__} failed, refused: {type(error).__name__}\n")
            flow.request.stream = False
            flow.response = text_response(_BROKEN.status, _BROKEN.text)
            flow.metadata["settled"] = True
            self.approved.pop(flow.client_conn, None)

    return guarded


class Gate:
    """Holds one bottle's routes and credentials, and lets a connection upstream pass only after an `Allow`."""

    def __init__(self, log: ActivityLog) -> None:
        self.log = log
        self.bottle = ""
        self.routes: tuple[Route, ...] = ()
        self.values: dict[str, str] = {}
        self.approved: weakref.WeakKeyDictionary[Any, set[tuple[str, int]]] = weakref.WeakKeyDictionary()

    def configure_bottle(self, bottle: str, routes: Sequence[Route]) -> None:
        """New rules for every later request, also on connections that are open."""
        self.bottle, self.routes = bottle, tuple(routes)

    def missing(self) -> list[str]:
        """Slots of routes whose value is not at hand, or cannot stand in a header."""
        slots = {route.auth.slot for route in self.routes if route.auth}
        return sorted(slot for slot in slots if not _VALUE.match(self.values.get(slot, "")))

    def networks(self, host: str) -> Sequence[str] | None:
        """For the dialling loop: what a host's route allows beside public addresses; None without a route."""
        route = find_route(self.routes, host)
        return None if route is None else route.ssrf_ip_allowlist

    @closed
    def http_connect(self, flow: Any) -> None:
        """A tunnel that cannot hold an allowed request is refused; else its requests are judged."""
        request = flow.request
        refused = rules.decide_connect(request.host, request.port)
        if refused:
            self._settle(flow, refused, "")

    @closed
    def requestheaders(self, flow: Any) -> None:
        """The decision, before any byte of the body is read and before any connection upstream."""
        if flow.error:
            # mitmproxy found it malformed and answers itself; the error hook writes the line.
            flow.metadata["malformed"] = True
            return
        request = _describe(flow)
        slots = set(self.values) - set(self.missing())
        decision = rules.decide(self.bottle, self.routes, slots, request)
        if isinstance(decision, Allow):
            self._pass(flow, decision)
        else:
            self._settle(flow, decision, request.bare_path)

    def _pass(self, flow: Any, allow: Allow) -> None:
        headers = flow.request.headers
        for name in allow.strip:
            headers.pop(name, None)
        if allow.auth:
            name = "authorization" if flow.request.is_http2 else "Authorization"
            headers[name] = f"{allow.auth.scheme} {self.values[allow.auth.slot]}"
        flow.request.stream = True
        self.approved.setdefault(flow.client_conn, set()).add((flow.request.host, flow.request.port))

    def _settle(self, flow: Any, decision: Refuse | Answer, target: str) -> None:
        flow.metadata["settled"] = True
        # Without this the agent would be told to send a body that nobody wants.
        flow.request.headers.pop("expect", None)
        request = flow.request
        if isinstance(decision, Answer):
            flow.response = text_response(200, decision.body, "application/json")
            self.log.write("allow", request.method, request.host, target, "answered by egress", 200)
            return
        flow.response = text_response(decision.status, decision.text)
        reason = f"{decision.reason}; {decision.how}"
        self.log.write("refuse", request.method, request.host, target, reason, decision.status)

    def responseheaders(self, flow: Any) -> None:
        """The upstream answers: one line, and the body streams."""
        if flow.metadata.get("settled"):
            return
        flow.response.stream = True
        request = flow.request
        flow.metadata["settled"] = True
        self.log.write("allow", request.method, request.host, _target(flow), "", flow.response.status_code)

    def error(self, flow: Any) -> None:
        """The exchange failed; one line unless it has one."""
        if flow.metadata.get("settled"):
            return
        flow.metadata["settled"] = True
        request = flow.request
        status, text = error_text(400 if flow.metadata.get("malformed") else 502, flow.error.msg, request.host)
        if "client disconnected" in flow.error.msg.lower():
            status, text = 0, "the client went away before the answer"
        reason = text.removeprefix("egress: ").partition(";")[0].strip()
        verdict: Verdict = "refuse" if 400 <= status < 500 else "error"
        self.log.write(verdict, request.method, request.host, _target(flow), reason, status)

    def server_connect(self, data: Any) -> None:
        """The second lock: no connection upstream that no `Allow` asked for, whatever went wrong before."""
        if tuple(data.server.address[:2]) not in self.approved.get(data.client, ()):
            data.server.error = f"address of {data.server.address[0]} refused: no request was allowed to go there"

    def websocket_message(self, flow: Any) -> None:
        """mitmproxy would keep every message for as long as the connection lives."""
        del flow.websocket.messages[:-1]

    def broken(self, host: str, status: int, reason: str) -> None:
        """A line for what failed before there was a request to judge."""
        self.log.write("refuse", "", host, "", reason, status)

    def tls_failed_client(self, data: Any) -> None:
        """A tool inside that does not trust the bottle's CA never gets to a request; the operator sees why."""
        address = data.context.server.address
        host = data.conn.sni or (address[0] if address else "")
        self.log.write("error", "CONNECT", str(host), "", "the client ended the TLS handshake: does it trust the CA?")


def _target(flow: Any) -> str:
    return str(flow.request.path).partition("?")[0]


def _describe(flow: Any) -> Request:
    data = flow.request.data
    return Request(
        method=flow.request.method,
        scheme=flow.request.scheme,
        host=flow.request.host,
        port=flow.request.port,
        path=data.path.decode("latin-1"),
        headers=tuple((k.decode("latin-1"), v.decode("latin-1")) for k, v in data.headers.fields),
        authority=data.authority.decode("latin-1"),
        sni=flow.client_conn.sni or "",
    )
