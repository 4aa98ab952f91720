"""A stand-in for pipelock's part in a chain: CONNECT and absolute URIs, interception with its CA, and its refusals."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.fake_upstream import make_leaf

MARK = b"block-this"


class Proxy:
    """Serves on the port of pipelock. `seen` holds whole requests, `refused` the hosts that it refuses."""

    def __init__(self, ca: Path, upstream_ca: Path, hosts: tuple[str, ...]) -> None:
        self.seen: list[bytes] = []
        self.connects: list[bytes] = []
        self.refused: set[str] = set()
        folder = ca / "leaf"
        folder.mkdir(exist_ok=True)
        shutil.copy(ca / "pipelock-ca.pem", folder / "ca.pem")
        shutil.copy(ca / "pipelock-ca-key.pem", folder / "ca.key")
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.load_cert_chain(*make_leaf(folder, *hosts))
        self._client = ssl.create_default_context(cafile=str(upstream_ca))

    def serve(self, sock: socket.socket) -> None:
        """One connection: a tunnel that is opened up, or plain requests."""
        with contextlib.suppress(OSError), sock:
            if not (head := _head(sock)):
                return
            method, target, _ = head.split(b" ", 2)
            if method != b"CONNECT":
                self._exchange(sock, head, target.split(b"/")[2].decode(), None)
                return
            self.connects.append(target)
            host = target.partition(b":")[0].decode()
            if host in self.refused:
                text = f"CONNECT blocked: domain not in allowlist: {host}\n".encode()
                sock.sendall(
                    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(text)
                )
                sock.sendall(text)
                return
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with self._server.wrap_socket(sock, server_side=True) as inner:
                while head := _head(inner):
                    self._exchange(inner, head, host, self._client)

    def _exchange(self, sock: socket.socket, head: bytes, host: str, context: ssl.SSLContext | None) -> None:
        size = next((int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length:")), 0)
        body = b""
        while len(body) < size:
            body += sock.recv(65536)
        self.seen.append(head + body)
        if MARK in body:
            text = b"blocked: request body contains secret: GitHub Token\n"
            kind = b"Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
            sock.sendall(b"HTTP/1.1 403 Forbidden\r\n" + kind + b"Content-Length: %d\r\n\r\n" % len(text) + text)
            return
        line, rest = head.split(b"\r\n", 1)
        method, target, version = line.split(b" ")
        path = b"/" + target.split(b"/", 3)[3] if target.startswith(b"http") else target
        rest = b"\r\n".join(x for x in rest.split(b"\r\n") if not x.lower().startswith(b"connection:"))
        with socket.create_connection((host, 443 if context else 80), 10) as raw:
            upstream = context.wrap_socket(raw, server_hostname=host) if context else raw
            head = b"%s %s %s\r\nConnection: close\r\n" % (method, path, version)
            upstream.sendall(head + rest + b"\r\n\r\n" * (not rest.endswith(b"\r\n\r\n")) + body)
            while part := upstream.recv(65536):
                sock.sendall(part)
            upstream.close()


def _head(sock: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        if not (byte := sock.recv(1)):
            return b""
        data += byte
    return data


@contextlib.contextmanager
def chain_proxy(ca: Path, upstream_ca: Path, hosts: tuple[str, ...]) -> Iterator[Proxy]:
    """Accepts for as long as the block runs; `ca` is the folder in which egress keeps its CAs."""
    proxy = Proxy(ca, upstream_ca, hosts)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=proxy.serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 8888)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield proxy
        listener.shutdown(socket.SHUT_RDWR)
