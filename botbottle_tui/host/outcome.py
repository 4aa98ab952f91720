"""Getting the work out: what an agent changed in its copy, as a patch, and into the folder that was copied."""

from __future__ import annotations

from pathlib import Path

from backends.api import BackendError, Changes
from backends.process import Runner
from botbottle_tui.host import files
from botbottle_tui.host.records import Records
from botbottle_tui.host.snapshot import Snapshots

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
        tree = self._store(slug).take(folder / "workspace")
        files.write(folder / _BASE, tree)

    def changes(self, slug: str) -> Changes:
        """What differs now. A bottle without a copy has no changes, and a note that says why."""
        record = self.records.load(slug)
        if record is None:
            raise BackendError(f"no bottle {slug}", "bottle-dash list active")
        if record.workspace != "copy":
            note = "it works in your folder itself" if record.workspace == "bind" else "it has no workspace"
            return Changes(slug, (), "", True, note)
        before, after = self._trees(slug)
        store = self._store(slug)
        changed = store.files(before, after)
        patch = store.patch(before, after).decode(errors="replace") if changed else ""
        done = self._read(slug, _EXPORTED) == after
        return Changes(slug, changed, patch, done, f"against {record.cwd} as it was copied")

    def export(self, slug: str) -> Path:
        """Writes the patch to `exports/<slug>.patch` (0600)."""
        data, after = self._patch(slug)
        target = self.exports / f"{slug}.patch"
        files.write_bytes(target, data)
        files.write(self.records.folder(slug) / _EXPORTED, after)
        return target

    def apply(self, slug: str) -> str:
        """Applies the patch to the folder that was copied, all of it or nothing."""
        record = self.records.load(slug)
        data, after = self._patch(slug)
        assert record is not None
        cwd = Path(record.cwd)
        if not cwd.is_dir():
            raise BackendError(f"{cwd} is gone", f"bottle-dash export {slug}")
        store = self._store(slug)
        try:
            store.git("--work-tree", str(cwd), "apply", "--binary", "--whitespace=nowarn", "-", input=data, cwd=cwd)
        except BackendError as error:
            raise BackendError(
                f"the changes do not fit {cwd} any more: {error.message}",
                f"bottle-dash export {slug}, then git apply --3way there",
            ) from None
        files.write(self.records.folder(slug) / _EXPORTED, after)
        return f"{len(store.files(self._read(slug, _BASE), after))} files changed in {cwd}"

    def _patch(self, slug: str) -> tuple[bytes, str]:
        found = self.changes(slug)
        if not found.files:
            raise BackendError(f"bottle {slug} has no changes to bring out", found.note)
        before, after = self._trees(slug)
        return self._store(slug).patch(before, after), after

    def _trees(self, slug: str) -> tuple[str, str]:
        before = self._read(slug, _BASE)
        if not before:
            raise BackendError(f"bottle {slug} has no record of its copy's first state")
        return before, self._store(slug).take(self.records.folder(slug) / "workspace")

    def _store(self, slug: str) -> Snapshots:
        return Snapshots(self.records.folder(slug) / "snapshots.git", self.runner)

    def _read(self, slug: str, name: str) -> str:
        try:
            return (self.records.folder(slug) / name).read_text()
        except OSError:
            return ""
