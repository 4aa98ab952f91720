"""The pure parts import no I/O, and the first frame waits for nothing that is slow to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ALLOWED = {
    "core": {"botbottle_tui.core", "backends.api", "manifests", "sidecar_bundle.shared"},
    "view": {"botbottle_tui.core", "botbottle_tui.view", "backends.api", "sidecar_bundle.shared", "urwid"},
}
STDLIB = {
    "__future__",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "itertools",
    "pathlib",
    "typing",
    "unicodedata",
}
IO_CALLS = {
    "open",
    "print",
    "input",
    "exists",
    "stat",
    "read_text",
    "write_text",
    "mkdir",
    "expanduser",
    "resolve",
    "iterdir",
}


def imports(tree: ast.AST) -> set[str]:
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    return names | {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}


def impure(source: str, part: str) -> set[str]:
    tree = ast.parse(source)
    bad = {
        name
        for name in imports(tree)
        if name.split(".")[0] not in STDLIB and not any(name == a or name.startswith(f"{a}.") for a in ALLOWED[part])
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", None) or (
                node.func.attr if isinstance(node.func, ast.Attribute) and node.func.attr != "resolve" else ""
            )
            bad |= {name} & (IO_CALLS - {"resolve"})
    return bad


@pytest.mark.parametrize("part", ALLOWED)
def test_pure_parts_do_no_io(part: str) -> None:
    files = sorted((ROOT / "botbottle_tui" / part).rglob("*.py"))
    assert len(files) > 4
    assert {str(f): impure(f.read_text(), part) for f in files} == {str(f): set() for f in files}


@pytest.mark.parametrize(
    "line", ["import os", "from manifests_x import y", "open('x')", "p.read_text()", "import time"]
)
def test_the_gate_can_fail(line: str) -> None:
    assert impure(line, "core")


def test_first_frame_imports_nothing_slow() -> None:
    code = (
        "import sys, botbottle_tui.shell.runtime;"
        "print(*[n for n in ('yaml','libtmux','docker','backends.bubblewrap.driver','botbottle_tui.host.records')"
        " if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")
