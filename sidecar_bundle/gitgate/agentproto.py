"""The protocol of SSH agents, as far as a filter needs it: what may be asked, and which keys are shown."""

from __future__ import annotations

import base64
import socket
import struct
from collections.abc import Callable, Set

MAX_MESSAGE = 256 * 1024
FAILURE = bytes([5])
_LIST, _IDENTITIES, _SIGN = bytes([11]), bytes([12]), bytes([13])


def blob(key: str) -> bytes:
    """A public key as agents name it. Raises `ValueError`."""
    return base64.b64decode(key, validate=True)


def answer(message: bytes, blobs: Set[bytes], ask: Callable[[bytes], bytes]) -> bytes:
    """What is answered to `message`: of these keys a list and signatures, as the agent behind `ask` has them."""
    if message == _LIST:
        return _listed(ask(message), blobs)
    # The key is compared whole, right where the agent will read it.
    if message.startswith(_SIGN) and _string(message, 1)[0] in blobs:
        return ask(message)
    return FAILURE


def _listed(given: bytes, blobs: Set[bytes]) -> bytes:
    if given[:1] != _IDENTITIES or len(given) < 5:
        return FAILURE
    place, kept = 5, list[bytes]()
    for _ in range(min(struct.unpack_from(">I", given, 1)[0], 1000)):
        one, place = _string(given, place)
        comment, place = _string(given, place)
        if one in blobs:
            kept.append(b"".join(struct.pack(">I", len(part)) + part for part in (one, comment)))
    return _IDENTITIES + struct.pack(">I", len(kept)) + b"".join(kept)


def _string(data: bytes, place: int) -> tuple[bytes, int]:
    size = int.from_bytes(data[place : place + 4], "big")
    return data[place + 4 : place + 4 + size], place + 4 + size


def send(sock: socket.socket, message: bytes) -> None:
    """One message."""
    sock.sendall(struct.pack(">I", len(message)) + message)


def receive(sock: socket.socket) -> bytes:
    """One message, or nothing at the end of the line."""
    head = _exactly(sock, 4)
    size = int.from_bytes(head, "big")
    if len(head) < 4 or not 0 < size <= MAX_MESSAGE:
        return b""
    body = _exactly(sock, size)
    return body if len(body) == size else b""


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            break
        data += more
    return data
