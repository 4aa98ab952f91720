"""Back-pressure for HTTP/2, which mitmproxy lacks: what cannot be sent on makes its source wait, and is bounded."""

# mypy: disable-error-code="misc,no-any-return"
from __future__ import annotations

import asyncio
import weakref
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mitmproxy.proxy import commands, server
from mitmproxy.proxy.layers.http import _http2
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import ResponseEndOfMessage

h2 = _http2.h2

# Bytes. A stream that holds more stops its source; all connections together hold less than the total.
STREAM_HELD = 1024 * 1024
TOTAL_HELD = 128 * 1024 * 1024
CLIENT_WINDOW = 512 * 1024
UPSTREAM_WINDOW = 4 * 1024 * 1024
MAX_HEAD = 256 * 1024
# What a small piece costs beside its bytes.
_PIECE = 128

Report = Callable[[str, int, str], None]


@dataclass
class Congestion(HttpEvent):
    """Tells the other side of an exchange to read no more of it (`on`), or to go on. `why` keeps causes apart."""

    on: bool
    why: str
    from_client: bool


class _Queue(deque[Any]):
    """A stream's unsent pieces, with their size at hand."""

    size = 0

    def append(self, piece: Any) -> None:
        self.size += len(piece.data) + _PIECE
        super().append(piece)

    def appendleft(self, piece: Any) -> None:
        self.size += len(piece.data) + _PIECE
        super().appendleft(piece)

    def popleft(self) -> Any:
        piece = super().popleft()
        self.size -= len(piece.data) + _PIECE
        return piece


_held: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


class _Paced:
    """Mixed into both ends' HTTP/2: reports what it cannot send, and heeds what the other end reports.

    A congested stream's data is not acknowledged, so that its peer's window closes; the others flow on.
    """

    from_client: bool
    window: int
    h2_conn: Any
    conn: Any
    done: Any
    _handle_event: Any
    protocol_error: Callable[..., Iterator[Any]]

    def _pace(self) -> None:
        self.full: set[int] = set()
        self.stopped: defaultdict[int, set[str]] = defaultdict(set)
        self.owed: defaultdict[int, int] = defaultdict(int)
        self.h2_conn.stream_buffers = defaultdict(_Queue)
        self.h2_conn.local_settings.initial_window_size = self.window
        self.h2_conn.local_settings.acknowledge()
        self._acknowledge = self.h2_conn.acknowledge_received_data
        self.h2_conn.acknowledge_received_data = self._owe

    def _owe(self, size: int, stream_id: int) -> None:
        if stream_id in self.stopped:
            self.owed[stream_id] += size
        else:
            self._acknowledge(size, stream_id)

    def _pay(self, stream_id: int) -> None:
        self.stopped.pop(stream_id, None)
        if size := self.owed.pop(stream_id, 0):
            self._acknowledge(size, stream_id)

    def _paced(self, event: Any, handle: Callable[[Any], Iterator[Any]]) -> Iterator[Any]:
        if isinstance(event, Congestion):
            causes = self.stopped[event.stream_id]
            (causes.add if event.on else causes.discard)(event.why)
            if not causes:
                self._pay(event.stream_id)
                if data := self.h2_conn.data_to_send():
                    yield commands.SendData(self.conn, data)
            return
        yield from handle(event)
        if self._handle_event == self.done:
            self.h2_conn.stream_buffers.clear()
        yield from self._tell()

    def _tell(self) -> Iterator[Any]:
        sizes = {stream_id: queue.size for stream_id, queue in self.h2_conn.stream_buffers.items()}
        for stream_id in [i for i, size in sizes.items() if size > STREAM_HELD and i not in self.full]:
            self.full.add(stream_id)
            yield ReceiveHttp(Congestion(stream_id, True, "window", self.from_client))
        for stream_id in [i for i in self.full if sizes.get(i, 0) <= STREAM_HELD // 2]:
            self.full.discard(stream_id)
            yield ReceiveHttp(Congestion(stream_id, False, "window", self.from_client))
        size = sum(sizes.values())
        if not size:
            _held.pop(self, None)
            return
        _held[self] = size
        # The one that grows goes, unless others hold nearly all of it.
        if size > TOTAL_HELD // 128 and sum(_held.values()) > TOTAL_HELD:
            self.h2_conn.stream_buffers.clear()
            _held.pop(self, None)
            yield from self.protocol_error("too much unread data", h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)

    def handle_h2_event(self, event: Any) -> Iterator[Any]:
        """As mitmproxy's; at a stream's end nothing is owed any more."""
        if isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
            self._pay(event.stream_id)
        return (yield from super().handle_h2_event(event))


class Http2Server(_Paced, _http2.Http2Server):
    """The agent's HTTP/2 connection: its header blocks are bounded, and breaking the protocol leaves a line."""

    from_client = True
    window = CLIENT_WINDOW
    report: Report

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._pace()

    def _handle_event(self, event: Any) -> Iterator[Any]:
        if isinstance(event, ResponseEndOfMessage) and (stream := self.h2_conn.streams.get(event.stream_id)):
            # Who has the whole answer may cut its body short (curl does); h2 would end the connection for that.
            stream._expected_content_length = None
        yield from self._paced(event, super()._handle_event)
        frames = self.h2_conn.incoming_buffer._headers_buffer
        if frames and sum(len(frame.data) for frame in frames) > MAX_HEAD:
            frames.clear()
            calm = h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
            yield from self.protocol_error(f"a header block is larger than {MAX_HEAD // 1024} KiB", calm)

    def protocol_error(self, message: str, error_code: int = h2.errors.ErrorCodes.PROTOCOL_ERROR) -> Iterator[Any]:
        """As mitmproxy's, with an activity line; its own messages may quote the request, so they are not in it."""
        calm = error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
        why = message if calm else "the agent broke the protocol"
        type(self).report(host_of(self), 0, f"the HTTP/2 connection was ended: {why}")
        yield from super().protocol_error(message, error_code)


class Http2Client(_Paced, _http2.Http2Client):
    """An upstream's HTTP/2 connection; a stream that waits for its turn there makes the agent wait."""

    from_client = False
    window = UPSTREAM_WINDOW

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.waiting: set[int] = set()
        self._pace()

    def _handle_event(self, event: Any) -> Iterator[Any]:
        yield from super()._handle_event(event)
        queued = set(self.stream_queue)
        changed, self.waiting = queued ^ self.waiting, queued
        for stream_id in changed:
            yield ReceiveHttp(Congestion(stream_id, stream_id in queued, "turn", False))

    # Here stream numbers are the upstream's, as in all that `_Paced` counts.
    def _handle_event2(self, event: Any) -> Iterator[Any]:
        yield from self._paced(event, super()._handle_event2)


def host_of(layer: Any) -> str:
    """The host of the tunnel that a layer is in, or ""."""
    address = layer.context.server.address
    return str(address[0]) if address else ""


_gates: weakref.WeakKeyDictionary[Any, asyncio.Event] = weakref.WeakKeyDictionary()


_outer: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def carried(inner: Any, outer: Any) -> None:
    """A connection inside a tunnel: to hold it is to hold the one that carries it."""
    _outer[inner] = outer


def hold(connection: Any, on: bool) -> None:
    """Stops or resumes all reading from a connection: for HTTP/1, which carries one exchange at a time."""
    connection = _outer.get(connection, connection)
    if on or connection in _gates:
        gate = _gates.setdefault(connection, asyncio.Event())
        (gate.clear if on else gate.set)()


class _Reader:
    def __init__(self, reader: Any, connection: Any) -> None:
        self._reader, self._connection = reader, connection

    async def read(self, size: int) -> bytes:
        if gate := _gates.get(self._connection):
            await gate.wait()
        return await self._reader.read(size)


def install(report: Report) -> None:
    """Makes mitmproxy's readers wait at `hold`; `report` takes host, status and reason for the activity log."""
    Http2Server.report = staticmethod(report)
    handle = server.ConnectionHandler.handle_connection

    async def handle_connection(self: Any, connection: Any) -> None:
        self.transports[connection].reader = _Reader(self.transports[connection].reader, connection)
        await handle(self, connection)

    server.ConnectionHandler.handle_connection = handle_connection
