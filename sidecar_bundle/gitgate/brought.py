"""What a push brings: every text of it that the upstream does not have yet, and what each replaces."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from sidecar_bundle.gitgate.refs import OID, Update
from sidecar_bundle.gitgate.run import Done, Failed

MAX_REFS = 1000
MAX_COMMITS = 20_000
MAX_FILE = 64 * 1024 * 1024
MAX_TOTAL = 128 * 1024 * 1024
BATCH = 16 * 1024 * 1024
_SUBMODULE, _FOLDER = "160000", "040000"
_NO_FILE = frozenset({_SUBMODULE, _FOLDER})


class Git(Protocol):
    """Runs git in a repository; a push's own objects are seen through `env`."""

    def git(self, *argv: str, timeout: float, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Done: ...


@dataclass(frozen=True, slots=True)
class Text:
    """Something to scan. `oid` is empty where `data` is the text itself.

    `before` are (object, path) of what its commit replaces; `commit` is empty for what no commit brings.
    """

    kind: Literal["file", "message", "tag", "names", "links", "ref"]
    commit: str
    path: str = ""
    oid: str = ""
    data: bytes = b""
    before: tuple[tuple[str, str], ...] = ()


@dataclass
class Brought:
    """The texts of a push, and how many commits it has."""

    commits: int = 0
    texts: list[Text] = field(default_factory=list)


def brought(git: Git, updates: Sequence[Update], quarantine: Mapping[str, str], timeout: float) -> Brought:
    """What these updates bring. `Failed` for what cannot be looked at."""
    if len(updates) > MAX_REFS:
        raise Failed(f"more than {MAX_REFS} refs in one push; push them in parts")
    found = Brought(texts=[Text("ref", "", data=u.ref.encode()) for u in updates if not u.deletes])

    def ask(*argv: str, stdin: str = "") -> bytes:
        done = git.git(*argv, timeout=timeout, stdin=stdin.encode(), env=quarantine)
        if done.status:
            raise Failed(f"git {argv[0]} cannot read the push: {(done.lines or ['no reason given'])[-1]}")
        return done.out

    tips = [u.new for u in updates if not u.deletes]
    for tip in tips:
        found.texts += _tags(ask, tip)
    if not tips:
        return found
    order = ["--reverse", "--topo-order"]
    listed = ask("rev-list", *order, "--stdin", "--not", "--all", stdin="\n".join([*tips, ""]))
    commits = listed.decode("ascii").split()
    if len(commits) > MAX_COMMITS:
        raise Failed(f"more than {MAX_COMMITS} commits in one push; push them in parts")
    found.commits = len(commits)
    found.texts += [Text("message", commit, oid=commit) for commit in commits]
    # Raw and by object: no attribute, text conversion or rename of the repository has a say. `-c`: of a merge, what
    # none of its parents has. `-t`: with the folders, for an empty one has a name too.
    options = ["-r", "-t", "--root", "-c", "--raw", "-z"]
    options += ["--no-renames", "--no-abbrev", "--no-ext-diff", "--no-textconv"]
    diffs = ask("diff-tree", "--stdin", *options, stdin="\n".join([*commits, ""])) if commits else b""
    seen: set[str] = set()
    for commit, rows in parse_raw(diffs):
        files = [row for row in rows if row.mode not in _NO_FILE]
        before = tuple(dict.fromkeys((oid, row.path) for row in files for oid in row.old if oid.strip("0")))[:500]
        if names := [row.path for row in rows if not any(oid.strip("0") for oid in row.old)]:
            found.texts.append(Text("names", commit, data="\n".join(names).encode("utf-8", "surrogateescape")))
        if links := [row.new for row in rows if row.mode == _SUBMODULE]:
            # Nobody asks whether these commits exist: each is bytes of the agent's choice, as such or in hex.
            data = b"".join(map(bytes.fromhex, links)) + b"\n" + "\n".join(links).encode()
            found.texts.append(Text("links", commit, data=data))
        for row in files:
            if row.new.strip("0") and row.new not in seen:
                seen.add(row.new)
                found.texts.append(Text("file", commit, row.path, row.new, before=before))
    return found


def _tags(ask: _Ask, tip: str) -> Iterator[Text]:
    """The annotated tags from `tip` down to a commit; what leads to no commit is not taken."""
    for _ in range(10):
        kind = ask("cat-file", "-t", tip).strip()
        if kind == b"commit":
            return
        if kind != b"tag":
            raise Failed("a ref that is neither a commit nor a tag of one is not taken")
        data = ask("cat-file", "tag", tip)
        yield Text("tag", "", oid=tip)
        tip = data.split(b"\n", 1)[0].removeprefix(b"object ").decode("ascii", "replace")
    raise Failed("a tag of tags of tags is not taken")


class _Ask(Protocol):
    def __call__(self, *argv: str, stdin: str = "") -> bytes: ...


@dataclass(frozen=True, slots=True)
class Row:
    """A path that a commit changes: new mode and object (zeros: gone), and the objects of its parents there."""

    mode: str
    old: tuple[str, ...]
    new: str
    path: str


def parse_raw(data: bytes) -> Iterator[tuple[str, list[Row]]]:
    """Commits and rows of `git diff-tree --stdin -c --raw -z`. Raises `Failed` for anything else."""
    commit, rows = "", list[Row]()
    tokens = iter(data.decode("utf-8", "surrogateescape").split("\0"))
    for token in tokens:
        if token.startswith(":"):
            parents = len(token) - len(token.lstrip(":"))
            words = token[parents:].split(" ")
            path = next(tokens, "")
            if len(words) != 2 * parents + 3 or not path or not commit:
                raise Failed("git's list of changes cannot be read")
            oids = words[parents + 1 : -1]
            rows.append(Row(words[parents], tuple(oids[:-1]), oids[-1], path))
        elif OID.match(token):
            if commit:
                yield commit, rows
            commit, rows = token, []
        elif token:
            raise Failed("git's list of changes cannot be read")
    if commit:
        yield commit, rows


def contents(
    git: Git, oids: Sequence[str], quarantine: Mapping[str, str], timeout: float
) -> Iterator[dict[str, bytes]]:
    """The objects' contents, in batches of bounded size. `Failed` for what is missing or too large to scan."""

    def ask(*argv: str, stdin: Sequence[str]) -> bytes:
        given = "".join(f"{oid}\n" for oid in stdin).encode()
        done = git.git("cat-file", *argv, timeout=timeout, stdin=given, env=quarantine)
        if done.status:
            raise Failed("git cannot read the objects of the push")
        return done.out

    unique = list(dict.fromkeys(oids))
    sizes: dict[str, int] = {}
    for line in ask("--batch-check", stdin=unique).decode("ascii", "replace").splitlines() if unique else ():
        words = line.split()
        if len(words) != 3:
            raise Failed(f"object {words[0][:12] if words else '?'} is missing from the push")
        sizes[words[0]] = int(words[2])
    if any(size > MAX_FILE for size in sizes.values()):
        raise Failed(f"a file of more than {MAX_FILE >> 20} MB cannot be scanned")
    if sum(sizes.values()) > MAX_TOTAL:
        raise Failed(f"files of more than {MAX_TOTAL >> 20} MB in all cannot be scanned; push them in parts")
    batch, held = list[str](), 0
    for oid in [*unique, ""]:
        if batch and (not oid or held + sizes[oid] > BATCH):
            yield dict(_objects(ask("--batch", stdin=batch)))
            batch, held = [], 0
        if oid:
            batch.append(oid)
            held += sizes[oid]


def _objects(data: bytes) -> Iterator[tuple[str, bytes]]:
    place = 0
    while place < len(data):
        end = data.index(b"\n", place)
        oid, kind, size = data[place:end].split()
        content = data[end + 1 : end + 1 + int(size)]
        if kind == b"commit":
            # The names of other objects look like secrets and are none.
            content = re.sub(rb"\A(?:(?:tree|parent) [0-9a-f]+\n)+", b"", content)
        yield oid.decode(), content
        place = end + 2 + int(size)
