"""The audit log: a line for each decision, chained by hashes, so that a line changed, dropped or moved is found."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from backends.api import BackendError
from botbottle_tui.host import files

FILE = "audit.jsonl"
HEAD = "head.json"
FIRST = "0" * 64
MOST_PROBLEMS = 20
MAX_LINE = 1 << 20


class Audit:
    """`audit.jsonl` and `head.json` in one folder. The head says how many lines there are and the hash of the last."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.head = folder / HEAD

    def append(self, entry: Mapping[str, Any]) -> None:
        """Adds a line, durably; `BackendError` when that fails, and then nothing was added."""
        try:
            files.make_private(self.path.parent)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._failed(error) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            count, last = self._settled(fd)
            line = seal(entry, count + 1, last)
            # The head first names the line to come: a crash at any point leaves a chain that verifies.
            self._write_head(count, last, line["hash"])
            size = os.fstat(fd).st_size
            data = (json.dumps(line, ensure_ascii=True, sort_keys=True) + "\n").encode()
            try:
                if os.write(fd, data) != len(data):
                    raise OSError(28, "the disk is full")
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, size)
                raise
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

    def verify(self) -> list[str]:
        """What is wrong with the chain, the first problems only; [] when every line is as it was written."""
        problems: list[str] = []
        count, last = 0, FIRST
        try:
            with self.path.open("rb") as file:
                for number, text in enumerate(file, 1):
                    problem, entry = check(text, count, last)
                    if problem:
                        problems.append(f"line {number}: {problem}")
                        if len(problems) >= MOST_PROBLEMS:
                            return [*problems, "and more"]
                    count, last = number, str(entry.get("hash", ""))
        except FileNotFoundError:
            pass
        except OSError as error:
            return [f"{self.path} cannot be read: {error.strerror}"]
        head = self._read_head()
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

    def _settled(self, fd: int) -> tuple[int, str]:
        """The count and hash that the next line follows; a line that a crash left unannounced or torn is settled."""
        head = self._read_head()
        count, last, coming = head or (0, FIRST, "")
        if head is not None and not coming:
            return count, last
        size = os.fstat(fd).st_size
        data = os.pread(fd, MAX_LINE, max(0, size - MAX_LINE))
        if head is None and size:
            # Without its head the log goes on from what is there; `verify` says that it was gone.
            tail = data.rstrip(b"\n").split(b"\n")[-1]
            with contextlib.suppress(ValueError, AttributeError, TypeError):
                raw = json.loads(tail)
                return int(raw["n"]), str(raw["hash"])
            raise OSError(5, "its last line cannot be read: bottle-dash audit --verify")
        if data and not data.endswith(b"\n"):
            os.ftruncate(fd, size - len(data.split(b"\n")[-1]))
            return count, last
        with contextlib.suppress(ValueError, IndexError, AttributeError):
            if coming and json.loads(data.split(b"\n")[-2]).get("hash") == coming:
                return count + 1, coming
        return count, last

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


def seal(entry: Mapping[str, Any], number: int, previous: str) -> dict[str, Any]:
    """The entry with its number, the hash of the line before, and its own."""
    whole = {**entry, "n": number, "prev": previous}
    return {**whole, "hash": _hash(whole)}


def check(text: bytes, count: int, last: str) -> tuple[str, dict[str, Any]]:
    """What is wrong with the line that should follow line `count`, and the line."""
    try:
        entry = json.loads(text)
        own = entry.pop("hash")
        if not text.endswith(b"\n"):
            return "is cut off", {}
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return "is no line of this log", {}
    real = _hash(entry)
    if real != own:
        return "was changed after it was written", {"hash": own}
    if entry.get("prev") != last:
        number = entry.get("n")
        what = f"is number {number}" if number != count + 1 else "does not follow the line before it"
        return f"{what}: lines were dropped, inserted or moved before it", {"hash": own}
    return "", {"hash": own}


def _hash(entry: Mapping[str, Any]) -> str:
    text = json.dumps(entry, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
