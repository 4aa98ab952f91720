"""What an agent changed in its copy: two trees in a git store of the host's own, and the patch between them.

Git never runs inside the copy and never reads its configuration, attributes or hooks: the files are read here, without
following links, and streamed into `git fast-import`.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backends.api import BackendError
from backends.process import Completed, Runner
from botbottle_tui.host import tree

BATCH = 32 << 20  # bytes of file content a fast-import run takes
LARGEST = 100 << 20  # bytes of one file; a larger one is left out
TOTAL = 2 << 30  # bytes of all of them
LEFT_OUT = 500
TIMEOUT = 300.0
FULL = 1 << 16  # bytes left on a disk that counts as full
_ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
}


@dataclass(frozen=True, slots=True)
class Tree:
    """A recorded state: git's id of it, and what was left out because it is too large, too deep or unreadable.

    Of each left out entry: path, bytes, and modification time in nanoseconds.
    """

    ident: str
    left_out: tuple[tuple[str, int, int], ...] = ()


class Snapshots:
    """Trees of one folder over time, in the bare repository `store`."""

    def __init__(self, store: Path, runner: Runner) -> None:
        self.store = store
        self.runner = runner

    def git(
        self, *args: str, input: bytes | None = None, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> Completed:
        """One git run on the store; a failure is a `BackendError` with git's own reason."""
        argv = ["git", "--git-dir", str(self.store), "-c", "core.compression=1", "-c", "gc.auto=0", *args]
        done = self.runner.run(argv, input=input, timeout=TIMEOUT, env={**_ENV, **(env or {})}, cwd=cwd)
        if not done.ok:
            # git does not always name the reason
            full = "No space left" in done.stderr or shutil.disk_usage(self.store.parent).free < FULL
            raise BackendError(f"git {args[0]} failed: {'no space left on the disk' if full else done.last_line}")
        return done

    def take(self, folder: Path) -> Tree:
        """Records `folder`, but for entries named `.git`. Several may be under way at once."""
        if not self.store.exists():
            self.git("init", "--quiet", "--bare", str(self.store))
        # A name of its own: a reader of a shared one could meet another's half-written tree.
        name = secrets.token_hex(8)
        first = True
        left_out: list[tuple[str, int, int]] = []
        for batch in _batches(folder, left_out):
            head = f"commit refs/heads/{name}\ncommitter bottle <> 0 +0000\ndata 0\n".encode()
            head += b"deleteall\n" if first else f"from refs/heads/{name}^0\n".encode()
            self.git("fast-import", "--quiet", "--force", "--date-format=raw-permissive", input=head + batch)
            first = False
        ident = self.git("rev-parse", f"refs/heads/{name}^{{tree}}").stdout.strip()
        self.git("update-ref", "-d", f"refs/heads/{name}")
        return Tree(ident, tuple(left_out))

    def files(self, before: str, after: Tree) -> tuple[tuple[str, str], ...]:
        """(`A`|`M`|`D`|`T`, path) of what differs."""
        raw = self._diff("--name-status", before=before, after=after)
        parts = raw.decode(errors="surrogateescape").split("\0")[:-1]
        return tuple((parts[i], parts[i + 1]) for i in range(0, len(parts), 2))

    def patch(self, before: str, after: Tree) -> bytes:
        """The difference as a patch that `git apply` takes, binary files included."""
        return self._diff(
            "-p", "--binary", "--full-index", "--no-ext-diff", "--no-textconv", before=before, after=after
        )

    def _diff(self, *how: str, before: str, after: Tree) -> bytes:
        z = ("-z",) if "-p" not in how else ()
        rest = [f":(exclude,literal){path}" for path, _, _ in after.left_out]
        return self.git("diff-tree", "-r", "--no-renames", *z, *how, before, after.ident, "--", ".", *rest).raw


def _batches(folder: Path, left_out: list[tuple[str, int, int]]) -> Iterator[bytes]:
    """fast-import file commands, some megabytes at a time; at least one batch. Appends to `left_out`."""
    out = bytearray()
    total, yielded = 0, False
    for entry in tree.walk(folder):
        found = _content(entry, TOTAL - total)
        if found is None:
            left_out.append((os.fsdecode(entry.path), entry.info.st_size, entry.info.st_mtime_ns))
            if len(left_out) > LEFT_OUT:
                raise BackendError(f"more than {LEFT_OUT} entries of the copy cannot be recorded", str(folder))
            continue
        mode, data = found
        if not mode:
            continue
        total += len(data)
        name = b'"' + entry.path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'
        out += b"M %s inline %s\ndata %d\n" % (mode, name, len(data)) + data + b"\n"
        if len(out) > BATCH:
            yield bytes(out)
            out.clear()
            yielded = True
    if out or not yielded:
        yield bytes(out)


def _content(entry: tree.Entry, room: int) -> tuple[bytes, bytes] | None:
    """git's mode and the content; ("", "") for what git does not keep; None for what is unreadable or too large."""
    kind = entry.info.st_mode
    if stat.S_ISLNK(kind):
        try:
            return b"120000", os.readlink(entry.name, dir_fd=entry.parent)
        except OSError:
            return None
    if stat.S_ISDIR(kind) or (stat.S_ISREG(kind) and entry.info.st_size > min(LARGEST, room)):
        return None
    if not stat.S_ISREG(kind):
        return b"", b""
    handle = tree.open_anyway(entry.name, entry.parent, entry.info)
    if handle < 0:
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return b"", b""
        data = file.read(LARGEST + 1)
    mode = b"100755" if kind & stat.S_IXUSR else b"100644"
    return (mode, data) if len(data) <= LARGEST else None
