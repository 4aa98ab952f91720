"""HTTP/1 as egress speaks it: bounded heads, no trailers, and a line of activity for what cannot be parsed."""

# mypy: disable-error-code="misc,no-any-return"
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import RequestProtocolError, ResponseProtocolError

from sidecar_bundle.egress.pace import MAX_HEAD, Congestion, Report, hold, host_of

h11 = _http1.h11

BODY = "malformed body: "
TRAILERS = "trailers are not supported"
_TOO_LARGE = f"more than {MAX_HEAD // 1024} KiB of head"


class _Body:
    """A body reader that refuses trailers, or leaves them out."""

    def __init__(self, reader: Callable[[Any], Any], refuse: bool) -> None:
        self.reader, self._refuse = reader, refuse

    def __call__(self, data: Any) -> Any:
        event = self.reader(data)
        if isinstance(event, h11.EndOfMessage) and event.headers:
            if self._refuse:
                raise h11.RemoteProtocolError(TRAILERS)
            return h11.EndOfMessage()
        return event

    def read_eof(self) -> Any:
        return self.reader.read_eof()  # type: ignore[attr-defined]


class _Bounded:
    """Mixed into both ends' HTTP/1: heeds congestion, and bounds what is kept unparsed."""

    is_request: bool
    stopped: frozenset[str] = frozenset()
    body_reader: Any
    buf: Any
    conn: Any
    state: Any

    def _handle_event(self, event: Any) -> Iterator[Any]:
        if isinstance(event, Congestion):
            self.stopped = self.stopped | {event.why} if event.on else self.stopped - {event.why}
            hold(self.conn, bool(self.stopped))
            return
        yield from super()._handle_event(event)
        if len(self.buf) > MAX_HEAD:
            self.buf = type(self.buf)()
            yield from self._too_large()

    def _too_large(self) -> Iterator[Any]:
        raise NotImplementedError

    def mark_done(self, *, request: bool = False, response: bool = False) -> Iterator[Any]:
        """As mitmproxy's; whoever has been read to the end need not wait any longer."""
        if response or (request and self.is_request):
            self.stopped = frozenset()
            hold(self.conn, False)
        yield from super().mark_done(request=request, response=response)

    def read_body(self, event: Any) -> Iterator[Any]:
        """As mitmproxy's, which fails on trailers."""
        if not isinstance(self.body_reader, _Body):
            self.body_reader = _Body(self.body_reader, self.is_request)
        yield from super().read_body(event)


class Http1Server(_Bounded, _http1.Http1Server):
    """The agent's HTTP/1 connection."""

    is_request = True
    report: Report

    def _too_large(self) -> Iterator[Any]:
        type(self).report(host_of(self), 431, f"the request is malformed: {_TOO_LARGE}")
        if self.state == self.read_headers:
            yield commands.SendData(self.conn, _http1.make_error_response(431, _TOO_LARGE))
        self.state = self.done
        yield commands.CloseConnection(self.conn)

    def read_headers(self, event: Any) -> Iterator[Any]:
        """As mitmproxy's, with a line for a head of which nothing can be said but that it is wrong."""
        yield from super().read_headers(event)
        if self.state == self.done and self.request is None and isinstance(event, events.DataReceived):
            type(self).report(host_of(self), 400, "the request is malformed: its first line or a header is no HTTP")

    def read_body(self, event: Any) -> Iterator[Any]:
        """As mitmproxy's, but a broken body is answered before the connection closes."""
        closing = []
        for command in super().read_body(event):
            if isinstance(command, commands.CloseConnection):
                closing.append(command)
                continue
            error = command.event if isinstance(command, ReceiveHttp) else None
            if isinstance(error, RequestProtocolError) and isinstance(event, events.DataReceived):
                error.message = BODY + error.message.removeprefix("HTTP/1 protocol error: ")
                if self.response is None:
                    # The answer says "Connection: close".
                    closing.clear()
                    self.request_done, self.state = True, self.wait
            yield command
        yield from closing


class Http1Client(_Bounded, _http1.Http1Client):
    """An upstream's HTTP/1 connection."""

    is_request = False

    def _too_large(self) -> Iterator[Any]:
        self.state = self.done
        yield commands.CloseConnection(self.conn)
        if self.stream_id is not None:
            code = ResponseProtocolError.code
            yield ReceiveHttp(ResponseProtocolError(self.stream_id, f"the answer holds {_TOO_LARGE}", code))
