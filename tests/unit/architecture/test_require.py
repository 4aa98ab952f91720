"""What `BOT_BOTTLE_REQUIRE` does to skips: only those of a required thing become failures, with their reason."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SUITE = {
    "test_a.py": """
import pytest
def test_reason(): pytest.skip("needs tmux: it is not installed")
def test_other(): pytest.skip("needs docker: it is not installed")
@pytest.mark.backend("bubblewrap")
def test_marked(): pytest.skip("no user namespaces")
@pytest.mark.skipif(True, reason="needs tmux: still")
def test_condition(): pass
@pytest.mark.xfail(reason="needs tmux: expected")
def test_expected(): assert 0
""",
    "test_b.py": """
import pytest
pytest.skip("needs tmux: whole module", allow_module_level=True)
""",
}


def outcome(folder: Path, required: str) -> str:
    shutil.copy(Path(__file__).resolve().parents[2] / "conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = backend(name)\n")
    for name, text in SUITE.items():
        (folder / name).write_text(text)
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--continue-on-collection-errors",
        str(folder),
    ]
    env = {"BOT_BOTTLE_REQUIRE": required, "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False).stdout


def test_nothing_required(tmp_path: Path) -> None:
    assert "5 skipped, 1 xfailed" in outcome(tmp_path, "")


def test_required_skips_fail_with_their_reason(tmp_path: Path) -> None:
    out = outcome(tmp_path, "tmux,bubblewrap")
    assert "BOT_BOTTLE_REQUIRE names tmux, but: Skipped: needs tmux: it is not installed" in out
    assert "BOT_BOTTLE_REQUIRE names bubblewrap, but: Skipped: no user namespaces" in out
    assert "BOT_BOTTLE_REQUIRE names tmux, but: Skipped: needs tmux: whole module" in out
    assert "2 failed, 1 skipped, 1 xfailed, 2 errors" in out
