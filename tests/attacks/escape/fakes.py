"""Live fakes of everything that an attack aims at; whatever arrives at one of them stands in one log."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import socket
import socketserver
import ssl
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fake_upstream import make_ca, make_leaf

GOOD, EVIL, INNER, METADATA = "203.0.113.10", "203.0.113.66", "10.9.9.9", "169.254.169.254"
PUBLIC_DNS = "203.0.113.53"
ADDRESSES = (GOOD, EVIL, INNER, METADATA, PUBLIC_DNS)
OTHER_PORT = 8443
# What the resolver answers; a name that begins with a dot stands for all names below it.
NAMES = {
    "allowed.example": GOOD,
    "api.example": GOOD,
    "pass.example": GOOD,
    ".wild.example": GOOD,
    "evil.example": EVIL,
    ".attacker.example": EVIL,
    "loop.example": "127.0.0.1",
    "inner.example": INNER,
    "metadata.example": METADATA,
}


class Log:
    """What arrived, as (which fake, what) in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[tuple[str, bytes]] = []

    def add(self, where: str, what: bytes) -> None:
        with self._lock:
            self._entries.append((where, what))

    def take(self) -> list[tuple[str, bytes]]:
        """All since the last time."""
        with self._lock:
            entries, self._entries = self._entries, []
        return entries


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Web

    def do_GET(self) -> None:
        head = f"{self.command} {self.path} {self.headers}".encode("utf-8", "surrogateescape")
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self.server.log.add(self.server.name, head)
            self._websocket()
            return
        body = self._body()
        if "gzip" in self.headers.get("Content-Encoding", ""):
            body += zlib.decompress(body, 31)
        self.server.log.add(self.server.name, head + body)
        back = self.headers.get("Authorization", "") if self.path.startswith("/mirror") else "arrived"
        answer = f"{back}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_POST = do_PUT = do_HEAD = do_GET

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        out = b""
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            out += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return out

    def _websocket(self) -> None:
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.wfile.flush()
        # Short frames only: unmask one, note it, send it back, until the client closes.
        while len(head := self.rfile.read(2)) == 2 and head[0] & 15 != 3:
            mask, size = self.rfile.read(4), head[1] & 127
            text = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(size)))
            self.server.log.add(self.server.name, (b"control " if head[0] & 8 else b"frame ") + text)
            if head[0] & 15 == 8:
                break
            self.wfile.write(bytes([0x81, size]) + text)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        return


class Web(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """A web server at one address and port."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, log: Log, name: str, place: tuple[str, int], leaf: tuple[Path, Path] | None) -> None:
        self.log, self.name = log, name
        super().__init__(place, _Handler)
        if leaf:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*leaf)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def process_request(self, request: Any, client_address: Any) -> None:
        """That somebody connects is worth a line too."""
        self.log.add(self.name, b"connected")
        super().process_request(request, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


class _Datagram(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        if answer := _answer(self.server, data):
            sock.sendto(answer, self.client_address)


class _Stream(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        head = self.request.recv(2, socket.MSG_WAITALL)
        if len(head) == 2 and (answer := _answer(self.server, self.request.recv(struct.unpack(">H", head)[0]))):
            self.request.sendall(struct.pack(">H", len(answer)) + answer)


class DnsUdp(socketserver.ThreadingUDPServer):
    daemon_threads = True
    log: Log
    name: str


class DnsTcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    log: Log
    name: str


def _answer(server: Any, query: bytes) -> bytes:
    """The answer of a name server that notes the name it was asked for."""
    labels, at = [], 12
    with contextlib.suppress(IndexError):
        while size := query[at]:
            labels.append(query[at + 1 : at + 1 + size])
            at += 1 + size
    name = b".".join(labels).decode("latin-1").lower()
    server.log.add(server.name, name.encode())
    kind = query[at + 1 : at + 3]
    address = NAMES.get(name) or next((a for n, a in NAMES.items() if n.startswith(".") and name.endswith(n)), "")
    record = b""
    if address and kind == b"\0\1":
        record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(address)
    flags = b"\x81\x80" if address else b"\x81\x83"
    return query[:2] + flags + b"\0\1" + struct.pack(">H", bool(record)) + b"\0\0\0\0" + query[12 : at + 5] + record


@contextlib.contextmanager
def fakes(pki: Path) -> Iterator[Log]:
    """All of them, for as long as the block runs; `pki` gets their CA (`ca.pem`)."""
    make_ca(pki)
    names = [name.replace(".", "*.", 1) if name.startswith(".") else name for name in NAMES]
    leaf = make_leaf(pki, *names)
    log = Log()
    with contextlib.ExitStack() as stack:
        servers: list[socketserver.BaseServer] = []
        for name, address in (("good", GOOD), ("evil", EVIL), ("inner", INNER), ("loopback", "127.0.0.1")):
            servers += [Web(log, name, (address, 443), leaf), Web(log, name, (address, 80), None)]
            servers.append(Web(log, name + " other port", (address, OTHER_PORT), leaf))
        servers += [Web(log, "metadata", (METADATA, 80), None), Web(log, "metadata", (METADATA, 443), leaf)]
        for address in ("127.0.0.1", PUBLIC_DNS):
            for made in (DnsUdp((address, 53), _Datagram), DnsTcp((address, 53), _Stream)):
                made.log, made.name = log, "resolver" if address == "127.0.0.1" else "public resolver"
                servers.append(made)
        for server in servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
        yield log
