"""How one HTTP exchange differs from mitmproxy's own: refusals at once, no trailers, errors as one line of text."""

# mypy: disable-error-code="misc,no-any-return"
from __future__ import annotations

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

from sidecar_bundle.egress import bounds, http1, pace
from sidecar_bundle.egress.decide import shown
from sidecar_bundle.egress.http1 import BODY, TRAILERS
from sidecar_bundle.egress.pace import STREAM_HELD, Congestion, Report

REFUSED = "address of "


def error_text(status: int, message: str, host: str = "") -> tuple[int, str]:
    """The status and the one-line body for an error of mitmproxy's own making, which it would answer with `status`."""
    line = shown(" ".join(message.partition(", refusing to prevent")[0].split()), 400).rstrip(".")
    if line.startswith(REFUSED):
        return 403, f"egress: {line}; ask the operator to add the network under ssrf_ip_allowlist\n"
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

    def handle_event(self, event: Any) -> Iterator[Any]:
        """As mitmproxy's; passes congestion to the other side, and reports what waits for a connection upstream."""
        if isinstance(event, Congestion):
            other = self.context.server if event.from_client else self.context.client
            if other in self.context.layers[self.context.layers.index(self) - 1].connections:
                yield http_layers.SendHttp(event, other)
            return
        yield from super().handle_event(event)
        waiting = [e for e in self._paused_event_queue if isinstance(e, RequestData)] if self._paused else []
        kept = sum(len(e.data) for e in waiting) > STREAM_HELD
        if kept != self.kept:
            self.kept = kept
            yield http_layers.SendHttp(Congestion(self.stream_id, kept, "connection", False), self.context.client)

    def state_wait_for_request_headers(self, event: Any) -> Iterator[Any]:
        """After the headers' hook: when it set the answer, send that now; the body drains unheard."""
        yield from super().state_wait_for_request_headers(event)
        if self.client_state == self.state_consume_request_body and self.flow.response and not event.end_stream:
            yield from self.state_consume_request_body(RequestEndOfMessage(self.stream_id))

    def _handle_event(self, event: Any) -> Iterator[Any]:
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
                if isinstance(command.event, ResponseHeaders) and command.event.response.status_code >= 200:
                    self.answered = True
            reply = yield command

    def _say(self, status: int, message: str) -> Iterator[Any]:
        response = text_response(*error_text(status, message, self.flow.request.host))
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
    _http1.make_error_response = _plain_error
    _http2.format_error = lambda status_code, message: error_text(int(status_code), message)[1].encode()
