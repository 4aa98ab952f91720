"""Regenerates the marked blocks of ARCHITECTURE.md and README.md: `python -m tests.docs --check|--write`.

A block is what stands between `<!-- generated: NAME -->` and `<!-- end -->`, each on a line of its own.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("botbottle_tui", "backends", "manifests", "agent_image", "sidecar_bundle")
DOCUMENTS: Mapping[str, tuple[str, ...]] = {"ARCHITECTURE.md": ("map",), "README.md": ("manifest-keys", "keys", "make")}

_BLOCK = re.compile(r"^<!-- generated: ([a-z-]+) -->\n(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)


class DocsError(Exception):
    """A document that cannot be regenerated, in one line."""


def file_map(root: Path = ROOT) -> str:
    """Every source file with its caption, as one Markdown table a package."""
    parts = []
    for package in PACKAGES:
        rows = []
        for path in sorted((root / package).rglob("*.py")):
            docstring = ast.get_docstring(ast.parse(path.read_text()))
            if docstring:
                caption = docstring.split("\n")[0].replace("|", "\\|")
                rows.append(f"| `{path.relative_to(root / package).as_posix()}` | {caption} |")
        if rows:
            parts.append("\n".join([f"| `{package}/` | |", "|---|---|", *rows, ""]))
    return "\n".join(parts)


def make_targets(root: Path = ROOT) -> str:
    """The Makefile's targets with what `make help` says of them."""
    rows = re.findall(r"^([a-z-]+):.*?## (.*)$", (root / "Makefile").read_text(), re.MULTILINE)
    return "\n".join(
        ["| command | what it does |", "|---|---|", *(f"| `make {name}` | {text} |" for name, text in rows), ""]
    )


def _reference(module: str) -> Callable[[], str]:
    def text() -> str:
        return str(importlib.import_module(module).reference()).rstrip("\n") + "\n"

    return text


GENERATORS: Mapping[str, Callable[[], str]] = {
    "map": file_map,
    "manifest-keys": _reference("manifests.schema"),
    "keys": _reference("botbottle_tui.core.keymap"),
    "make": make_targets,
}


def regenerate(name: str, text: str, wanted: tuple[str, ...], generators: Mapping[str, Callable[[], str]]) -> str:
    """`text` of the document `name` with all its blocks made anew; each of `wanted` must stand in it exactly once."""
    found = [match[1] for match in _BLOCK.finditer(text)]
    markers = len(re.findall(r"^<!-- (?:generated:|end)", text, re.MULTILINE))
    if sorted(found) != sorted(wanted) or markers != 2 * len(found):
        raise DocsError(
            f"{name}: has the blocks {', '.join(found) or 'none'} and must have {', '.join(wanted)}, each once"
        )
    return _BLOCK.sub(lambda m: f"<!-- generated: {m[1]} -->\n{generators[m[1]]()}<!-- end -->", text)


def main(arguments: list[str], root: Path = ROOT) -> int:
    """0 when every document is up to date (or was written), 1 when one is not, 2 on wrong arguments."""
    if arguments not in (["--check"], ["--write"]):
        print("usage: python -m tests.docs --check|--write", file=sys.stderr)
        return 2
    status = 0
    for name, wanted in DOCUMENTS.items():
        path = root / name
        try:
            old = path.read_text()
            new = regenerate(name, old, wanted, GENERATORS)
        except (DocsError, OSError) as e:
            print(f"docs: {e}", file=sys.stderr)
            status = 1
            continue
        if new == old:
            continue
        if arguments == ["--write"]:
            path.write_text(new)
            print(f"docs: {name} written")
        else:
            print(f"docs: {name} is not up to date; run: make docs", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
