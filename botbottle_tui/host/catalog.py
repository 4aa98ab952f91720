"""Reads the manifest folders and hands their bytes to the parser; writes the examples."""

from __future__ import annotations

from pathlib import Path

import manifests
from backends.api import BackendError
from botbottle_tui.host import files
from manifests.catalog import Catalog, build_catalog

MAX_BYTES = 1 << 20
MAX_FILES = 500


def read(home: Path, cwd: Path) -> Catalog:
    """Everything below `home` and `cwd/.bot-bottle`.

    What cannot be read or is no file counts as an empty one, which the parser reports; so does a link in a repository.
    """
    repo = cwd / ".bot-bottle"
    same = repo.exists() and home.exists() and repo.resolve() == home.resolve()
    stale = home.parent / "bot-bottle.json"
    return build_catalog(
        bottle_files(home),
        _folder(home / "agents"),
        {} if same else _folder(repo / "agents", links=False),
        repo_has_bottles=None if same or not (repo / "bottles").is_dir() else repo / "bottles",
        stale_json=stale if stale.is_file() and not home.is_dir() else None,
    )


def bottle_files(home: Path) -> dict[Path, bytes]:
    """The operator's bottles as they stand."""
    return _folder(home / "bottles")


def _folder(folder: Path, *, links: bool = True) -> dict[Path, bytes]:
    out: dict[Path, bytes] = {}
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix == ".md")
    except OSError:
        return out
    for path in paths[:MAX_FILES]:
        out[path] = b"" if path.is_symlink() and not links else files.read_head(path, MAX_BYTES + 1)
    return out


def init(home: Path) -> tuple[Path, ...]:
    """Copies each example that is not there yet; answers what it wrote."""
    written = []
    examples = Path(manifests.__path__[0]) / "examples"
    for source in sorted(examples.glob("*/*.md")):
        target = home / source.parent.name / source.name
        if not target.exists():
            files.write(target, source.read_text(encoding="utf-8"))
            written.append(target)
    if not home.is_dir():
        raise BackendError(f"cannot make {home}", "check who owns it")
    return tuple(written)
