"""Looks for values in a sandbox from outside: memory, environment and command line of its processes, and its files.

    python -m tests.e2e.whole.looking PID < '["value", ...]'

PID is any process of the sandbox. Prints a JSON object: each place in which a value stands, and which values (by their
index). Copies of the values in this process are no finding, for it is not in the sandbox.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import stat
import sys
from pathlib import Path

PIECE = 8 << 20
FOLDERS = ("home", "tmp", "var/tmp", "etc", "run", "dev/shm")


def needles(values: list[str]) -> list[tuple[bytes, ...]]:
    """Each value raw, in UTF-16, reversed, and in base64."""
    raws = [value.encode() for value in values]
    return [
        (raw, v.encode("utf-16-le"), raw[::-1], base64.b64encode(raw)[:-4]) for raw, v in zip(raws, values, strict=True)
    ]


def memory(pid: int) -> list[tuple[str, bytes]]:
    """Every readable mapping of a process in pieces, with its name."""
    out = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as mem:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, mode, *_, name = [*line.split(maxsplit=5), ""][:6]
            start, end = (int(part, 16) for part in span.split("-"))
            if "r" not in mode or name in ("[vvar]", "[vsyscall]"):
                continue
            while start < end:
                with contextlib.suppress(OSError):
                    mem.seek(start)
                    out.append((f"memory {name}", mem.read(min(PIECE, end - start))))
                start += PIECE - 256  # so that no value is cut in two
    return out


def files(root: Path) -> list[Path]:
    """The plain files below the folders that an agent can write or that are made for it."""
    found = [path for name in FOLDERS for path in (root / name).rglob("*")]
    return [path for path in found if stat.S_ISREG(path.lstat().st_mode)]


def main(pid: int, values: list[str]) -> dict[str, list[int]]:
    wanted = needles(values)
    out: dict[str, list[int]] = {}

    def look(place: str, data: bytes) -> None:
        found = [i for i, forms in enumerate(wanted) if any(form in data for form in forms)]
        if found:
            out[place] = sorted({*out.get(place, []), *found})

    namespace = os.stat(f"/proc/{pid}/ns/pid").st_ino
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if (entry / "ns" / "pid").stat().st_ino != namespace:
                continue
            name = (entry / "comm").read_text().strip()
            for kind in ("environ", "cmdline"):
                look(f"{kind} of {name}", (entry / kind).read_bytes())
            for part, data in memory(int(entry.name)):
                look(f"{part} of {name}", data)
    for path in files(Path(f"/proc/{pid}/root")):
        look(f"file {path.name}", path.read_bytes())
    return out


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), json.load(sys.stdin))))
