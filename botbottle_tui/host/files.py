"""The only writer of host state: whole or not at all, with its mode set before its content."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from backends.api import BackendError


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Replaces `path` by `text`, durably. `BackendError` names the path and the reason."""
    write_bytes(path, text.encode(), mode)


def write_bytes(path: Path, data: bytes, mode: int = 0o600) -> None:
    """As `write`, for bytes."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
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


def read_tail(path: Path, limit: int) -> str:
    """The last `limit` bytes of a file written by somebody untrusted: never follows a link, never waits on a pipe."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(file.fileno())
        if info.st_mode & 0o170000 != 0o100000:
            return ""
        file.seek(max(0, info.st_size - limit))
        return file.read(limit).decode(errors="replace")
