"""JSON lines over a unix stream socket, with file descriptors: what host, init and its daemons speak."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

VERSION = 1
MAX_LINE = 1024 * 1024
MAX_FDS = 16


class WireError(Exception):
    """The other side broke the protocol; the text is one line."""


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as one line of ASCII JSON."""
    return json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


class Decoder:
    """Bytes in, messages out. A line above `MAX_LINE` or one that is no JSON object raises `WireError`."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The messages that `data` completes, in order."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
            raise WireError(f"a line is longer than {MAX_LINE} bytes")
        return [_parse(line) for line in lines if line.strip()]


def _parse(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise WireError("a line is not JSON") from None
    if not isinstance(message, dict):
        raise WireError("a line is not a JSON object")
    return message


def send(sock: socket.socket, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
    """Sends the whole message on a blocking socket; `fds` travel with its first byte and stay open here."""
    data = encode(message)
    sent = socket.send_fds(sock, [data], list(fds)) if fds else sock.send(data)
    if sent < len(data):
        # Not with nothing: a peer that has answered and gone by now would make that an error.
        sock.sendall(data[sent:])


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """What has arrived: bytes (empty at the end of the stream) and new file descriptors, not inheritable."""
    data, fds, _flags, _address = socket.recv_fds(sock, 65536, MAX_FDS)
    for fd in fds:
        # Not by MSG_CMSG_CLOEXEC: recv_fds ignores flags.
        os.set_inheritable(fd, False)
    return data, list(fds)


def _address(path: str) -> tuple[str, int]:
    # sun_path holds 107 bytes; a longer path is reached through an open folder.
    if len(os.fsencode(path)) <= 107:
        return path, -1
    folder, name = os.path.split(path)
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{fd}/{name}", fd


def listen(path: str) -> socket.socket:
    """A listening stream socket at `path` with mode 0600; a socket that was left there is replaced."""
    address, fd = _address(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        Path(address).unlink(missing_ok=True)
        sock.bind(address)
        sock.listen(64)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(mask)
        if fd >= 0:
            os.close(fd)
    return sock
