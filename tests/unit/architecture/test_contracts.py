"""The import contracts hold, and each of them breaks when the import that it forbids is planted."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINTER = CONFIG["tool"]["importlinter"]
PACKAGES: list[str] = LINTER["root_packages"]

# id of the contract -> the file that breaks it, its text, and what the linter must say of it
PLANTS = {
    "packages": ("sidecar_bundle/shared/planted_up.py", "import backends.api", "planted_up -> backends.api"),
    "dashboard": (
        "botbottle_tui/core/planted_host.py",
        "import botbottle_tui.host",
        "planted_host -> botbottle_tui.host",
    ),
    "bundle": ("sidecar_bundle/init/planted_egress.py", "import sidecar_bundle.egress", "-> sidecar_bundle.egress"),
    "drivers": ("backends/fake/planted_other.py", "import backends.bubblewrap", "planted_other -> backends.bubblewrap"),
    "host": ("botbottle_tui/view/planted_host.py", "from botbottle_tui import host", "-> botbottle_tui.host"),
    "no-drivers": ("manifests/planted_driver.py", "import backends.fake", "planted_driver -> backends.fake"),
    "wire-only": ("botbottle_tui/core/planted_init.py", "import sidecar_bundle.init", "-> sidecar_bundle.init"),
    "urwid": ("botbottle_tui/core/planted_urwid.py", "import urwid", "planted_urwid -> urwid"),
    "libtmux": ("botbottle_tui/host/planted_tmux.py", "import libtmux", "planted_tmux -> libtmux"),
    "yaml": ("botbottle_tui/host/planted_yaml.py", "import yaml", "planted_yaml -> yaml"),
    "docker": ("backends/bubblewrap/planted_docker.py", "from docker import DockerClient", "planted_docker -> docker"),
    "mitmproxy": ("sidecar_bundle/init/planted_proxy.py", "from mitmproxy import http", "planted_proxy -> mitmproxy"),
    "mcp": ("sidecar_bundle/init/planted_mcp.py", "import mcp.server", "planted_mcp -> mcp"),
    "threads": ("backends/planted_threads.py", "def f():\n    import threading", "planted_threads -> threading"),
    "subprocess": ("botbottle_tui/shell/planted_sub.py", "import subprocess", "planted_sub -> subprocess"),
    "pure": ("manifests/planted_io.py", "import os.path", "planted_io -> os"),
    "pure-bundle": ("sidecar_bundle/egress/decide.py", "import socket", "decide -> socket"),
}


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    argv = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command as c; c()",
        "--no-cache",
        "--no-logo",
    ]
    return subprocess.run(
        argv, cwd=root, capture_output=True, text=True, timeout=60, check=False, env={"COLUMNS": "400"}
    )


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the linter says of a copy of the tree with every plant in it."""
    root = copy(tmp_path_factory.mktemp("tree"))
    for path, text, _ in PLANTS.values():
        with (root / path).open("a") as file:
            file.write(f"\n{text}\n")
    done = lint(root)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def copy(root: Path) -> Path:
    """The tree as the linter needs it."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    types = root / Path(__file__).relative_to(ROOT).parent
    types.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("contract_types.py"), types)
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def section(output: str, ident: str) -> str:
    """What the linter's output says below the underlined title of one broken contract."""
    name = next(c["name"] for c in LINTER["contracts"] if c["id"] == ident)
    return output.split(f"\n{name}\n{'-' * len(name)}\n")[1].split("\n----")[0]


def test_the_contracts_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_contract_has_its_plant() -> None:
    assert [contract["id"] for contract in LINTER["contracts"]] == list(PLANTS)


@pytest.mark.parametrize("ident", PLANTS)
def test_a_contract_can_fail(broken: str, ident: str) -> None:
    name = next(c["name"] for c in LINTER["contracts"] if c["id"] == ident)
    assert f"{name} BROKEN" in broken
    assert PLANTS[ident][2] in section(broken, ident)


def test_a_new_module_must_find_its_layer(tmp_path: Path) -> None:
    root = copy(tmp_path)
    for package in ("botbottle_tui", "backends", "sidecar_bundle"):
        (root / package / f"stray_{package}.py").write_text("")
    done = lint(root)
    assert done.returncode == 1
    for package in ("botbottle_tui", "backends", "sidecar_bundle"):
        assert f"stray_{package}" in done.stdout


def test_every_shipped_package_is_under_contract() -> None:
    included = CONFIG["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in included} == set(PACKAGES)
