"""The stand-in's proxy: CONNECT with interception or splicing, absolute URIs, and its health, each on a thread."""

from __future__ import annotations

import contextlib
import http.client
import json
import selectors
import socket
import socketserver
import ssl
import sys
import threading
import time
import traceback
from collections import defaultdict, deque
from typing import Any
from urllib.parse import urlsplit

import leaf
from exchange import Base, matches


class Proxy(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves `state` (configuration in force, log, kill switch) on an address."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], state: Any) -> None:
        self.state = state
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self._seen: defaultdict[str, deque[float]] = defaultdict(deque)
        super().__init__(address, Outer)

    def context(self, host: str, config: Any) -> ssl.SSLContext:
        with self._lock:
            if host not in self._contexts:
                self._contexts[host] = leaf.context(host, *config.ca)
            return self._contexts[host]

    def count(self, host: str) -> int:
        """Counts a request to the host's registrable domain; how many there were in the last minute."""
        times, now = self._seen[".".join(host.split(".")[-2:])], time.monotonic()
        times.append(now)
        while times[0] < now - 60:
            times.popleft()
        return len(times)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that goes away is no news."""
        if not isinstance(sys.exception(), OSError):
            traceback.print_exc()


class Outer(Base):
    """Requests of the proxy's client itself."""

    def do_GET(self) -> None:
        state = self.server.state
        self.config = state.config
        if self.path == "/health":
            health = {"status": "healthy", "version": state.version, "mode": self.config.top("mode")}
            return self.answer(200, json.dumps({**health, "kill_switch_active": state.killed()}), "application/json")
        if self.killed():
            return None
        parts = urlsplit(self.path)
        host = parts.hostname or ""
        if parts.scheme != "http" or not self.allowed(host):
            self.body()
            return self.refuse("allowlist", f"domain not in allowlist: {host}", self.path)
        if not (sock := self.dial(host, parts.port or 80)):
            return None
        connection = http.client.HTTPConnection(host, parts.port or 80, timeout=30)
        connection.sock = sock
        self.forward(connection, host, self.path)
        return connection.close()

    do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = do_GET

    def do_CONNECT(self) -> None:
        # The rules of this moment hold for the tunnel's whole life.
        config = self.config = self.server.state.config
        if self.killed():
            return None
        host, _, port = self.path.rpartition(":")
        host = host.lower()
        if not self.allowed(host):
            return self.refuse("allowlist", f"domain not in allowlist: {host}", self.path, "CONNECT blocked: ")
        if self.server.count(host) > config.get("fetch_proxy.monitoring", "max_requests_per_minute"):
            return self.refuse("rate_limit", "rate limit exceeded", self.path, "CONNECT blocked: ", 429)
        if not (upstream := self.dial(host, int(port))):
            return None
        self.wfile.write(b"HTTP/1.1 200 Connection Established\r\n\r\n")
        self.close_connection = True
        self.server.state.audit.write("tunnel_open", target=self.path)
        client = self.connection
        timer = threading.Timer(config.get("forward_proxy", "max_tunnel_seconds"), lambda: _cut(client))
        timer.daemon = True
        timer.start()
        try:
            splice = any(matches(host, name, False) for name in config.get("tls_interception", "passthrough_domains"))
            if splice or not config.get("tls_interception", "enabled"):
                return _splice(client, upstream)
            message = "TLS MITM interception active"
            self.server.state.audit.write("anomaly", "warn", target=self.path, message=message)
            with contextlib.suppress(OSError):
                client = self.server.context(host, config).wrap_socket(client, server_side=True)
                connection = http.client.HTTPSConnection(host, int(port), timeout=60)
                try:
                    Inner(self, client, host, upstream, connection)
                finally:
                    connection.close()
        finally:
            timer.cancel()
            client.close()
            upstream.close()
            self.server.state.audit.write("error", "error", error="use of closed network connection")
            self.server.state.audit.write("tunnel_close", target=self.path)

    def dial(self, host: str, port: int) -> socket.socket | None:
        """A connection to a public address of the host; else the client has its answer."""
        try:
            address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4]
            if not self.server.state.may_dial(host, str(address[0])):
                self.refuse("ssrf", f"SSRF blocked: {host} resolves to internal IP {address[0]}", self.path)
                return None
            return socket.create_connection(address[:2], 10)
        except OSError as error:
            self.server.state.audit.write("error", "error", target=self.path, error=str(error))
            self.answer(502, "tunnel dial failed")
            return None


class Inner(Base):
    """Requests inside one intercepted tunnel."""

    def __init__(self, outer: Outer, tls: Any, host: str, upstream: socket.socket, connection: Any) -> None:
        self._host, self._connection, self.config = host, connection, outer.config
        self._upstream: socket.socket | None = upstream
        super().__init__(tls, outer.client_address, outer.server)

    def do_GET(self) -> None:
        if self.killed():
            return
        name = self.headers.get("Host", "").partition(":")[0].lower()
        if name != self._host:
            self.refuse(
                "tls_authority_mismatch", f"host {name} is not the tunnel's", f"https://{self._host}{self.path}"
            )
            return
        if self._upstream is not None:
            sock, self._upstream = self._upstream, None
            with contextlib.suppress(OSError):
                # A certificate that is not trusted is met again, and told, by the request itself.
                self._connection.sock = ssl.create_default_context().wrap_socket(sock, server_hostname=self._host)
        self.forward(self._connection, self._host, f"https://{self._host}{self.path}")
        if self.config.get("forward_proxy", "sni_verification"):
            self.close_connection = True

    do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = do_GET


def _cut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _splice(one: socket.socket, other: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not data:
                    return
                key.data.sendall(data)
