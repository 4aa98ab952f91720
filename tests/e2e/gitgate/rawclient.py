"""A git client of the agent's own making: it sends whatever refs and objects it likes."""

from __future__ import annotations

import hashlib
import socket
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

NONE = "0" * 40
_KINDS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}


def oid(kind: str, data: bytes) -> str:
    """An object's name."""
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)) + data).hexdigest()


@dataclass
class Pack:
    """Objects to send, packed one by one."""

    entries: list[bytes] = field(default_factory=list)

    def add(self, kind: str, data: bytes) -> str:
        """One more object; its name."""
        self.entries.append(_head(_KINDS[kind], len(data)) + zlib.compress(data, 1))
        return oid(kind, data)

    def commit(self, *entries: tuple[bytes, bytes, str], message: str = "m") -> str:
        """A commit of a tree of (mode, name, object); its name."""
        tree = self.add("tree", b"".join(m + b" " + n + b"\0" + bytes.fromhex(o) for m, n, o in entries))
        who = "a <a@example.org> 1 +0000"
        return self.add("commit", f"tree {tree}\nauthor {who}\ncommitter {who}\n\n{message}\n".encode())

    def swell(self, base: bytes, times: int) -> None:
        """A delta that says `base` so many times over."""
        size = len(base)
        copy = bytes([0xF0, *size.to_bytes(3, "little")])
        delta = _number(size) + _number(size * times) + copy * times
        self.entries.append(_head(7, len(delta)) + bytes.fromhex(oid("blob", base)) + zlib.compress(delta))

    @property
    def data(self) -> bytes:
        """The whole pack."""
        body = b"PACK" + struct.pack(">II", 2, len(self.entries)) + b"".join(self.entries)
        return body + hashlib.sha1(body).digest()


def _head(kind: int, size: int) -> bytes:
    now, size = kind << 4 | size & 15, size >> 4
    out = bytearray()
    while size:
        out.append(now | 0x80)
        now, size = size & 0x7F, size >> 7
    return bytes([*out, now])


def _number(size: int) -> bytes:
    out = bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*out, size])


def _packet(data: bytes) -> bytes:
    return b"%04x" % (len(data) + 4) + data


def connect(port: int, name: str = "app") -> socket.socket:
    """A connection to which a push to this remote may be sent."""
    line = socket.create_connection(("127.0.0.1", port))
    line.settimeout(90)
    line.sendall(_packet(f"git-receive-pack /{name}.git\0host=x\0".encode()))
    with line.makefile("rb", buffering=0) as lines:
        while (size := int(lines.read(4) or b"0", 16)) > 4:
            while size > 4:
                size -= len(lines.read(size - 4) or b"")
    return line


def send(line: socket.socket, commands: Sequence[tuple[str, str, bytes]], pack: bytes) -> None:
    """Old and new object and name of each ref, and the pack."""
    for number, (old, new, ref) in enumerate(commands):
        more = b"" if number else b"\0report-status side-band-64k"
        line.sendall(_packet(f"{old} {new} ".encode() + ref + more))
    line.sendall(b"0000" + pack)


def push(port: int, commands: Sequence[tuple[str, str, bytes]], pack: bytes) -> str:
    """Pushes; all that the gate says."""
    with connect(port) as line:
        send(line, commands, pack)
        with line.makefile("rb") as answer:
            return answer.read().decode("utf-8", "replace")
