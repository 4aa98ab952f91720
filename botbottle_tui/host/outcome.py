"""Getting the work out: what an agent changed in its copy, as a patch, and into the folder that was copied."""

from __future__ import annotations

import json
from pathlib import Path

from backends.api import BackendError, Changes
from backends.process import Runner
from botbottle_tui.host import files
from botbottle_tui.host.records import Records
from botbottle_tui.host.snapshot import Snapshots, Tree

_BASE, _EXPORTED = "base", "exported"


class Outcomes:
    """The changes of each bottle that works on a copy."""

    def __init__(self, records: Records, exports: Path, runner: Runner) -> None:
        self.records = records
        self.exports = exports
        self.runner = runner

    def remember(self, slug: str) -> None:
        """Takes the tree that changes are measured from."""
        folder = self.records.folder(slug)
        files.write(folder / _BASE, _dump(self._store(slug).take(folder / "workspace")))

    def changes(self, slug: str) -> Changes:
        """What differs now. A bottle without a copy has no changes, and a note that says why."""
        record = self.records.load(slug)
        if record is None:
            raise self._unknown(slug)
        if record.workspace != "copy":
            bind = f"it works in {record.cwd} itself: look there, with git status for instance"
            note = bind if record.workspace == "bind" else "it has no workspace: its files go when it stops"
            return Changes(slug, (), "", True, note, compared=False)
        before, after = self._trees(slug)
        store = self._store(slug)
        changed = store.files(before.ident, after)
        patch = store.patch(before.ident, after).decode(errors="replace") if changed else ""
        done = self._read(slug, _EXPORTED) == after.ident
        note = f"against {record.cwd} as it was copied"
        if after.left_out:
            note += f"; left out as too large, too deep or unreadable: {', '.join(p for p, _, _ in after.left_out[:5])}"
            note += f" and {len(after.left_out) - 5} more" if len(after.left_out) > 5 else ""
        return Changes(slug, changed, patch, done, note, seen=_dump(after))

    def export(self, slug: str) -> Path:
        """Writes the patch to `exports/<slug>.patch` (0600)."""
        data, _, after = self._patch(slug)
        target = self.exports / f"{slug}.patch"
        files.write_bytes(target, data)
        files.write(self.records.folder(slug) / _EXPORTED, after.ident)
        return target

    def keep(self, slug: str) -> str:
        """Where the changes of an ended bottle were put: a patch, or the whole copy if none holds them; "" for none."""
        try:
            found = self.changes(slug)
            if self._lost_by_a_patch(slug):
                return str(self._rescue(slug))
            return str(self.export(slug)) if found.files and not found.exported else ""
        except (BackendError, OSError, MemoryError):
            return str(self._rescue(slug)) if (self.records.folder(slug) / "workspace").exists() else ""

    def _lost_by_a_patch(self, slug: str) -> bool:
        record = self.records.load(slug)
        if record is None or record.workspace != "copy":
            return False
        before, after = self._trees(slug)
        return bool(set(after.left_out) - set(before.left_out))

    def _rescue(self, slug: str) -> Path:
        """Keeps the whole copy as `exports/<slug>`."""
        target = self.exports / slug
        try:
            files.make_private(self.exports)
            (self.records.folder(slug) / "workspace").rename(target)
        except OSError as error:
            raise BackendError(f"the copy of {slug} cannot be kept: {error.strerror}", f"see {target.parent}") from None
        return target

    def apply(self, slug: str, seen: str = "") -> str:
        """Applies the patch to the folder that was copied, all of it or nothing: as it was `seen`, else as it is."""
        record = self.records.load(slug)
        data, before, after = self._patch(slug, seen)
        assert record is not None
        cwd = Path(record.cwd)
        if not cwd.is_dir():
            raise BackendError(f"{cwd} is gone", f"bottle-dash export {slug}")
        store = self._store(slug)
        try:
            store.git("--work-tree", str(cwd), "apply", "--binary", "--whitespace=nowarn", "-", input=data, cwd=cwd)
        except BackendError as error:
            reason = error.message.partition("failed: ")[2] or error.message
            raise BackendError(
                f"the changes do not fit {cwd} any more: {reason}",
                f"bottle-dash export {slug}, then git apply --3way there",
            ) from None
        files.write(self.records.folder(slug) / _EXPORTED, after.ident)
        count = len(store.files(before.ident, after))
        return f"{count} file{'' if count == 1 else 's'} changed in {cwd}"

    def _unknown(self, slug: str) -> BackendError:
        """There is no such bottle; of one that is gone, what it left is named."""
        patch, copy = self.exports / f"{slug}.patch", self.exports / slug
        if Path(slug).name == slug and patch.is_file():
            return BackendError(f"{slug} is gone; what it changed is kept in {patch}", f"git apply {patch}")
        if Path(slug).name == slug and copy.is_dir():
            return BackendError(f"{slug} is gone; its whole copy is kept in {copy}", f"look there: {copy}")
        return BackendError(f"no bottle {slug}", "bottle-dash list active")

    def _patch(self, slug: str, seen: str = "") -> tuple[bytes, Tree, Tree]:
        found = self.changes(slug)
        if not found.files and not seen:
            raise BackendError(f"bottle {slug} has no changes to bring out", found.note)
        before, after = self._trees(slug)
        if seen:
            after = _tree(seen)
        return self._store(slug).patch(before.ident, after), before, after

    def _trees(self, slug: str) -> tuple[Tree, Tree]:
        try:
            before = _tree(self._read(slug, _BASE))
        except ValueError:
            raise BackendError(f"bottle {slug} has no record of its copy's first state") from None
        return before, self._store(slug).take(self.records.folder(slug) / "workspace")

    def _store(self, slug: str) -> Snapshots:
        return Snapshots(self.records.folder(slug) / "snapshots.git", self.runner)

    def _read(self, slug: str, name: str) -> str:
        try:
            return (self.records.folder(slug) / name).read_text()
        except OSError:
            return ""


def _dump(tree: Tree) -> str:
    return json.dumps([tree.ident, tree.left_out])


def _tree(text: str) -> Tree:
    ident, left_out = json.loads(text)
    return Tree(ident, tuple((path, size, time) for path, size, time in left_out))
