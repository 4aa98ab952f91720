"""The only writer of host state: whole or not at all, with its mode set before its content."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from backends.api import BackendError


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Replaces `path` by `text`, durably. `BackendError` names the path and the reason."""
    write_bytes(path, text.encode(), mode)


def write_bytes(path: Path, data: bytes, mode: int = 0o600) -> None:
    """As `write`, for bytes."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        make_private(path.parent)
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
    except OSError as error:
        raise BackendError(
            f"cannot write {path}: {error.strerror}", "free space, or check who owns the folder"
        ) from None


def make_private(folder: Path) -> None:
    """Makes `folder` and what is missing above it, all closed to others. Raises `OSError`."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)


def read_tail(path: Path, limit: int) -> str:
    """The last `limit` bytes of a file written by somebody untrusted: never follows a link, never waits on a pipe."""
    return _read(path, limit, tail=True, flags=os.O_NOFOLLOW).decode(errors="replace")


def read_head(path: Path, limit: int) -> bytes:
    """The first `limit` bytes of a regular file, also behind a link; b"" for anything else. Never waits on a pipe."""
    return _read(path, limit, tail=False, flags=0)


def _read(path: Path, limit: int, *, tail: bool, flags: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | flags)
    except OSError:
        return b""
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            return b""
        os.lseek(fd, max(0, info.st_size - limit) if tail else 0, os.SEEK_SET)
        with os.fdopen(os.dup(fd), "rb") as file:
            return file.read(limit)
    except OSError:
        return b""
    finally:
        os.close(fd)
