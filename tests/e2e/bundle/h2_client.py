"""Frames of HTTP/2, written by hand: what a well-behaved library would not send."""

from __future__ import annotations

import socket
import ssl
import struct

from tests.e2e.bundle.rig import Bundle

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    return name + bytes([len(value)]) + value


def head(host: str, path: str, method: bytes = b"\x82") -> bytes:
    """A header block: the method is GET, or b"\\x83" for POST."""
    return method + b"\x87" + _literal(b"\x04", path.encode()) + _literal(b"\x01", host.encode())


def field(name: str, value: str) -> bytes:
    """A further field of a header block."""
    return _literal(b"\x00" + bytes([len(name)]) + name.encode(), value.encode())


def window(stream: int, size: int) -> bytes:
    return frame(WINDOW, 0, stream, struct.pack("!I", size))


def connect(b: Bundle, host: str, initial_window: int = 65535) -> ssl.SSLSocket:
    """A tunnel to `host` that has spoken its preface."""
    sock = socket.create_connection(("127.0.0.1", b.port), 10)
    sock.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
    assert b" 200 " in sock.recv(4096)
    context = ssl.create_default_context(cafile=str(b.ca))
    context.set_alpn_protocols(["h2"])
    stream = context.wrap_socket(sock, server_hostname=host)
    assert stream.selected_alpn_protocol() == "h2"
    stream.sendall(PREFACE + frame(SETTINGS, 0, 0, struct.pack("!HI", 4, initial_window)))
    return stream


def read_frame(sock: ssl.SSLSocket) -> tuple[int, int, int, bytes]:
    """Kind, flags, stream and payload; `EOFError` at the end."""
    top = _exactly(sock, 9)
    size, kind, flags = int.from_bytes(top[:3], "big"), top[3], top[4]
    return kind, flags, int.from_bytes(top[5:], "big"), _exactly(sock, size)


def _exactly(sock: ssl.SSLSocket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
