"""Proposals and answers as files: written whole or not at all, read without trust, in folders of one writer each.

The bundle writes `<id>.proposal.json` into its queue folder; the host writes `<id>.response.json` into the answers
folder, which the bundle only reads. Neither follows a link, and neither believes the other's names or sizes.
"""

from __future__ import annotations

import contextlib
import os
import stat
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


class QueueFull(Exception):
    """So many proposals wait that no more are taken; the text says how many."""


def put_proposal(folder: Path, proposal: Proposal) -> None:
    """Queues it, or leaves it as it is when it waits already. Raises `QueueFull`, or `OSError`."""
    path = folder / f"{proposal.id}{PROPOSAL}"
    if path.exists():
        return
    waiting = len(_names(folder, PROPOSAL, MAX_PENDING + 1))
    if waiting >= MAX_PENDING:
        raise QueueFull(f"{waiting} proposals wait already; wait for the operator's answers")
    _write(folder, path.name, dump_proposal(proposal))


def proposals(folder: Path, most: int = MAX_PENDING) -> tuple[tuple[Proposal, ...], tuple[str, ...]]:
    """The first `most` that wait, oldest first, and a line for each file that is no proposal."""
    found: list[Proposal] = []
    bad: list[str] = []
    for name in _names(folder, PROPOSAL, most):
        try:
            one = parse_proposal(_read(folder, name))
            if one.id != name.removesuffix(PROPOSAL):
                raise ProposalError("id", "differs from the file's name")
            found.append(one)
        except ProposalError as error:
            bad.append(f"{name}: {error}")
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                bad.append(f"{name}: {error.strerror}")
    return tuple(sorted(found, key=lambda p: (p.created, p.id))), tuple(bad)


def drop_proposal(folder: Path, ident: str) -> None:
    """Takes an answered or cancelled one away."""
    (folder / f"{ident}{PROPOSAL}").unlink(missing_ok=True)


def put_response(folder: Path, response: Response) -> None:
    """Writes the answer, readable by the bundle; this is the last step of every decision."""
    _write(folder, f"{response.id}{RESPONSE}", dump_response(response), 0o644)


def response(folder: Path, ident: str) -> Response | None:
    """The answer of that id, or None while there is none. Raises `ProposalError` for one that cannot be read."""
    try:
        return parse_response(_read(folder, f"{ident}{RESPONSE}"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProposalError("response", error.strerror or "cannot be read") from None


def _names(folder: Path, suffix: str, most: int) -> list[str]:
    names: list[str] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(suffix) and ID.match(entry.name.removesuffix(suffix)):
                names.append(entry.name)
                if len(names) >= most:
                    break
    return sorted(names)


def _read(folder: Path, name: str) -> bytes:
    fd = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ProposalError("file", "is not a plain file")
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
