"""All manifests of an operator and a repository as one value: agents, bottles, and what is broken, with its error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, TypeVar

from agent_image.providers import PROVIDERS, Provider
from manifests import schema
from manifests.bottle import read_bottle
from manifests.extends import resolve
from manifests.frontmatter import Document, parse_document
from manifests.values import (
    AgentManifest,
    Bottle,
    Broken,
    Catalog,
    EnvEntry,
    GitRemote,
    ManifestError,
    ManifestRoute,
)
from sidecar_bundle.shared.visible import visible

__all__ = [
    "AgentManifest",
    "Bottle",
    "Broken",
    "Catalog",
    "EnvEntry",
    "GitRemote",
    "ManifestError",
    "ManifestRoute",
    "build_catalog",
]

_SKILL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")

T = TypeVar("T")
Source = Literal["home", "repository"]


def build_catalog(
    home_bottles: Mapping[Path, bytes],
    home_agents: Mapping[Path, bytes],
    repo_agents: Mapping[Path, bytes],
    *,
    repo_has_bottles: Path | None = None,
    stale_json: Path | None = None,
    providers: Mapping[str, Provider] = PROVIDERS,
) -> Catalog:
    """The catalogue of these files (path -> content). It never raises: what cannot be used is a row in `broken`.

    `repo_has_bottles` is a bottles folder that lies in the repository, and `stale_json` a manifest of the old JSON
    form; both are ignored with a warning.
    """
    warnings: list[str] = []
    if repo_has_bottles:
        rule = "a repository may bring agents, never bottles; move them into the HOME folder if you trust them"
        warnings.append(f"{_shown(repo_has_bottles)} is ignored: {rule}")
    if stale_json:
        rule = "manifests are Markdown files now (bottles/NAME.md, agents/NAME.md; see the README)"
        warnings.append(f"{_shown(stale_json)} is ignored: {rule}")
    bottle_files = _read(home_bottles, warnings, lambda name, doc: read_bottle(doc, providers))
    bottles = resolve(bottle_files, providers)
    # In the HOME folder's own parent both lists are the same files.
    foreign = {path: data for path, data in repo_agents.items() if path not in home_agents}
    agents: dict[str, AgentManifest | ManifestError] = {}
    sources: tuple[tuple[Source, Mapping[Path, bytes]], ...] = (("home", home_agents), ("repository", foreign))
    for source, files in sources:
        taken = frozenset(agents)
        agents |= _read(files, warnings, _agent_reader(source, bottles, taken))
    return Catalog(
        agents=_whole(agents, AgentManifest),
        bottles=_whole(bottles, Bottle),
        broken=tuple(
            sorted(
                [Broken(name, "agent", e) for name, e in agents.items() if isinstance(e, ManifestError)]
                + [Broken(name, "bottle", e) for name, e in bottles.items() if isinstance(e, ManifestError)],
                key=lambda broken: (broken.name, broken.kind),
            )
        ),
        warnings=tuple(warnings),
    )


def _whole(found: Mapping[str, T | ManifestError], kind: type[T]) -> tuple[T, ...]:
    return tuple(one for _, one in sorted(found.items(), key=lambda pair: pair[0]) if isinstance(one, kind))


def _read(
    files: Mapping[Path, bytes], warnings: list[str], read: Callable[[str, Document], T]
) -> dict[str, T | ManifestError]:
    """Each file's value by its stem, or its error. Files with a stem that is no name are skipped with a warning."""
    found: dict[str, T | ManifestError] = {}
    for path, data in sorted(files.items()):
        if not schema.NAME.match(path.stem) or path.suffix != ".md":
            rule = "a manifest's file is named NAME.md, with a name of a-z, 0-9 and -, a letter first"
            warnings.append(f"{_shown(path)} is skipped: {rule}")
            continue
        try:
            found[path.stem] = read(path.stem, parse_document(path, data))
        except ManifestError as e:
            found[path.stem] = e
    return found


def _agent_reader(
    source: Source, bottles: Mapping[str, Bottle | ManifestError], taken: Iterable[str]
) -> Callable[[str, Document], AgentManifest]:
    def read(name: str, doc: Document) -> AgentManifest:
        schema.check(doc, schema.AGENT)
        bottle, skills = doc.root.entries["bottle"], doc.root.at("skills")
        _check_bottle(doc, bottle.line, bottle.text, bottles)
        names: list[str] = []
        for i, skill in enumerate(skills.items if skills else ()):
            if not _SKILL.match(skill.text) or ".." in skill.text:
                message = f"{skill.text!r} is not the name of a skill's folder (allowed: letters, digits, . _ -)"
                raise doc.error(skill.line, f"skills[{i}]", message)
            if skill.text in names:
                raise doc.error(skill.line, f"skills[{i}]", f"{skill.text!r} stands twice")
            names.append(skill.text)
        return AgentManifest(name, doc.path, source, bottle.text, tuple(names), doc.body, shadows=name in taken)

    return read


def _check_bottle(doc: Document, line: int, name: str, bottles: Mapping[str, Bottle | ManifestError]) -> None:
    found = bottles.get(name)
    if found is None:
        known = ", ".join(sorted(bottles)) or "none"
        near = schema.close(name, bottles)
        raise doc.error(line, "bottle", f"no bottle of the HOME folder is named {name!r}{near} (bottles: {known})")
    if isinstance(found, ManifestError):
        raise doc.error(line, "bottle", f"bottle {name} is broken: {found}")


def _shown(path: Path) -> str:
    return visible(str(path), keep="")
