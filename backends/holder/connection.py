"""One client of the holder: its stream, what waits to be sent to it, and its place among the others."""

from __future__ import annotations

import re
import socket
import struct
import sys
from collections import deque

from backends.holder import wire

QUEUE_LONGEST = 1 << 20

# What a terminal sends by itself when asked: DA, DSR, cursor position, DECRPM, kitty flags, OSC and DCS answers.
_REPLY = re.compile(
    rb"\x1b(?:\[[?>=][0-9;]*c|\[0n|\[\??[0-9]+;[0-9]+(?:;[0-9]+)?R|\[\?[0-9;]*\$y|\[\?[0-9]+u|\[\?997;[0-9]n"
    rb"|\[[0-9]+;[0-9;]*t|\][0-9]+;[^\x07\x1b]*(?:\x07|\x1b\\)|P[^\x1b]*\x1b\\|_[^\x1b]*\x1b\\)"
)


def without_replies(data: bytes) -> bytes:
    """What a person typed, without what their terminal answered by itself."""
    return _REPLY.sub(b"", data) if b"\x1b" in data else data


class Connection:
    """A connected client. `send` never blocks; whoever is too slow becomes `stale` and is owed a repaint."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.decoder = wire.Decoder()
        self.attached = False
        self.size = (24, 80)  # rows, cols
        self.term = ""
        self.active_at = 0  # counts up with every use; the highest one has the say about the size
        self.stale = False
        self.repainted = 0.0
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._sent = 0  # bytes of the queue's head that are gone already

    @property
    def waiting(self) -> bool:
        """Whether something waits for the socket to become writable."""
        return bool(self._queue)

    @property
    def overfull(self) -> bool:
        """Whether more waits than a client may leave waiting."""
        return self._queued > QUEUE_LONGEST

    def send(self, *frames: bytes) -> None:
        """Queues frames and sends what the socket takes. Raises OSError when the client is gone."""
        for frame in frames:
            self._queue.append(frame)
            self._queued += len(frame)
        self.flush()

    def flush(self) -> None:
        """Sends what the socket takes. Raises OSError when the client is gone."""
        while self._queue:
            head = self._queue[0]
            try:
                count = self.sock.send(memoryview(head)[self._sent :])
            except BlockingIOError:
                return
            self._sent += count
            if self._sent == len(head):
                self._queue.popleft()
                self._queued -= len(head)
                self._sent = 0

    def forget_waiting(self) -> None:
        """Drops what waits, except a frame that is partly sent: the stream must stay readable."""
        head = self._queue[0] if self._sent else None
        self._queue.clear()
        self._queued = 0
        if head is not None:
            self._queue.append(head)
            self._queued = len(head)


def response(answer: dict[str, object]) -> bytes:
    """The frame of an answer; one too large to send becomes an error."""
    try:
        return wire.encode_json(wire.RESPONSE, answer)
    except wire.WireError as error:
        return wire.encode_json(wire.RESPONSE, {"ok": False, "error": str(error)})


def peer_uid(sock: socket.socket) -> int:
    """The uid of the process at the other end of a unix socket; -1 when the system does not say."""
    try:
        if sys.platform == "linux":
            return int(struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])
        # macOS: SOL_LOCAL, LOCAL_PEERCRED, struct xucred with the uid second.
        return int(struct.unpack_from("Ii", sock.getsockopt(0, 1, 76))[1])
    except OSError:
        return -1
