"""mitmproxy glue for answers, WebSockets and connections: what comes back is watched, what fails is told."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from sidecar_bundle.egress import chain, encoded
from sidecar_bundle.egress.addon import Gate, target_of
from sidecar_bundle.egress.decide import decide_body
from sidecar_bundle.egress.exhausted import end_if_exhausted
from sidecar_bundle.egress.scan import instructed, watched
from sidecar_bundle.egress.stream import error_text, text_response
from sidecar_bundle.shared.activity import Verdict

_TAIL = 4096
_CUT = "it holds the secret, which no answer may bring back"
_INSTRUCTED = "the route has prompt_injection: block; tell the operator if the text is harmless"


class Answers:
    """What happens after `gate` has let a request pass. `handler` finds mitmproxy's handler of a client."""

    def __init__(self, gate: Gate, handler: Callable[[Any], Any]) -> None:
        self._gate = gate
        self._handler = handler

    def responseheaders(self, flow: Any) -> None:
        """The upstream answers: one line, and the body streams; what may be pipelock's own words is read first."""
        if flow.metadata.get("settled"):
            return
        flow.response.stream = False
        try:
            if flow.server_conn.via and chain.may_speak(flow.response):
                return
            self._accept(flow)
        except Exception as error:
            end_if_exhausted(error)
            sys.stderr.write(f"responseheaders failed, cut: {type(error).__name__}\n")
            flow.metadata["cut"] = "egress: the answer could not be judged; tell the operator\n"

    def _accept(self, flow: Any) -> None:
        flow.response.stream = True
        flow.metadata["settled"] = True
        scanner, (_, allow, _) = self._gate.scanner, flow.metadata["allowed"]
        if watched(allow.route):
            assert scanner is not None
            watch = scanner.watch(functools.partial(self._found, flow))
            fields = [(b"", flow.response.data.reason), *flow.response.headers.fields]
            head = b"\n".join(b"%s: %s" % pair for pair in fields)
            if text := watch(head + b"\n"):
                flow.metadata["cut"] = text
                return
            if (mode := allow.route.prompt_injection) != "off":
                watch = _both(watch, instructed(functools.partial(self._instructed, flow, mode)))
            codings = ",".join(flow.response.headers.get_all("content-encoding"))
            flow.metadata["watch"] = encoded.plainly(watch, codings, functools.partial(self._said, flow))
            if flow.response.status_code == 101 and (allow.route.dlp != "off" or allow.route.auth):
                flow.metadata["control"] = functools.partial(self._control, flow)
        request, note = flow.request, flow.metadata.get("note", "")
        self._gate.line("allow", request.method, request.host, target_of(flow), note, flow.response.status_code)

    def _found(self, flow: Any, what: str) -> str:
        return self._said(flow, f"it carries {what}", _CUT)

    def _instructed(self, flow: Any, mode: str, why: str) -> str:
        if mode == "block":
            return self._said(flow, why, _INSTRUCTED)
        request, reason = flow.request, f"the answer may be a prompt injection: {why}"
        self._gate.line("allow", request.method, request.host, target_of(flow), reason, flow.response.status_code)
        return ""

    def _said(self, flow: Any, why: str, how: str) -> str:
        reason = f"the answer of {flow.request.host} was cut: {why}"
        self._gate.line("refuse", flow.request.method, flow.request.host, target_of(flow), reason, 502)
        return f"egress: {reason}; {how}\n"

    def response(self, flow: Any) -> None:
        """The answer is complete. One that was read first is passed on, or said to be pipelock's."""
        if flow.metadata.get("settled"):
            self._over(flow)
            return
        if text := chain.spoken(flow.response):
            flow.metadata["settled"] = True
            status = flow.response.status_code
            flow.response = text_response(status, f"{chain.SAYS}{text}; {chain.HOW}\n")
            request = flow.request
            self._gate.line("refuse", request.method, request.host, target_of(flow), chain.SAYS + text, status)
        else:
            self._accept(flow)
        self._over(flow)

    def _over(self, flow: Any) -> None:
        if not flow.websocket:
            self._gate.live.over(flow.client_conn, flow.id)

    def error(self, flow: Any) -> None:
        """The exchange failed; one line unless it has one."""
        self._gate.live.over(flow.client_conn, flow.id)
        if flow.metadata.get("settled"):
            return
        flow.metadata["settled"] = True
        request = flow.request
        status, text = error_text(400 if flow.metadata.get("malformed") else 502, flow.error.msg, request.host)
        if "client disconnected" in flow.error.msg.lower():
            status, text = 0, "the client went away before the answer"
        reason = text.removeprefix("egress: ").partition(";")[0].strip()
        verdict: Verdict = "refuse" if 400 <= status < 500 else "error"
        self._gate.line(verdict, request.method, request.host, target_of(flow), reason, status)

    def server_connect(self, data: Any) -> None:
        """The second lock: no connection upstream that no `Allow` asked for, whatever went wrong before."""
        if not self._gate.live.may_dial(data.client, tuple(data.server.address[:2])):
            data.server.error = f"address of {data.server.address[0]} refused: no request was allowed to go there"

    def client_disconnected(self, client: Any) -> None:
        """Nothing of it is under way any more."""
        self._gate.live.forget(client)

    async def room(self, stream: Any) -> None:
        """Returns when what was sent upstream has left, or cannot leave any more."""
        if handler := self._handler(stream.context.client):
            await handler.drain_writers()
        while stream.congested:
            stream.flowing.clear()
            await stream.flowing.wait()

    def websocket_message(self, flow: Any) -> None:
        """Each message is scanned before it goes on; mitmproxy would keep all for as long as the connection lives."""
        message = flow.websocket.messages[-1]
        del flow.websocket.messages[:-1]
        if "watch" not in flow.metadata:
            return
        try:
            if message.from_client:
                passed = "control" not in flow.metadata or self._control(flow, message.content)
            else:
                passed = not flow.metadata["watch"](message.content)
        except Exception as error:
            end_if_exhausted(error)
            sys.stderr.write(f"websocket_message failed, closed: {type(error).__name__}\n")
            passed = False
        if not passed:
            message.drop()
            flow.metadata["ended"] = True

    def _control(self, flow: Any, data: bytes) -> bool:
        """Whether these bytes of the agent may pass on a WebSocket."""
        tail, route, why = flow.metadata.get("tail", b""), flow.metadata["allowed"][1].route, ""
        if route.dlp != "off":
            scanner = self._gate.scanner
            why = scanner.message(data, tail) if scanner else "what cannot be scanned"
            flow.metadata["tail"] = (tail + data)[-_TAIL:]
        if not why and (foreign := decide_body(route, "", data)):
            why = foreign.reason
        if why:
            reason = f"the WebSocket was closed: a message of the agent carries {why}"
            self._gate.line("refuse", "", flow.request.host, target_of(flow), reason, 0)
        return not why

    def websocket_end(self, flow: Any) -> None:
        """The connection is over."""
        self._gate.live.over(flow.client_conn, flow.id)

    def broken(self, host: str, status: int, reason: str) -> None:
        """A line for what failed before there was a request to judge."""
        self._gate.line("refuse", "", host, "", reason, status)

    def tls_failed_client(self, data: Any) -> None:
        """A tool inside that does not trust the bottle's CA never gets to a request; the operator sees why."""
        address = data.context.server.address
        host = data.conn.sni or (address[0] if address else "")
        reason = "the client ended the TLS handshake: does it trust the CA?"
        self._gate.line("error", "CONNECT", str(host), "", reason, 0)


def _both(first: Callable[[bytes], str], second: Callable[[bytes], str]) -> Callable[[bytes], str]:
    return lambda data: first(data) or second(data)
