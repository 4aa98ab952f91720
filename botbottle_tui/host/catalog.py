"""Reads the manifest folders and hands their bytes to the parser; writes the examples."""

from __future__ import annotations

from pathlib import Path

import manifests
from backends.api import BackendError
from botbottle_tui.host import files
from manifests.catalog import Catalog, build_catalog

MAX_BYTES = 1 << 20


def read(home: Path, cwd: Path) -> Catalog:
    """Everything below `home` and `cwd/.bot-bottle`; unreadable files are empty ones, which the parser reports."""
    repo = cwd / ".bot-bottle"
    same = repo.exists() and home.exists() and repo.resolve() == home.resolve()
    stale = home.parent / "bot-bottle.json"
    return build_catalog(
        _folder(home / "bottles"),
        _folder(home / "agents"),
        {} if same else _folder(repo / "agents"),
        repo_has_bottles=None if same or not (repo / "bottles").is_dir() else repo / "bottles",
        stale_json=stale if stale.is_file() and not home.is_dir() else None,
    )


def _folder(folder: Path) -> dict[Path, bytes]:
    out: dict[Path, bytes] = {}
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix == ".md")
    except OSError:
        return out
    for path in paths:
        try:
            with path.open("rb") as file:
                out[path] = file.read(MAX_BYTES + 1)
        except OSError:
            out[path] = b""
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
