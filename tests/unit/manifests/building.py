"""Builds catalogues from texts, as the host would from files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from manifests.catalog import Bottle, Catalog, ManifestError, build_catalog

HOME = Path("/home/op/.bot-bottle")
REPO = Path("/home/op/project/.bot-bottle")


def catalog(
    bottles: Mapping[str, str] | None = None,
    agents: Mapping[str, str] | None = None,
    repo: Mapping[str, str] | None = None,
) -> Catalog:
    """A catalogue of frontmatter texts by name (the `---` lines are added)."""

    def files(root: Path, texts: Mapping[str, str] | None) -> dict[Path, bytes]:
        return {
            root / f"{name}.md": f"---\n{text}---\nbody of {name}\n".encode() for name, text in (texts or {}).items()
        }

    return build_catalog(files(HOME / "bottles", bottles), files(HOME / "agents", agents), files(REPO / "agents", repo))


def bottle(name: str = "b", **texts: str) -> Bottle:
    """The whole bottle `name` of these bottles; fails with its error when it is broken."""
    found = catalog(texts)
    one = found.bottle(name)
    assert one is not None, [str(b.error) for b in found.broken]
    return one


def error(found: Catalog, name: str) -> ManifestError:
    """The error of the broken manifest `name`."""
    errors = [b.error for b in found.broken if b.name == name]
    assert len(errors) == 1, found
    return errors[0]
