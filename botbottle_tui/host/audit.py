"""The audit log: a line for each decision, chained by hashes, so that a line changed, dropped or moved is found."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from backends.api import Audited, BackendError
from botbottle_tui.host import files
from sidecar_bundle.shared.activity import MAX_TIME
from sidecar_bundle.shared.visible import visible

FILE = "audit.jsonl"
HEAD = "head.json"
FIRST = "0" * 64
LOST = "head-lost"  # the action of the line that says so
MOST_PROBLEMS = 20
MAX_LINE = 4 << 20
TAIL = 1 << 20  # bytes from the end that `recent` looks at
SHOWN = 300  # characters of what was asked for
DONE = {"approve": "approved", "modify": "modified", "reject": "rejected", "operator-edit": "changed"}


class Audit:
    """`audit.jsonl` and `head.json` in one folder. The head says how many lines there are and the hash of the last."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.head = folder / HEAD
        self._recent: tuple[tuple[int, int], dict[str, list[Audited]]] = ((0, 0), {})

    def append(self, entry: Mapping[str, Any]) -> None:
        """Adds a line, durably; `BackendError` when that fails, and then nothing was added."""
        try:
            files.make_private(self.path.parent)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._failed(error) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            head = self._read_head()
            if head is None and os.fstat(fd).st_size:
                # Lines before may be gone, and a new head would hide that: a line in the chain tells of it for ever.
                count, last = self._end(fd)
                lost = seal({"action": LOST, "time": round(time.time(), 3)}, count + 1, last)
                self._add(fd, lost)
                head = (count + 1, lost["hash"], "")
                self._write_head(*head)
            count, last = self._settled(fd, *(head or (0, FIRST, "")))
            line = seal(entry, count + 1, last)
            # The head first names the line to come: a crash at any point leaves a chain that verifies.
            self._write_head(count, last, line["hash"])
            self._add(fd, line)
            self._write_head(count + 1, line["hash"])
        except OSError as error:
            raise self._failed(error) from None
        finally:
            os.close(fd)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Every line that can be read, oldest first."""
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            for text in file:
                with contextlib.suppress(ValueError):
                    entry = json.loads(text)
                    if isinstance(entry, dict):
                        yield entry

    def recent(self, slug: str) -> tuple[Audited, ...]:
        """What was decided about a bottle, oldest first, as far as the end of the log tells."""
        try:
            info = self.path.stat()
        except OSError:
            return ()
        known, found = self._recent
        if known != (info.st_size, info.st_mtime_ns):
            found = {}
            for text in files.read_tail(self.path, TAIL).splitlines():
                with contextlib.suppress(ValueError, TypeError, AttributeError, RecursionError):
                    entry = json.loads(text)
                    when = float(entry.get("time", 0))
                    if 0 <= when < MAX_TIME:
                        found.setdefault(str(entry.get("slug")), []).append(
                            Audited(when, f"{told(entry)}, by {entry.get('who')}")
                        )
            self._recent = ((info.st_size, info.st_mtime_ns), found)
        return tuple(found.get(slug, ()))

    def verify(self) -> list[str]:
        """What is wrong with the chain, the first problems only; [] when every line is as it was written."""
        problems: list[str] = []
        count, last = 0, FIRST
        head = None
        try:
            with self.path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)
                head = self._read_head()
                for number, text in enumerate(file, 1):
                    if not text.endswith(b"\n") and head and head[2] and number == head[0] + 1:
                        break  # the line to come, which a crash cut off: the next one takes its place
                    problem, entry = check(text, count, last)
                    if entry.get("action") == LOST:
                        problems.append(f"line {number}: {HEAD} was gone here: lines before it may be missing")
                    if problem:
                        problems.append(f"line {number}: {problem}")
                    if len(problems) >= MOST_PROBLEMS:
                        return [*problems, "and more"]
                    count, last = number, str(entry.get("hash", ""))
        except FileNotFoundError:
            head = self._read_head()
        except OSError as error:
            return [f"{self.path} cannot be read: {error.strerror}"]
        if head is None:
            return [*problems, f"{self.head} is missing or cannot be read"] if count else problems
        known, end, coming = head
        if (count, last) != (known, end) and (count, last) != (known + 1, coming):
            if count < known:
                problems.append(f"{known - count} line(s) are missing: the log had {known}, {count} are there")
            elif count > known:
                problems.append(f"{count - known} line(s) too many: the log had {known}")
            elif not problems:
                problems.append("the last line is not the one that was written last")
        return problems

    def _add(self, fd: int, line: Mapping[str, Any]) -> None:
        size, data = os.fstat(fd).st_size, _dump(line)
        if len(data) > MAX_LINE:
            raise OSError(errno.EFBIG, "the decision is too long for one line")
        try:
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, "the disk is full")
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, size)
            raise

    def _end(self, fd: int) -> tuple[int, str]:
        """The number and hash of the last line that is there."""
        before, end, cut = self._tail(fd).rpartition(b"\n")
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            raw = json.loads(before.split(b"\n")[-1])
            if end and not cut:
                return int(raw["n"]), str(raw["hash"])
        raise OSError(errno.EIO, "its last line cannot be read: bottle-dash audit --verify")

    def _settled(self, fd: int, count: int, last: str, coming: str) -> tuple[int, str]:
        """The count and hash that the next line follows; a line that a crash left unannounced or torn is settled."""
        if not coming:
            return count, last
        data = self._tail(fd)
        if data and not data.endswith(b"\n"):
            os.ftruncate(fd, os.fstat(fd).st_size - len(data.split(b"\n")[-1]))
            return count, last
        with contextlib.suppress(ValueError, IndexError, AttributeError, RecursionError):
            if json.loads(data.split(b"\n")[-2]).get("hash") == coming:
                return count + 1, coming
        return count, last

    def _tail(self, fd: int) -> bytes:
        return os.pread(fd, 2 * MAX_LINE, max(0, os.fstat(fd).st_size - 2 * MAX_LINE))

    def _read_head(self) -> tuple[int, str, str] | None:
        try:
            raw = json.loads(self.head.read_text(encoding="utf-8"))
            return int(raw["count"]), str(raw["hash"]), str(raw.get("coming", ""))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write_head(self, count: int, last: str, coming: str = "") -> None:
        head = {"count": count, "hash": last, **({"coming": coming} if coming else {})}
        files.write(self.head, json.dumps(head) + "\n")

    def _failed(self, error: OSError) -> BackendError:
        return BackendError(f"{self.path} cannot be written: {error.strerror}", "free space, or check who owns it")


def told(entry: Mapping[str, Any]) -> str:
    """A decision in one line: what was done with what, and the operator's word on it."""
    action = str(entry.get("action"))
    out = f"{entry.get('kind')} {DONE.get(action, action)}{' for good' if entry.get('for_good') else ''}"
    # What was granted stands in the place of what was asked for, where that was changed.
    if what := str(entry.get("granted") or entry.get("what") or ""):
        out += f": {what if len(what) <= SHOWN else what[:SHOWN] + '…'}"
    why = entry.get("answer") or (entry.get("notes") if action == "reject" else "")
    why = entry.get("justification") if action == "undone" else why
    return visible(f"{out} ({why})" if why else out, keep="")


def seal(entry: Mapping[str, Any], number: int, previous: str) -> dict[str, Any]:
    """The entry with its number, the hash of the line before, and its own."""
    whole = {**entry, "n": number, "prev": previous}
    return {**whole, "hash": _hash(whole)}


def check(text: bytes, count: int, last: str) -> tuple[str, dict[str, Any]]:
    """What is wrong with the line that should follow line `count`, and the line."""
    try:
        entry = json.loads(text)
        own = entry["hash"]
        if not text.endswith(b"\n"):
            return "is cut off", {}
    except (ValueError, KeyError, TypeError, RecursionError):
        return "is no line of this log", {}
    # The bytes too: a key that stands there twice is read once, here, and perhaps otherwise by others.
    if _hash({k: v for k, v in entry.items() if k != "hash"}) != own or _dump(entry) != text:
        return "was changed after it was written", entry
    if entry.get("prev") != last:
        number = entry.get("n")
        what = f"is number {number}" if number != count + 1 else "does not follow the line before it"
        return f"{what}: lines were dropped, inserted or moved before it", entry
    return "", entry


def _dump(line: Mapping[str, Any]) -> bytes:
    return (json.dumps(line, ensure_ascii=True, sort_keys=True) + "\n").encode()


def _hash(entry: Mapping[str, Any]) -> str:
    text = json.dumps(entry, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
