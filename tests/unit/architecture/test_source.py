"""Every source file: its caption, its length, what it may call, and that no backend knows a provider."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
FILES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))

LIMIT = 310
# A longer file and why it is one: nothing yet.
LONG: dict[str, str] = {}

# Where text for a person may be written: programs of their own, and what owns the terminal.
SPEAKERS = (
    "botbottle_tui/__main__.py",
    "botbottle_tui/cli/",
    "botbottle_tui/shell/runtime.py",
    "botbottle_tui/shell/terminal.py",
    "backends/bubblewrap/enter.py",
    "backends/bubblewrap/keeper.py",
    "backends/docker/enter.py",
    "backends/holder/__main__.py",
    "backends/holder/client.py",
    "sidecar_bundle/",
)
PURE = (
    *("botbottle_tui/core/", "botbottle_tui/view/", "manifests/", "agent_image/"),
    *(
        f"sidecar_bundle/{name}.py"
        for name in (
            *(
                "egress/decide",
                "egress/credentials",
                "egress/json_fields",
                "egress/keyed",
                "egress/live",
                "egress/names",
                "egress/target",
            ),
            *("shared/addresses", "dialer/policy", "init/supervisor", "pipelock/audit", "pipelock/config"),
        )
    ),
)
IMPURE_CALLS = {"open", "input", "print", "exec", "eval", "breakpoint", "__import__"}
IMPURE_METHODS = {
    *("read_text", "read_bytes", "write_text", "write_bytes", "exists", "is_file", "is_dir", "is_symlink", "iterdir"),
    *(
        "glob",
        "rglob",
        "stat",
        "lstat",
        "mkdir",
        "unlink",
        "rmdir",
        "rename",
        "touch",
        "chmod",
        "resolve",
        "cwd",
        "home",
    ),
    *("expanduser", "now", "utcnow", "today"),
}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def caption_faults(text: str) -> str:
    """What is wrong with the caption of a file, or nothing; an empty file needs none."""
    if not text.strip():
        return ""
    first = (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
    if not first:
        return "no docstring"
    if not first.endswith("."):
        return "the first line of the docstring is no sentence of its own"
    return "" if 10 <= len(first) <= 117 else "the caption is too short or too long"


def spoken(text: str) -> Iterator[int]:
    """Lines that write to this process's own stdout or stderr."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in ("print", "sys.stdout", "sys.stderr"):
            yield node.lineno


def impure(text: str) -> Iterator[str]:
    """Calls that touch the world without an import: built-in functions, and methods of paths and clocks."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
                yield f"{node.lineno}: {node.func.id}"
            elif isinstance(node.func, ast.Attribute) and node.func.attr in IMPURE_METHODS:
                yield f"{node.lineno}: .{node.func.attr}"


def provider_names(text: str) -> list[str]:
    """The names of providers that stand in a text as words."""
    return re.findall(r"(?i)(?<![a-z0-9])(?:claude|codex)(?![a-z0-9])", text)


def test_captions() -> None:
    faults = {name(p): fault for p in FILES if (fault := caption_faults(p.read_text()))}
    assert faults == {}


def test_lengths() -> None:
    lengths = {name(p): n for p in FILES if (n := len(p.read_text().splitlines())) > LIMIT}
    assert sorted(lengths) == sorted(LONG), lengths


def test_library_code_is_silent() -> None:
    loud = {name(p): n for p in FILES if not name(p).startswith(SPEAKERS) and (n := list(spoken(p.read_text())))}
    assert loud == {}


def test_pure_parts_call_nothing_impure() -> None:
    found = {name(p): n for p in FILES if name(p).startswith(PURE) and (n := list(impure(p.read_text())))}
    assert found == {}


def test_no_backend_knows_a_provider() -> None:
    files = [p for p in (ROOT / "backends").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert {name(p): names for p in files if (names := provider_names(p.read_text(errors="replace")))} == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("import os\n", "no docstring"),
        ('"""No full stop"""\n', "the first line of the docstring is no sentence of its own"),
        (
            '"""A caption that runs on\nto the next line."""\n',
            "the first line of the docstring is no sentence of its own",
        ),
        ('"""Short."""\n', "the caption is too short or too long"),
        ('"""Says in one line what the file is."""\n', ""),
    ],
)
def test_a_bad_caption_is_seen(text: str, fault: str) -> None:
    assert caption_faults(text) == fault


@pytest.mark.parametrize("text", ["print(1)", "import sys\nsys.stderr.write('x')", "def f():\n  log(file=sys.stdout)"])
def test_a_loud_line_is_seen(text: str) -> None:
    assert list(spoken(text))


@pytest.mark.parametrize("text", ["open('x')", "p.read_text()", "Path.home()", "datetime.now()"])
def test_an_impure_call_is_seen(text: str) -> None:
    assert list(impure(text))


def test_a_providers_name_is_seen() -> None:
    assert provider_names('if p == "claude": CODEX_HOME; x = "claude_code"') == ["claude", "CODEX", "claude"]
    assert provider_names("claudette codexes") == []
