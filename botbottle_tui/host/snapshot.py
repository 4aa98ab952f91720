"""What an agent changed in its copy: two trees in a git store of the host's own, and the patch between them.

Git never runs inside the copy and never reads its configuration, attributes or hooks: the files are read here, without
following links, and streamed into `git fast-import`.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from backends.api import BackendError
from backends.process import Completed, Runner

BATCH = 32 << 20  # bytes of file content a fast-import run takes
TIMEOUT = 300.0
_ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
}


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
            raise BackendError(f"git {args[0]} failed: {done.last_line}")
        return done

    def take(self, folder: Path) -> str:
        """Records `folder` and answers the tree's id. Entries named `.git` are left out. Several may be under way."""
        if not self.store.exists():
            self.git("init", "--quiet", "--bare", str(self.store))
        # A name of its own: a reader of a shared one could meet another's half-written tree.
        name = secrets.token_hex(8)
        first = True
        for batch in _batches(folder):
            head = f"commit refs/heads/{name}\ncommitter bottle <> 0 +0000\ndata 0\n".encode()
            head += b"deleteall\n" if first else f"from refs/heads/{name}^0\n".encode()
            self.git("fast-import", "--quiet", "--force", "--date-format=raw-permissive", input=head + batch)
            first = False
        tree = self.git("rev-parse", f"refs/heads/{name}^{{tree}}").stdout.strip()
        self.git("update-ref", "-d", f"refs/heads/{name}")
        return tree

    def files(self, before: str, after: str) -> tuple[tuple[str, str], ...]:
        """(`A`|`M`|`D`|`T`, path) of what differs."""
        raw = self.git("diff-tree", "-r", "-z", "--no-renames", "--name-status", before, after).raw
        parts = raw.decode(errors="surrogateescape").split("\0")[:-1]
        return tuple((parts[i], parts[i + 1]) for i in range(0, len(parts), 2))

    def patch(self, before: str, after: str) -> bytes:
        """The difference as a patch that `git apply` takes, binary files included."""
        args = ("-r", "-p", "--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv")
        return self.git("diff-tree", *args, before, after).raw


def _batches(folder: Path) -> Iterator[bytes]:
    """fast-import file commands, some megabytes at a time; at least one batch."""
    out = bytearray()
    yielded = False
    for path, mode, data in _walk(folder):
        name = b'"' + path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'
        out += b"M %s inline %s\ndata %d\n" % (mode, name, len(data)) + data + b"\n"
        if len(out) > BATCH:
            yield bytes(out)
            out.clear()
            yielded = True
    if out or not yielded:
        yield bytes(out)


def _walk(folder: Path) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(relative path, git mode, content) of every file and link, read without following any link."""
    root = os.fsencode(folder)
    for base, folders, names, fd in os.fwalk(root, follow_symlinks=False):
        folders[:] = sorted(f for f in folders if f != b".git")
        for entry in sorted([*names, *folders]):
            if entry == b".git":
                continue
            path = os.path.relpath(os.path.join(base, entry), root)  # noqa: PTH118 - bytes
            try:
                info = os.stat(entry, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISLNK(info.st_mode):
                    yield path, b"120000", os.readlink(entry, dir_fd=fd)
                elif stat.S_ISREG(info.st_mode):
                    handle = os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
                    with os.fdopen(handle, "rb") as file:
                        if stat.S_ISREG(os.fstat(handle).st_mode):
                            mode = b"100755" if info.st_mode & stat.S_IXUSR else b"100644"
                            yield path, mode, file.read()
            except FileNotFoundError:
                continue  # the agent lives, its files come and go
            except PermissionError as error:
                raise BackendError(f"cannot read {os.fsdecode(path)} of the copy: {error.strerror}") from None
