"""A fake upstream: HTTP/1.1 over TLS (and plain) with a test CA, for tests that need a real server behind egress."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

CHUNK = b"x" * 65536


def make_ca(folder: Path) -> Path:
    """A test CA (`ca.pem`, `ca.key`) in `folder`; the path of its certificate."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate = folder / "ca.pem"
    if not certificate.exists():
        _openssl(
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"],
            ["-subj", "/CN=test upstream CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign"],
            ["-keyout", str(folder / "ca.key"), "-out", str(certificate)],
        )
    return certificate


def make_leaf(folder: Path, *hosts: str) -> tuple[Path, Path]:
    """A certificate of the CA in `folder` for `hosts`, and its key."""
    certificate, key = folder / f"{hosts[0]}.pem", folder / f"{hosts[0]}.key"
    _openssl(
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"],
        ["-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key"), "-subj", f"/CN={hosts[0]}"],
        ["-addext", "subjectAltName=" + ",".join(f"DNS:{h}" for h in hosts), "-addext", "basicConstraints=CA:FALSE"],
        ["-keyout", str(key), "-out", str(certificate)],
    )
    return certificate, key


def digest(value: str) -> str:
    """How a credential is shown in an answer."""
    return hashlib.sha256(value.encode()).hexdigest()


def _openssl(*parts: list[str]) -> None:
    subprocess.run(["openssl", *(a for p in parts for a in p)], check=True, capture_output=True, timeout=30)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def do_GET(self) -> None:
        self.server.seen.append({"method": self.command, "path": self.path, "headers": list(self.headers.items())})
        route = self.path.partition("?")[0]
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self._websocket()
        elif route.endswith("/sse"):
            self._sse()
        elif route.endswith("/big"):
            self._big(int(self.path.partition("?")[2] or 1))
        elif route.endswith("/slow"):
            time.sleep(float(self.path.partition("?")[2] or 1))
            self._echo(0)
        else:
            self._echo(self._drain())

    do_POST = do_PUT = do_HEAD = do_DELETE = do_GET

    def _drain(self) -> int:
        total = 0
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                total += len(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return total
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            data = self.rfile.read(min(left, 65536))
            if not data:
                break
            total, left = total + len(data), left - len(data)
        return total

    def _echo(self, received: int) -> None:
        # A credential that came back would be cut off by egress: only /mirror gives it as it is.
        mirror = self.path.partition("?")[0].endswith("/mirror")
        shown = {k: v if mirror or k.lower() != "authorization" else digest(v) for k, v in self.headers.items()}
        seen = {"path": self.path, "headers": shown, "received": received}
        body = json.dumps({"method": self.command, **seen}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _sse(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i in range(5):
            event = f"data: {i}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
            time.sleep(0.2)
        self.wfile.write(b"0\r\n\r\n")

    def _big(self, megabytes: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(megabytes * 1024 * 1024))
        self.end_headers()
        for _ in range(megabytes * 16):
            self.wfile.write(CHUNK)

    def _websocket(self) -> None:
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        # Short text frames only: unmask one, send it back, until the client closes.
        while len(head := self.rfile.read(2)) == 2 and head[0] & 15 == 1:
            mask, size = self.rfile.read(4), head[1] & 127
            text = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(size)))
            self.wfile.write(bytes([0x81, size]) + text)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        return


class Upstream(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """`seen` holds every request that arrived; it is what a test of a refusal looks at."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], leaf: tuple[Path, Path] | None) -> None:
        self.seen: list[dict[str, object]] = []
        super().__init__(address, _Handler)
        if leaf:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*leaf)
            # The handshake belongs to the connection's thread, else one silent client stops the accept loop.
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


@contextlib.contextmanager
def upstream(address: str, port: int, leaf: tuple[Path, Path] | None = None) -> Iterator[Upstream]:
    """A server on its own thread for as long as the block runs."""
    with Upstream((address, port), leaf) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)


def wait_listening(address: str, port: int, seconds: float = 5.0) -> None:
    """Returns when something accepts there; `TimeoutError` after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on {address}:{port}")
