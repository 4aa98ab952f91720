"""Proposals and answers as files: written whole or not at all, read without trust, in folders of one writer each.

The bundle writes `<id>.proposal.json` into its queue folder; the host writes `<id>.response.json` into the answers
folder, which the bundle only reads. Neither follows a link, and neither believes the other's names or sizes.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from sidecar_bundle.shared.proposal import (
    ID,
    MAX_FILE,
    Proposal,
    ProposalError,
    Response,
    dump_proposal,
    dump_response,
    parse_proposal,
    parse_response,
)

PROPOSAL = ".proposal.json"
RESPONSE = ".response.json"
MAX_PENDING = 100  # proposals of one bottle that may wait at once
MAX_ENTRIES = 5000  # names of a folder that are looked at
SETTLED = 100_000_000  # nanoseconds; a time says nothing about changes within the tick of its clock

# What was read last of each name, and of which file: its inode, change time (which nobody can set) and size.
Known = dict[str, tuple[tuple[int, int, int], Proposal | str]]


class QueueFull(Exception):
    """So many proposals wait that no more are taken; the text says how many."""


def put_proposal(folder: Path, proposal: Proposal) -> None:
    """Queues it, or leaves it as it is when it waits already. Raises `QueueFull`, or `OSError`."""
    path = folder / f"{proposal.id}{PROPOSAL}"
    if path.exists():
        return
    with _opened(folder) as at:
        waiting = len(_names(at, MAX_PENDING)[0])
    if waiting >= MAX_PENDING:
        raise QueueFull(f"{waiting} proposals wait already; wait for the operator's answers")
    _write(folder, path.name, dump_proposal(proposal))


def proposals(folder: Path, known: Known | None = None) -> tuple[tuple[Proposal, ...], tuple[str, ...]]:
    """The first `MAX_PENDING` that wait, oldest first, and a line for each file that is no proposal.

    `known` is the caller's to keep: files that it tells of and that did not change are not read again.
    """
    known = {} if known is None else known
    try:
        with _opened(folder) as at:
            names, more = _names(at, MAX_PENDING)
            read = [(name, _known(at, name, known)) for name in names]
    except FileNotFoundError:
        known.clear()
        return (), ()
    except OSError as error:
        return (), (f"{folder.name}: {error.strerror}",)
    for name in known.keys() - set(names):
        known.pop(name, None)  # another thread may have been quicker
    bad = [f"{name}: {what}" for name, what in read if isinstance(what, str) and what]
    bad += [f"{folder.name}: holds more than {MAX_ENTRIES} files: not all were looked at"] if more else []
    found = [what for _, what in read if isinstance(what, Proposal)]
    return tuple(sorted(found, key=lambda p: (p.created, p.id))), tuple(bad)


def proposal(folder: Path, ident: str) -> Proposal | None:
    """The one with that id as its file says now, or None. Raises `ProposalError` for one that cannot be read."""
    try:
        with _opened(folder) as at:
            what = _known(at, f"{ident}{PROPOSAL}", {})
    except FileNotFoundError:
        return None
    except OSError as error:
        what = error.strerror or "cannot be read"
    if isinstance(what, Proposal):
        return what
    if what:
        raise ProposalError("proposal", what)
    return None


def drop_proposal(folder: Path, ident: str) -> None:
    """Takes an answered or cancelled one away."""
    (folder / f"{ident}{PROPOSAL}").unlink(missing_ok=True)


def put_response(folder: Path, response: Response) -> None:
    """Writes the answer, readable by the bundle; this is the last step of every decision."""
    _write(folder, f"{response.id}{RESPONSE}", dump_response(response), 0o644)


def response(folder: Path, ident: str) -> Response | None:
    """The answer of that id, or None while there is none. Raises `ProposalError` for one that cannot be read."""
    try:
        with _opened(folder) as at, _file(at, f"{ident}{RESPONSE}") as fd:
            return parse_response(_content(fd))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProposalError("response", error.strerror or "cannot be read") from None


def _known(at: int, name: str, known: Known) -> Proposal | str:
    """What a file holds, or what is wrong with it; "" for one that is gone."""
    try:
        with _file(at, name) as fd:
            info = os.fstat(fd)
            now = (info.st_ino, info.st_ctime_ns, info.st_size)
            before, what = known.get(name, (None, ""))
            if now == before:
                return what
            what = _parsed(_content(fd), name)
    except FileNotFoundError:
        return ""
    except ProposalError as error:
        return str(error)
    except OSError as error:
        return error.strerror or "cannot be read"
    if abs(time.time_ns() - info.st_ctime_ns) > SETTLED:
        known[name] = (now, what)
    return what


def _parsed(data: bytes, name: str) -> Proposal | str:
    try:
        one = parse_proposal(data)
    except ProposalError as error:
        return str(error)
    except Exception as error:
        # One bottle's file, whatever it holds, must not keep the proposals of all others from the operator.
        return f"cannot be read ({type(error).__name__})"
    return one if one.id == name.removesuffix(PROPOSAL) else "id: differs from the file's name"


def _names(at: int, most: int) -> tuple[list[str], bool]:
    """At most so many names of proposals in a folder, and whether it holds more names than are looked at."""
    names: list[str] = []
    with os.scandir(at) as entries:
        for number, entry in enumerate(entries):
            if number >= MAX_ENTRIES:
                return sorted(names), True
            if entry.name.endswith(PROPOSAL) and ID.match(entry.name.removesuffix(PROPOSAL)):
                names.append(entry.name)
                if len(names) >= most:
                    break
    return sorted(names), False


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """The folder itself: a link in its place is refused, and no name is looked up in another one."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _file(at: int, name: str) -> Iterator[int]:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ProposalError("file", "is not a plain file")
        yield fd
    finally:
        os.close(fd)


def _content(fd: int) -> bytes:
    with os.fdopen(fd, "rb", closefd=False) as file:
        return file.read(MAX_FILE + 1)


def _write(folder: Path, name: str, text: str, mode: int = 0o600) -> None:
    fresh = folder / f".{name}.{os.getpid()}.new"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(folder / name)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
