"""`bottle-dash pin` against a real sshd: no trust without a yes, and the rest of the manifest stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from botbottle_tui.cli import pin
from manifests.values import GitRemote
from tests.e2e.gitgate import rig

MANIFEST = """---
# my bottle
git:
  remotes:
    localhost:   # this machine
      Name: app  # short
      Upstream: ssh://git@localhost:{port}/a/app.git
      IdentityFile: ~/.ssh/k
---
notes
"""


@pytest.fixture
def manifest(own_state: Path, server: rig.Sshd) -> Path:
    path = own_state / "bottles" / "dev.md"
    path.parent.mkdir(parents=True)
    path.write_text(MANIFEST.format(port=server.port))
    return path


def dash(*argv: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "botbottle_tui", *argv],
        env={**os.environ, "BOT_BOTTLE_HOME": str(home)},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_key_is_pinned_by_its_fingerprint_only(manifest: Path, own_state: Path, server: rig.Sshd) -> None:
    before = manifest.read_text()
    shown = dash("pin", "dev", "app", home=own_state)
    kind, key = server.host_key.split()
    fingerprint = pin.HostKey(kind, key).fingerprint
    assert shown.returncode == 2 and fingerprint in shown.stdout and manifest.read_text() == before
    assert dash("pin", "dev", "app", "--yes", home=own_state).returncode == 2
    wrong = dash("pin", "dev", "app", "--yes", "--fingerprint", "SHA256:" + "A" * 43, home=own_state)
    assert wrong.returncode == 1 and manifest.read_text() == before
    done = dash("pin", "dev", "app", "--yes", "--fingerprint", fingerprint, home=own_state)
    assert done.returncode == 0, done.stderr
    line = f"      KnownHostKey: {server.host_key}\n"
    assert manifest.read_text().replace(line, "") == before and line in manifest.read_text()
    assert f"+{line.rstrip()}" in done.stdout
    assert "already" in dash("pin", "dev", "app", "--yes", "--fingerprint", fingerprint, home=own_state).stderr


def test_an_old_key_is_replaced_and_a_strange_shape_left_alone() -> None:
    remote = GitRemote("h", "h", "app", "git@h:a", "git", 22, "a", "/k", "")
    text = "git:\n  remotes:\n    h:\n      KnownHostKey: old\n      Name: app\n    i:\n      Name: b\n"
    assert pin.edited(text, remote, "new") == text.replace("old", "new")
    with pytest.raises(pin.BackendError, match="edited safely"):
        pin.edited("git: {remotes: {h: {Name: app}}}\n", remote, "new")
