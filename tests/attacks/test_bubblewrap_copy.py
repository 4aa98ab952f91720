"""Bringing the work out of a copy that an agent has prepared: links, git's own machinery, names."""

from __future__ import annotations

from pathlib import Path

from backends.api import WorkspaceMode
from backends.bubblewrap.driver import BubblewrapBackend
from botbottle_tui.host.launching import Host
from tests.contract.conftest import bubblewrap as bubblewrap
from tests.contract.plans import plan
from tests.contract.test_contract import quiet

PREPARED = """
cd ~/workspace
echo changed > file
ln -s {outside}/secret stolen
ln -s {outside} way
rm -rf folder && ln -s {outside} folder
mkdir -p .git/hooks nested/.git
cat > .git/config <<'CONFIG'
[core]
	fsmonitor = touch {outside}/ran
	hooksPath = .git/hooks
[diff "x"]
	textconv = touch {outside}/ran; cat
	command = touch {outside}/ran
[filter "x"]
	clean = touch {outside}/ran; cat
	smudge = touch {outside}/ran; cat
CONFIG
cp .git/config nested/.git/config
printf '#!/bin/sh\\ntouch {outside}/ran\\n' > .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit
echo '* filter=x diff=x' > .gitattributes
mkfifo pipe
echo x > "$(printf 'new\\nline')"
echo x > '"quoted" \\\\ name'
echo x > '-rf'
"""


def test_a_prepared_copy_runs_and_overwrites_nothing(bubblewrap: BubblewrapBackend, tmp_path: Path) -> None:
    folder, outside = tmp_path / "project", tmp_path / "outside"
    (folder / "folder").mkdir(parents=True)
    outside.mkdir()
    (folder / "file").write_text("first\n")
    (folder / "folder" / "inner").write_text("first\n")
    (outside / "secret").write_text("the secret itself\n")
    before = sorted(outside.iterdir())
    host = Host(bubblewrap.paths, (bubblewrap,))
    chosen = plan("bubblewrap", cwd=folder, workspace=WorkspaceMode.COPY)
    slug = host.launch(chosen, host.host_values(chosen, {}), quiet).slug
    done = bubblewrap.exec(slug, PREPARED.format(outside=outside))
    assert (done.status, done.stderr) == (0, "")
    changes = host.changes(slug)
    assert ("M", "file") in changes.files and ("A", "new\nline") in changes.files
    assert not [path for _, path in changes.files if ".git/" in path or path == "pipe"]
    assert "the secret itself" not in changes.patch
    assert "changed" in host.apply(slug)
    assert (folder / "file").read_text() == "changed\n" and (folder / "stolen").is_symlink()
    assert (folder / "new\nline").read_text() == "x\n" and (folder / "-rf").read_text() == "x\n"
    assert sorted(outside.iterdir()) == before and (outside / "secret").read_text() == "the secret itself\n"
    assert not (folder / ".git").exists()
    host.stop(slug, drop_changes=True)


def test_a_patch_never_writes_through_a_link(bubblewrap: BubblewrapBackend, tmp_path: Path) -> None:
    """The operator's folder has a link out of it where the copy has a folder by now: nothing is applied."""
    folder, outside = tmp_path / "project", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "file").write_text("first\n")
    host = Host(bubblewrap.paths, (bubblewrap,))
    chosen = plan("bubblewrap", cwd=folder, workspace=WorkspaceMode.COPY)
    slug = host.launch(chosen, host.host_values(chosen, {}), quiet).slug
    bubblewrap.exec(slug, "cd ~/workspace && mkdir way && echo x > way/planted")
    (folder / "way").symlink_to(outside)
    try:
        host.apply(slug)
    except Exception as error:
        assert "way" in str(error)
    assert list(outside.iterdir()) == []
    (folder / "way").unlink()
    host.apply(slug)
    assert (folder / "way" / "planted").read_text() == "x\n"
    host.stop(slug, drop_changes=True)
