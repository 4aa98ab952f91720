"""Looks at everything that a push brings, and says what must not leave: which commit, which file, which rule."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol

from sidecar_bundle.gitgate.brought import Brought, Git, Text, brought, contents
from sidecar_bundle.gitgate.refs import Update
from sidecar_bundle.gitgate.rules import GUESSES, LOCK_FILES
from sidecar_bundle.gitgate.run import Failed
from sidecar_bundle.gitgate.unpack import unpacked
from sidecar_bundle.shared.visible import visible

SECONDS = 60.0
SHOWN = 20
# Bytes of a line that nobody wrote by hand.
MINIFIED = 500
_PLACES = {
    "message": "the commit message",
    "names": "the name of a file",
    "links": "the commit of a submodule",
    "tag": "the text of a tag",
}


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A rule that fires on a text, and what exactly it fires on: equal marks are the same secret in the same line."""

    rule: str
    what: bytes = field(default=b"", repr=False)


class Scanner(Protocol):
    """Marks of each text, in the order of the texts. `Failed` when it cannot tell."""

    def __call__(self, texts: Sequence[bytes], timeout: float) -> list[set[Mark]]: ...


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that must not leave. Holds no part of it."""

    rule: str
    text: Text


@dataclass
class Push:
    """One push under examination: its repository, its updates, and where its objects are until it is taken."""

    git: Git
    updates: Sequence[Update]
    quarantine: Mapping[str, str]
    scanner: Scanner
    seconds: float = SECONDS
    found: Brought = field(default_factory=Brought)
    _until: float = 0.0

    def leaks(self) -> list[Leak]:
        """Everything that is found in what the upstream does not have. `Failed` for what cannot be scanned."""
        self._until = time.monotonic() + self.seconds
        self.found = brought(self.git, self.updates, self.quarantine, self._left())
        plain = [t for t in self.found.texts if not t.oid]
        marked = list(zip(plain, self._marks([t.data for t in plain], [""] * len(plain)), strict=True))
        by_oid = {t.oid: t for t in self.found.texts if t.oid}
        for batch in contents(self.git, list(by_oid), self.quarantine, self._left()):
            texts = [by_oid[oid] for oid in batch]
            found = self._marks([batch[t.oid] for t in texts], [t.path for t in texts])
            marked += zip(texts, found, strict=True)
        marked = [(text, marks) for text, marks in marked if marks]
        known = self._known([text for text, _ in marked])
        return [
            Leak(rule, text)
            for text, marks in marked
            for rule in sorted({m.rule for m in marks - set().union(*(known.get(b, set()) for b in text.before))})
        ]

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise Failed(f"the push cannot be scanned within {self.seconds:.0f} s; push it in parts")
        return left

    def _marks(self, datas: Sequence[bytes], paths: Sequence[str]) -> list[set[Mark]]:
        parts = list[tuple[int, bytes]]()
        for index, data in enumerate(datas):
            self._left()
            parts += ((index, part) for part in (data, *unpacked(data)))
        out: list[set[Mark]] = [set() for _ in datas]
        if parts:
            found = self.scanner([part for _, part in parts], self._left())
            for (index, _), marks in zip(parts, found, strict=True):
                out[index] |= marks
        for marks, path in zip(out, paths, strict=True):
            marks -= {m for m in marks if m.rule in GUESSES and is_noise(path, m.what)}
        return out

    def _known(self, texts: Sequence[Text]) -> dict[tuple[str, str], set[Mark]]:
        """Marks of what these texts replace. That is upstream already, or is a text of this push with its own leak."""
        before = list(dict.fromkeys(b for text in texts for b in text.before))
        out: dict[tuple[str, str], set[Mark]] = {}
        for batch in contents(self.git, [oid for oid, _ in before], self.quarantine, self._left()) if before else ():
            pairs = [b for b in before if b[0] in batch]
            marks = self._marks([batch[oid] for oid, _ in pairs], [path for _, path in pairs])
            out |= dict(zip(pairs, marks, strict=True))
        return out


def is_noise(path: str, line: bytes) -> bool:
    """Whether a guess counts for nothing: in a file of package hashes, or in a line that a minifier made, by its name.

    A name is the agent's choice. So this is for guesses alone: what is known to be a secret is one in every file.
    """
    name = PurePosixPath(path).name.lower()
    return name in LOCK_FILES or (name.endswith((".min.js", ".min.css", ".js.map")) and len(line) > MINIFIED)


def explain(leaks: Sequence[Leak], scanner: str) -> list[str]:
    """What the client is told: commit, place and rule of each leak, and no part of any secret."""
    hidden = _names_with_leaks(leaks)
    lines = [f"push rejected, nothing was sent: {scanner} found what looks like a secret"]
    for leak in leaks[:SHOWN]:
        where = _PLACES.get(leak.text.kind, "the name of a ref")
        if leak.text.kind == "file":
            where = _shown(leak.text.path, hidden)
        commit = f"commit {leak.text.commit[:10]}: " if leak.text.commit else ""
        lines.append(f"  {commit}{where}: {leak.rule}")
    if len(leaks) > SHOWN:
        lines.append(f"  and {len(leaks) - SHOWN} more")
    lines.append("take it out of every commit (git rebase -i); a later commit that deletes it does not help")
    return lines


def _names_with_leaks(leaks: Sequence[Leak]) -> set[str]:
    return {
        name
        for leak in leaks
        if leak.text.kind == "names"
        for name in leak.text.data.decode("utf-8", "surrogateescape").split("\n")
    }


def _shown(path: str, hidden: set[str]) -> str:
    # A name may itself be the secret; which of a commit's new names it is, the scanners do not say.
    return "a file whose name is not shown" if path in hidden else visible(path[:200], keep="")
