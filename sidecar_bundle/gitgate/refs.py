"""The refs of a push as git tells its hook, each checked: what is forwarded is exactly what was judged. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sidecar_bundle.gitgate.run import Failed
from sidecar_bundle.shared.visible import visible

OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
# What `git check-ref-format` refuses. A client of the agent's own making can send it, and git asks its hook about it.
_NEVER = re.compile(r"[\0-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|\Z)|[./]\Z")


@dataclass(frozen=True, slots=True)
class Update:
    """One ref of a push: old and new object, zeros for none."""

    old: str
    new: str
    ref: str

    @property
    def deletes(self) -> bool:
        """Whether the ref goes."""
        return not self.new.strip("0")


def updates(rows: Iterable[Sequence[str]]) -> list[Update]:
    """The rows of a hook; bytes that are not UTF-8 stand in them as surrogates. `Failed` for what is no update."""
    out = []
    for row in rows:
        if len(row) != 3 or not all(OID.match(oid) for oid in row[:2]):
            raise Failed("a ref without its two objects is not taken")
        if not allowed(row[2]):
            raise Failed(f"{visible(row[2][:100], keep='')} is not the name of a ref")
        out.append(Update(*row))
    return out


def allowed(ref: str) -> bool:
    """Whether git takes it as the full name of a ref, and it is UTF-8: another's bytes would arrive as another name."""
    try:
        ref.encode()
    except UnicodeEncodeError:
        return False
    return ref.startswith("refs/") and len(ref) > 5 and not _NEVER.search(ref)
