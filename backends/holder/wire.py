"""The holder's wire: frames of a type byte, a length and a payload, over a unix stream."""

from __future__ import annotations

import json
import struct

# Client to holder.
ATTACH = 1  # JSON {"rows", "cols", "term", "start"}: the stream carries the terminal from now on
INPUT = 2  # bytes that were typed
RESIZE = 3  # rows, cols
DETACH = 4  # empty
REQUEST = 5  # a JSON object; answered by one RESPONSE
# Holder to client.
RESPONSE = 6  # a JSON object
OUTPUT = 7  # bytes for the terminal
EXITED = 8  # the agent's exit status, 128+n when signal n ended it; OUTPUT after it means that it was started again

KINDS = frozenset(range(ATTACH, EXITED + 1))
MAX_PAYLOAD = 4 << 20
CHUNK = 64 << 10

_HEAD = struct.Struct(">BI")
_SIZE = struct.Struct(">HH")
_STATUS = struct.Struct(">i")


class WireError(Exception):
    """The other side sent something that is no frame; the connection is of no further use."""


def encode(kind: int, payload: bytes = b"") -> bytes:
    """One frame. Raises WireError when the payload is over MAX_PAYLOAD bytes."""
    if len(payload) > MAX_PAYLOAD:
        raise WireError(f"a payload of {len(payload)} bytes is over the limit of {MAX_PAYLOAD}")
    return _HEAD.pack(kind, len(payload)) + payload


def encode_json(kind: int, value: dict[str, object]) -> bytes:
    """One frame that carries a JSON object."""
    return encode(kind, json.dumps(value).encode())


def encode_stream(kind: int, data: bytes) -> list[bytes]:
    """`data`, of any length, as frames of at most CHUNK bytes each."""
    return [encode(kind, data[at : at + CHUNK]) for at in range(0, len(data), CHUNK)]


def encode_size(rows: int, cols: int) -> bytes:
    """A RESIZE frame."""
    return encode(RESIZE, _SIZE.pack(min(rows, 0xFFFF), min(cols, 0xFFFF)))


def encode_status(status: int) -> bytes:
    """An EXITED frame."""
    return encode(EXITED, _STATUS.pack(status))


def decode_json(payload: bytes) -> dict[str, object]:
    """The JSON object of a payload; raises WireError for anything else."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        raise WireError("the payload is not JSON") from None
    if not isinstance(value, dict):
        raise WireError("the payload is not a JSON object")
    return value


def decode_size(payload: bytes) -> tuple[int, int]:
    """(rows, cols) of a RESIZE payload."""
    if len(payload) != _SIZE.size:
        raise WireError("a size has four bytes")
    rows, cols = _SIZE.unpack(payload)
    return rows, cols


def decode_status(payload: bytes) -> int:
    """The exit status of an EXITED payload."""
    if len(payload) != _STATUS.size:
        raise WireError("a status has four bytes")
    return int(_STATUS.unpack(payload)[0])


class Decoder:
    """Turns a stream of bytes, cut anywhere, into frames. Holds at most one frame and what came with it."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The (kind, payload) pairs that `data` completes. Raises WireError on an unknown kind or a length too big."""
        buffer = self._buffer
        buffer += data
        frames: list[tuple[int, bytes]] = []
        at = 0
        while len(buffer) - at >= _HEAD.size:
            kind, length = _HEAD.unpack_from(buffer, at)
            if kind not in KINDS or length > MAX_PAYLOAD:
                raise WireError("the other side does not speak the holder's protocol")
            end = at + _HEAD.size + length
            if len(buffer) < end:
                break
            frames.append((kind, bytes(buffer[at + _HEAD.size : end])))
            at = end
        del buffer[:at]
        return frames
