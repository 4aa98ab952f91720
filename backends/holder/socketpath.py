"""Unix sockets at paths of any length: connect and bind, past the 107 bytes that an address can hold."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

# An address holds 108 bytes on Linux and 104 on macOS, with the final NUL.
_LONGEST = 103


@contextmanager
def _address(path: str) -> Iterator[str]:
    """An address that is short enough: the path itself, or its name seen through a descriptor of its folder."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield path
        return
    if not os.path.isdir("/proc/self/fd"):  # noqa: PTH112 (pathlib costs start-up time here)
        raise OSError(errno.ENAMETOOLONG, "the socket's path is too long for this system", path)
    folder, name = os.path.split(path)
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{name}"
    finally:
        os.close(fd)


def connect(path: str, timeout: float | None = None) -> socket.socket:
    """A stream socket connected to `path`, with that timeout in seconds (None: it blocks). Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        with _address(path) as address:
            sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def bind(path: str, mode: int) -> socket.socket:
    """A listening stream socket at `path` with permission bits `mode`; a dead socket there is replaced.

    Raises OSError; EADDRINUSE when something answers at `path` or something else than a socket is there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Linux makes the socket's file with the mode of the descriptor, so it is at no time open wider.
        os.fchmod(sock.fileno(), mode)
        with _address(path) as address:
            try:
                sock.bind(address)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or _alive(path):
                    raise
                os.unlink(address)  # noqa: PTH108
                sock.bind(address)
            os.chmod(address, mode)  # noqa: PTH101
        sock.listen(64)
    except BaseException:
        sock.close()
        raise
    return sock


def _alive(path: str) -> bool:
    try:
        connect(path).close()
    except ConnectionRefusedError:
        # A plain file refuses too, and must not be taken for a dead socket.
        return not os.path.exists(path) or (os.stat(path).st_mode & 0o170000) != 0o140000  # noqa: PTH110,PTH116
    except OSError:
        return True
    return True
