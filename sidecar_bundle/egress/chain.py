"""The hop to pipelock: which requests take it, whom egress trusts behind it, and what its refusals say."""

# mypy: disable-error-code="misc,no-any-return"
from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from mitmproxy import connection
from mitmproxy.net.http import http1
from mitmproxy.proxy.layers.http import _upstream_proxy

from sidecar_bundle.egress import pace
from sidecar_bundle.egress.decide import shown
from sidecar_bundle.shared.layout import PIPELOCK_PORT

ADDRESS = ("127.0.0.1", PIPELOCK_PORT)
VIA = ("http", ADDRESS)
SAYS = "pipelock: "
HOW = "ask the operator to let pipelock pass it"
NOT_SEEN = "not seen by pipelock"
_MAX_BODY = 4096
# What it says in an answer of its own (v2.3.0); an upstream's has neither this start nor this type.
_OWN = ("blocked: ", "CONNECT blocked: ", "upstream error", "tunnel dial failed")


def take(flow: Any, chained: bool) -> None:
    """Makes the exchange go by pipelock, or not; plain HTTP goes in absolute form, as to any proxy."""
    wanted = VIA if chained else None
    if flow.server_conn.via != wanted:
        address = flow.server_conn.address or (flow.request.host, flow.request.port)
        flow.server_conn = connection.Server(address=address)
        flow.server_conn.via = wanted
    if chained and flow.request.scheme == "http":
        flow.request.authority = flow.request.host


def is_websocket(request: Any) -> bool:
    """Whether it is a handshake that pipelock would break: an upgrade without a body."""
    headers = request.headers
    return (
        request.method == "GET"
        and headers.get("upgrade", "").strip().lower() == "websocket"
        and "sec-websocket-key" in headers
        and not request.raw_content
    )


def trust(folder: str, upstream_ca: str | None, pipelock_ca: str) -> str:
    """A file of all certificates that egress trusts: those for upstreams (a file), and pipelock's CA (PEM)."""
    if not upstream_ca:
        import certifi

        upstream_ca = certifi.where()
    path = Path(folder, "trusted.pem")
    path.write_text(Path(upstream_ca).read_text() + "\n" + pipelock_ca)
    return str(path)


def may_speak(response: Any) -> bool:
    """Whether the answer's body is short text that may be pipelock's own: it is then read before it is passed on."""
    size = response.headers.get("content-length", "")
    kind = response.headers.get("content-type", "")
    short = size.isdecimal() and int(size) <= _MAX_BODY
    return (
        short and response.status_code in (403, 429, 502, 503) and kind.startswith(("text/plain", "application/json"))
    )


def spoken(response: Any) -> str:
    """What pipelock says in that answer, or "" when it is the upstream's."""
    text = (response.raw_content or b"").decode("utf-8", "replace").strip()
    if text.startswith(_OWN) or (response.status_code == 503 and '"kill_switch_active"' in text):
        return shown(" ".join(text.split()), 400)
    return ""


class Tunnel(_upstream_proxy.HttpUpstreamProxy):
    """A tunnel through pipelock. A refused one fails with what pipelock says, not with its number alone."""

    refused = b""

    @classmethod
    def make(cls, ctx: Any, send_connect: bool) -> Any:
        """As mitmproxy's; only TLS needs a tunnel."""
        stack = super().make(ctx, send_connect and ctx.server.address[1] == 443)
        layer = stack[0]
        pace.carried(layer.conn, layer.tunnel_connection)
        return stack

    def receive_handshake_data(self, data: bytes) -> Generator[Any, Any, tuple[bool, str | None]]:
        """As mitmproxy's, but reads a refusal to its end."""
        if not self.send_connect:
            return (yield from super().receive_handshake_data(data))
        self.refused += data
        head, end, body = self.refused.partition(b"\r\n\r\n")
        if not end:
            return (False, None) if len(head) <= _MAX_BODY else (False, f"{SAYS}no answer that can be understood")
        try:
            response = http1.read_response_head([*head.split(b"\r\n")])
        except ValueError:
            return False, f"{SAYS}no answer that can be understood"
        if 200 <= response.status_code < 300:
            self.refused = b""
            if body:
                yield from self.receive_data(body)
            return True, None
        size = response.headers.get("content-length", "")
        if size.isdecimal() and len(body) < min(int(size), _MAX_BODY):
            return False, None
        text = shown(" ".join(body[:400].decode("utf-8", "replace").split()), 400)
        return False, f"{SAYS}{text or f'{response.status_code} {response.reason}'}"


def install() -> None:
    """Puts the tunnel in mitmproxy's place."""
    _upstream_proxy.HttpUpstreamProxy = Tunnel
