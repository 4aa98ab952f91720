"""What a push carries that none of its refs leads to: scanned by nobody, and kept in the mirror."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sidecar_bundle.gitgate.brought import Git
from sidecar_bundle.gitgate.refs import Update
from sidecar_bundle.gitgate.run import Failed

# Bytes, packed. A client that is no git may send a little more than is needed.
MOST = 1024 * 1024
_OBJECTS = "GIT_OBJECT_DIRECTORY"


def refuse_surplus(git: Git, updates: Sequence[Update], quarantine: Mapping[str, str], timeout: float) -> None:
    """Raises `Failed` for a push with more than `MOST` bytes of such objects."""
    place = quarantine.get(_OBJECTS, "")
    if not place or sum(pack.stat().st_size for pack in Path(place).glob("pack/*.pack")) <= MOST:
        return

    def ask(*argv: str, stdin: str = "", env: Mapping[str, str]) -> list[list[str]]:
        done = git.git(*argv, timeout=timeout, stdin=stdin.encode(), env=env)
        if done.status:
            raise Failed(f"git {argv[0]} cannot read the push: {(done.lines or ['no reason given'])[-1]}")
        return [line.split() for line in done.out.decode("ascii", "replace").splitlines()]

    # Of what came alone: git completes a pack with objects that the mirror has, and those are no surplus.
    sizes = "--batch-check=%(objectname) %(objectsize:disk)"
    came = {row[0]: int(row[1]) for row in ask("cat-file", "--batch-all-objects", sizes, env={_OBJECTS: place})}
    tips = "\n".join([*(u.new for u in updates if not u.deletes), ""])
    wanted = ["rev-list", "--objects", "--no-object-names", "--stdin", "--not", "--all"]
    rest = came.keys() - {row[0] for row in ask(*wanted, stdin=tips, env=quarantine)}
    there = ask("cat-file", "--batch-check", stdin="\n".join([*rest, ""]), env={}) if rest else []
    surplus = sum(came[row[0]] for row in there if row[-1] == "missing")
    if surplus > MOST:
        raise Failed(f"it brings {surplus >> 10} kB of objects that no pushed ref leads to")
