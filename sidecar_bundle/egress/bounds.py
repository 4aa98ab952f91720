"""Bounds on what mitmproxy would gather whole, however large: a WebSocket message, a TLS client hello."""

# mypy: disable-error-code="misc,no-any-return"
from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from mitmproxy.proxy import commands
from mitmproxy.proxy.layers import tls, websocket

from sidecar_bundle.egress.pace import Report, host_of

MAX_MESSAGE = 16 * 1024 * 1024
MAX_FRAGMENTS = 4096
MAX_HELLO = 64 * 1024


class WebSocket(websocket.WebsocketLayer):
    """Ends the connection when one message, which is passed on when it is whole, grows too large."""

    report: Report

    def relay_messages(self, event: Any) -> Iterator[Any]:
        """As mitmproxy's."""
        yield from super().relay_messages(event)
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
