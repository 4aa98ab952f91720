"""A keep-alive HTTPS client that costs little, so that what is measured is not the client: directly or by a proxy."""

from __future__ import annotations

import re
import socket
import ssl
import time
from pathlib import Path

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_EVENT = re.compile(rb"data: (\d+)\n\n")


class Refused(Exception):
    """The answer was no 200: its first line, and the text."""


class Client:
    """One connection to `host`, in a tunnel of `proxy` if there is one; trusts `ca` alone."""

    def __init__(self, host: str, ca: Path, proxy: tuple[str, int] | None = None) -> None:
        raw = socket.create_connection(proxy or (host, 443), 60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if proxy:
            raw.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
            if b" 200 " not in (answer := raw.recv(4096)).partition(b"\r\n")[0]:
                raise Refused(answer.decode(errors="replace"))
        context = ssl.create_default_context(cafile=str(ca))
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)  # pipelock's leaf certificates are plain ones
        self._sock = context.wrap_socket(raw, server_hostname=host)
        self._host = host
        self._buffer = bytearray(1 << 20)

    def ask(self, path: str, body: bytes = b"") -> float:
        """Milliseconds from the first byte of the request to the last of the answer. Raises `Refused`."""
        method = "POST" if body else "GET"
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        begin = time.perf_counter()
        self._sock.sendall(request)
        answer, left = self._head()
        while left > 0:
            left -= self._sock.recv_into(self._buffer)
        spent = (time.perf_counter() - begin) * 1000
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise Refused(answer.decode(errors="replace"))
        return spent

    def _head(self) -> tuple[bytes, int]:
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := self._sock.recv(65536)):
                raise Refused("the connection was ended")
            data += more
        found = _LENGTH.search(data)
        return data, (int(found[1]) if found else 0) - len(data.partition(b"\r\n\r\n")[2])

    def delays(self) -> list[float]:
        """Milliseconds that each event of `/sse` was under way."""
        self._sock.sendall(f"GET /sse HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        out: list[float] = []
        data = b""
        while b"0\r\n\r\n" not in data[-5:]:
            size = self._sock.recv_into(self._buffer)
            now = time.monotonic_ns()
            if not size:
                raise Refused("the connection was ended")
            data += self._buffer[:size]
            out += [(now - int(sent)) / 1e6 for sent in _EVENT.findall(data)]
            data = data[end.end() :] if (end := _last(data)) else data
        return out


def _last(data: bytes) -> re.Match[bytes] | None:
    return max(_EVENT.finditer(data), key=lambda m: m.end(), default=None)
