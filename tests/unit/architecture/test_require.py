"""What `BOT_BOTTLE_REQUIRE` does: a test that lacks what it names fails, with its reason, where others are skipped."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SUITE = """
from conftest import need
def test_tmux(): need("tmux", "it is not installed")
def test_docker(): need("docker", "no daemon answers")
"""


def outcome(folder: Path, required: str) -> str:
    shutil.copy(Path(__file__).resolve().parents[2] / "conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_a.py").write_text(SUITE)
    argv = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", str(folder)]
    env = {"BOT_BOTTLE_REQUIRE": required, "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False).stdout


def test_nothing_required(tmp_path: Path) -> None:
    assert "2 skipped" in outcome(tmp_path, "")


def test_what_is_required_fails_with_its_reason(tmp_path: Path) -> None:
    out = outcome(tmp_path, "tmux,bubblewrap")
    assert "tmux is required here, but it is not installed" in out
    assert "docker: no daemon answers" in out
    assert "1 failed, 1 skipped" in out
