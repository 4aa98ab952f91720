"""Folders that somebody untrusted wrote: walked, copied and removed without following a link, at any depth."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEPTH = 128  # folders deeper than this are not walked
_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, link or left-out folder: its path below the root, its parent's descriptor (while it is yielded), stat."""

    path: bytes
    name: bytes
    parent: int
    info: os.stat_result


def walk(folder: Path) -> Iterator[Entry]:
    """Every entry but folders and `.git`, in order; a folder below `DEPTH`, or an unreadable one, is yielded itself."""
    root = os.open(folder, _DIR)
    stack: list[tuple[int, bytes, Iterator[bytes]]] = [(root, b"", _names(root))]
    try:
        while stack:
            fd, base, names = stack[-1]
            name = next(names, None)
            if name is None:
                os.close(fd)
                stack.pop()
                continue
            if name == b".git":
                continue
            path = base + name
            try:
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue  # the agent lives, its files come and go
            if not stat.S_ISDIR(info.st_mode):
                yield Entry(path, name, fd, info)
                continue
            inner = open_anyway(name, fd, info, _DIR) if len(stack) < DEPTH else -1
            if inner < 0:
                yield Entry(path, name, fd, info)
            else:
                stack.append((inner, path + b"/", _names(inner)))
    finally:
        for fd, _, _ in stack:
            os.close(fd)


def _names(fd: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        return iter(sorted(os.fsencode(name) for name in os.listdir(fd)))
    return iter(())


def open_anyway(name: bytes, parent: int, info: os.stat_result, flags: int = _FILE) -> int:
    """Opens an entry, giving its owner (us) the right to read it if that was taken away; -1 when it cannot be."""
    with contextlib.suppress(OSError):
        return os.open(name, flags, dir_fd=parent)
    try:
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except OSError:
        return -1
    try:
        right = 0o700 if stat.S_ISDIR(info.st_mode) else 0o400
        Path(f"/proc/self/fd/{handle}").chmod(stat.S_IMODE(info.st_mode) | right)
        return os.open(name, flags, dir_fd=parent)
    except OSError:
        return -1
    finally:
        os.close(handle)


def remove(folder: Path) -> None:
    """Removes the whole tree, however deep and whatever its modes; what cannot be removed stays, without an error."""
    try:
        root = os.open(folder, _DIR)
    except OSError:
        return
    try:
        with contextlib.suppress(OSError):
            os.fchmod(root, 0o700)
        work = [name for name in _names(root) if not _unlink(name, root)]
        while work:
            name = work.pop()
            # A folder's own folders move up beside it, so that no path ever grows long.
            with contextlib.suppress(OSError):
                inner = open_anyway(name, root, os.stat(name, dir_fd=root, follow_symlinks=False), _DIR)
                if inner < 0:
                    continue
                try:
                    os.fchmod(inner, 0o700)
                    for child in _names(inner):
                        if not _unlink(child, inner):
                            fresh = secrets.token_hex(12).encode()
                            os.rename(child, fresh, src_dir_fd=inner, dst_dir_fd=root)
                            work.append(fresh)
                finally:
                    os.close(inner)
                os.rmdir(name, dir_fd=root)
    finally:
        os.close(root)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _unlink(name: bytes, parent: int) -> bool:
    """Removes anything but a folder; whether that was possible."""
    try:
        os.unlink(name, dir_fd=parent)
    except OSError:
        return False
    return True


class Copier:
    """Copies files by relative path from one folder to another; a name whose way leads through a link is left out."""

    def __init__(self, source: Path, target: Path) -> None:
        self.source = os.open(source, _DIR)
        self.target = os.open(target, _DIR)

    def close(self) -> None:
        """Ends it."""
        os.close(self.source)
        os.close(self.target)

    def folder(self, path: str) -> None:
        """An empty folder."""
        fd = self._enter(self.target, path.rstrip("/").split("/"), make=True)
        if fd >= 0:
            os.close(fd)

    def file(self, path: str) -> int:
        """One regular file or link; answers its bytes, 0 when it was left out. Raises `OSError` when writing fails."""
        *folders, name = path.split("/")
        fd = self._enter(self.source, folders, make=False)
        if fd < 0:
            return 0
        out = self._enter(self.target, folders, make=True)
        try:
            if out < 0:
                return 0
            info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISLNK(info.st_mode):
                os.symlink(os.readlink(name, dir_fd=fd), name, dir_fd=out)
                return 0
            return self._data(name, fd, out) if stat.S_ISREG(info.st_mode) else 0
        except FileNotFoundError:
            return 0  # it went away meanwhile
        finally:
            os.close(fd)
            if out >= 0:
                os.close(out)

    def _data(self, name: str, fd: int, out: int) -> int:
        with os.fdopen(os.open(name, _FILE, dir_fd=fd), "rb") as reader:
            info = os.fstat(reader.fileno())
            if not stat.S_ISREG(info.st_mode):
                return 0
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            done = 0
            with os.fdopen(os.open(name, flags, 0o600, dir_fd=out), "wb") as writer:
                while sent := os.sendfile(writer.fileno(), reader.fileno(), None, 1 << 24):
                    done += sent
                os.fchmod(writer.fileno(), info.st_mode & 0o777)
                os.utime(writer.fileno(), ns=(info.st_atime_ns, info.st_mtime_ns))
            return done

    def _enter(self, root: int, folders: list[str], *, make: bool) -> int:
        """A descriptor of the folder behind `folders`, every step a real folder; -1 when one is not."""
        fd = os.dup(root)
        for part in folders:
            if part in ("", ".", ".."):
                os.close(fd)
                return -1
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=fd)
            try:
                inner = os.open(part, _DIR, dir_fd=fd)
            except NotADirectoryError:
                inner = -1
            except OSError as error:
                inner = -1
                if make and not isinstance(error, FileNotFoundError) and error.errno != errno.ELOOP:
                    os.close(fd)
                    raise
            os.close(fd)
            if inner < 0:
                return -1
            fd = inner
        return fd
