"""How one HTTP exchange differs from mitmproxy's own: refusals at once, no trailers, errors as one line of text."""

# mypy: disable-error-code="misc,no-any-return"
from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from mitmproxy import http
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import _http1, _http2
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)

from sidecar_bundle.egress import bounds, chain, http1, pace
from sidecar_bundle.egress.chain import HOW, SAYS
from sidecar_bundle.egress.decide import shown
from sidecar_bundle.egress.held import PIECE, Held, RoomHook
from sidecar_bundle.egress.http1 import BODY, TRAILERS
from sidecar_bundle.egress.pace import STREAM_HELD, Congestion, Report

REFUSED = "address of "


def error_text(status: int, message: str, host: str = "") -> tuple[int, str]:
    """The status and the one-line body for an error of mitmproxy's own making, which it would answer with `status`."""
    line = shown(" ".join(message.partition(", refusing to prevent")[0].split()), 400).rstrip(".")
    if line.startswith(REFUSED):
        return 403, f"egress: {line}; ask the operator to add the network under ssrf_ip_allowlist\n"
    if line.startswith(SAYS):
        # A refused tunnel says so; all else is pipelock being down or unwell.
        how = HOW if "blocked" in line else "try again, or tell the operator"
        return 403 if "blocked" in line else 502, f"{line}; {how}\n"
    if line.startswith(BODY):
        status, line = 400, line.removeprefix(BODY)
    if status < 500:
        return status, f"egress: the request is malformed: {line}; send a plain HTTP request\n"
    return status, f"egress: host {host or 'upstream'} cannot be reached: {line}; try again, or tell the operator\n"


def text_response(status: int, text: str, content_type: str = "text/plain; charset=utf-8") -> Any:
    """A whole response that no cache keeps."""
    headers = {"Content-Type": content_type, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return http.Response.make(status, text, headers)


def _status(code: Any) -> int | None:
    # mitmproxy 12 has an enumeration with a method, 11 plain numbers of which 444 means "no answer".
    if hasattr(code, "http_status_code"):
        return code.http_status_code()
    return None if code == 444 else int(code)


class Stream(http_layers.HttpStream):
    """One exchange. A refused upload is never buffered, and no error page is HTML."""

    answered = False
    kept = False
    congested = False
    # The head of an answer whose first bytes are still to be looked at.
    head: Any = None

    def __init__(self, context: Any, stream_id: int) -> None:
        super().__init__(context, stream_id)
        self.request_body_buf = Held()
        self.flowing = asyncio.Event()

    def handle_event(self, event: Any) -> Iterator[Any]:
        """As mitmproxy's; passes congestion to the other side, and reports what waits for a connection upstream."""
        if isinstance(event, RequestProtocolError) and hasattr(self, "flow"):
            self.flow.metadata["gone"] = True
        if isinstance(event, Congestion | ResponseProtocolError):
            self.congested = isinstance(event, Congestion) and event.on and not event.from_client
            if not self.congested:
                self.flowing.set()
        if isinstance(event, Congestion):
            other = self.context.server if event.from_client else self.context.client
            if other in self.context.layers[self.context.layers.index(self) - 1].connections:
                yield http_layers.SendHttp(event, other)
            return
        yield from super().handle_event(event)
        waiting = self._paused_event_queue if self._paused else ()
        kept = sum(len(e.data) for e in waiting if isinstance(e, RequestData | ResponseData)) > STREAM_HELD
        if kept != self.kept:
            self.kept = kept
            yield http_layers.SendHttp(Congestion(self.stream_id, kept, "connection", False), self.context.client)
            if self.context.server in self.context.layers[self.context.layers.index(self) - 1].connections:
                yield http_layers.SendHttp(Congestion(self.stream_id, kept, "connection", True), self.context.server)

    def state_wait_for_request_headers(self, event: Any) -> Iterator[Any]:
        """After the headers' hook: when it set the answer, send that now; the body drains unheard."""
        yield from super().state_wait_for_request_headers(event)
        if self.client_state == self.state_consume_request_body and self.flow.response and not event.end_stream:
            yield from self.state_consume_request_body(RequestEndOfMessage(self.stream_id))

    def state_consume_request_body(self, event: Any) -> Iterator[Any]:
        """As mitmproxy's, within bounds: what is too large is answered at once, and its rest drains unheard."""
        if isinstance(event, RequestData) and (status := self.request_body_buf.excess(len(event.data))):
            self.flow.metadata["excess"] = status
            self.request_body_buf.clear()
            event = RequestEndOfMessage(self.stream_id)
        yield from super().state_consume_request_body(event)

    def _handle_event(self, event: Any) -> Iterator[Any]:
        try:
            yield from self._handle(event)
        finally:
            over = self.client_state in (self.state_done, self.state_errored)
            if over or isinstance(event, RequestProtocolError):
                self.request_body_buf.release()

    def _send_pieces(self, data: bytes, server: Any) -> Iterator[Any]:
        self.flow.request.data.content = None
        for start in range(0, len(data), PIECE):
            if start:
                yield RoomHook(self)
            yield http_layers.SendHttp(RequestData(self.stream_id, data[start : start + PIECE]), server)

    def _watched(self, command: Any) -> Iterator[Any]:
        """What of an answer to pass on: all of it, unless what it carries says otherwise."""
        event, watch = command.event, self.flow.metadata.get("watch")
        if isinstance(event, ResponseHeaders) and (text := self.flow.metadata.get("cut")):
            yield from self._cut(text)
            return
        if isinstance(event, ResponseHeaders) and watch and event.response.status_code >= 200 and not event.end_stream:
            size = event.response.headers.get("content-length", "0")
            coming = any(isinstance(e, ResponseData) for e in self._paused_event_queue)
            if coming or (size.isdecimal() and int(size)):
                self.head = command
                return
        if isinstance(event, ResponseData) and watch and (text := watch(event.data)):
            yield from self._cut(text)
            return
        if isinstance(event, ResponseTrailers) and watch:
            told = b"\n".join(b"%s: %s" % pair for pair in event.trailers.fields)
            if text := watch(told + b"\n"):
                yield from self._cut(text)
                return
        if self.head:
            yield self.head
            self.head, self.answered = None, True
        if isinstance(event, ResponseHeaders) and event.response.status_code >= 200:
            self.answered = True
        yield command

    def _cut(self, text: str) -> Iterator[Any]:
        self.head = None
        if self.answered:
            error = ResponseProtocolError(self.stream_id, text, ResponseProtocolError.code)
            yield http_layers.SendHttp(error, self.context.client)
        else:
            yield from self._respond(text_response(502, text))
        yield http_layers.SendHttp(RequestProtocolError(self.stream_id, "cut"), self.context.server)
        self.flow.live = False
        self.client_state = self.server_state = self.state_errored
        yield http_layers.DropStream(self.stream_id)

    def _handle(self, event: Any) -> Iterator[Any]:
        if isinstance(event, RequestData | RequestTrailers | RequestEndOfMessage) and (
            self.client_state == self.state_done
        ):
            # The rest of a request that was answered already; mitmproxy would end the connection, with all streams.
            return
        if isinstance(event, RequestTrailers):
            # They come after the decision, and could hold what a header must not.
            event = RequestProtocolError(event.stream_id, BODY + TRAILERS, RequestProtocolError.code)
        if isinstance(event, RequestProtocolError) and event.message.startswith(BODY) and not self.answered:
            yield from self._say(400, event.message)
        events = super()._handle_event(event)
        reply: Any = None
        while True:
            try:
                command = events.send(reply)
            except StopIteration:
                return
            reply = None
            if isinstance(command, http_layers.SendHttp) and isinstance(command.event, RequestHeaders):
                _frame(command.event, command.connection)
            elif isinstance(command, http_layers.SendHttp) and command.connection == self.context.client:
                if isinstance(command.event, ResponseProtocolError) and not self.answered:
                    status, message = _status(command.event.code), command.event.message
                    if self.flow.error and self.flow.error.msg.startswith(BODY):
                        status, message = 400, self.flow.error.msg
                    if status is not None:
                        yield from self._say(status, message)
                        continue
                if isinstance(command.event, ResponseTrailers) and not self.flow.request.is_http2:
                    continue
                if isinstance(command.event, ResponseData) and self.flow.request.method == "HEAD":
                    continue
                yield from self._watched(command)
                if self.server_state == self.state_errored and not isinstance(command.event, ResponseProtocolError):
                    events.close()
                    return
                continue
            elif isinstance(command, http_layers.SendHttp) and isinstance(command.event, RequestData):
                yield from self._send_pieces(command.event.data, command.connection)
                continue
            reply = yield command

    def _say(self, status: int, message: str) -> Iterator[Any]:
        yield from self._respond(text_response(*error_text(status, message, self.flow.request.host)))

    def _respond(self, response: Any) -> Iterator[Any]:
        if not (self.flow.request.is_http2 or self.flow.request.is_http3):
            response.headers["Connection"] = "close"
        self.answered = True
        client, stream = self.context.client, self.stream_id
        yield http_layers.SendHttp(ResponseHeaders(stream, response, False), client)
        yield http_layers.SendHttp(ResponseData(stream, response.raw_content), client)
        yield http_layers.SendHttp(ResponseEndOfMessage(stream), client)


def _frame(event: Any, server: Any) -> None:
    # An HTTP/2 body needs no length, but HTTP/1 does: without one the upstream would read a streamed body as the
    # next request, which nobody has judged.
    headers = event.request.headers
    if server.alpn != b"h2" and not event.end_stream and "content-length" not in headers:
        headers["Transfer-Encoding"] = "chunked"


def _plain_error(status_code: Any, message: str = "") -> bytes:
    status, line = error_text(int(status_code), message)
    body = line.encode()
    head = f"HTTP/1.1 {status} Refused\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def install(report: Report) -> None:
    """Puts the exchange above, and plain texts for what fails before there is one, in mitmproxy's place.

    `report` takes host, status and reason of what fails without an exchange, for the activity log.
    """
    http_layers.HttpStream = Stream
    http_layers.Http1Server, http_layers.Http1Client = http1.Http1Server, http1.Http1Client
    http_layers.Http2Server, http_layers.Http2Client = pace.Http2Server, pace.Http2Client
    http1.Http1Server.report = staticmethod(report)
    pace.install(report)
    bounds.install(report)
    chain.install()
    _http1.make_error_response = _plain_error
    _http2.format_error = lambda status_code, message: error_text(int(status_code), message)[1].encode()
