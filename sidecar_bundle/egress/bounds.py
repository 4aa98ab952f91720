"""Bounds on what mitmproxy would gather whole, however large: a WebSocket message, a TLS client hello."""

# mypy: disable-error-code="misc,no-any-return,import-not-found,method-assign"
from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import Any

from mitmproxy.proxy import commands
from mitmproxy.proxy.layers import tls, websocket
from wsproto import ConnectionState
from wsproto.events import CloseConnection

from sidecar_bundle.egress.pace import Report, host_of

MAX_MESSAGE = 16 * 1024 * 1024
MAX_FRAGMENTS = 4096
MAX_HELLO = 64 * 1024


class WebSocket(websocket.WebsocketLayer):
    """Ends the connection when one message, which is passed on when it is whole, grows too large."""

    report: Report

    def start(self, event: Any) -> Iterator[Any]:
        """As mitmproxy's; what the agent puts into pings and the like is looked at as messages are."""
        yield from super().start(event)
        control, given = self.flow.metadata.get("control"), self.client_ws.events

        def screened() -> Iterator[Any]:
            for one in given():
                data = bytes(getattr(one, "payload", b"")) or (getattr(one, "reason", None) or "").encode()
                if data and not control(data):
                    self.flow.metadata["ended"] = True
                    return
                yield one

        if control:
            self.client_ws.events = screened

    _handle_event = start

    def relay_messages(self, event: Any) -> Iterator[Any]:
        """As mitmproxy's, until a message must not pass: then both sides are told and the connection ends."""
        relay = super().relay_messages(event)
        reply: Any = None
        with contextlib.suppress(StopIteration):
            while not self.flow.metadata.get("ended"):
                reply = yield relay.send(reply)
        if self.flow.metadata.get("ended"):
            relay.close()
            policy = CloseConnection(1008, "a message was refused")
            for side in (self.server_ws, self.client_ws):
                if side.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
                    yield side.send2(policy)
                yield commands.CloseConnection(side.conn)
            yield websocket.WebsocketEndHook(self.flow)
            self.flow.live = False
            self._handle_event = self.done
            return
        for side in (self.client_ws, self.server_ws):
            fragments = side.frame_buf
            if len(fragments) > MAX_FRAGMENTS or sum(map(len, fragments)) > MAX_MESSAGE:
                fragments[:] = [b""]
                why = f"a WebSocket message of more than {MAX_MESSAGE >> 20} MiB or {MAX_FRAGMENTS} fragments"
                type(self).report(self.flow.request.host, 0, f"the connection was ended: {why}")
                self._handle_event = self.done
                yield commands.CloseConnection(self.context.server)
                yield commands.CloseConnection(self.context.client)
                return


def install(report: Report) -> None:
    """Puts the bounds in place; `report` takes host, status and reason for the activity log."""
    WebSocket.report = staticmethod(report)
    websocket.WebsocketLayer = WebSocket
    receive = tls.ClientTLSLayer.receive_handshake_data

    def receive_handshake_data(self: Any, data: bytes) -> Generator[Any, Any, Any]:
        if not self.client_hello_parsed and len(self.recv_buffer) + len(data) > MAX_HELLO:
            report(host_of(self), 0, f"the connection was ended: a TLS hello of more than {MAX_HELLO >> 10} KiB")
            return False, "connection closed early"
        return (yield from receive(self, data))

    tls.ClientTLSLayer.receive_handshake_data = receive_handshake_data
