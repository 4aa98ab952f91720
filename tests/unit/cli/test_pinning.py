"""`bottle-dash pin` on manifests of many shapes: one key is written and nothing else, or the file is left alone."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from botbottle_tui.__main__ import main
from botbottle_tui.cli import pin
from botbottle_tui.host.catalog import bottle_files
from manifests.catalog import build_catalog

KEY = pin.HostKey("ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43)
LINE = f"      KnownHostKey: ssh-ed25519 {KEY.key}\n"
OLD = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "B" * 43
BASE = """---
git:
  remotes:
    git.example.org:
      Name: app  # short
      Upstream: ssh://git@git.example.org/a/b.git
      IdentityFile: ~/.ssh/k
---
notes
"""
HEIR = "---\nextends: dev\n---\n"


@pytest.fixture
def path(own_state: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pin, "scan", lambda runner, remote: [KEY])
    (own_state / "bottles").mkdir(parents=True)
    (own_state / "bottles" / "heir.md").write_text(HEIR)
    return own_state / "bottles" / "dev.md"


def pinned(name: str = "dev") -> int:
    return main(["pin", name, "app", "--yes", "--replace", "--fingerprint", KEY.fingerprint])


def with_line(line: str) -> str:
    return BASE.replace("      Upstream", f"{line}      Upstream")


SHAPES = {
    "none yet": (BASE, with_line(LINE)),
    "another": (with_line(f"      KnownHostKey: {OLD}\n"), with_line(LINE)),
    "quoted": (with_line(f'      "KnownHostKey": {OLD}\n'), with_line(LINE)),
    "a blank before the colon": (with_line(f"      KnownHostKey : {OLD}\n"), with_line(LINE)),
    "this one": (with_line(LINE), with_line(LINE)),
    "windows line ends": (BASE.replace("\n", "\r\n"), with_line(LINE).replace("\n", "\r\n")),
    "with a byte order mark": ("\ufeff" + BASE, "\ufeff" + with_line(LINE)),
}


@pytest.mark.parametrize("name", ["dev", "heir"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_key_is_written_and_all_else_stays(path: Path, shape: str, name: str) -> None:
    before, after = SHAPES[shape]
    path.write_bytes(before.encode())
    path.chmod(0o640)
    assert pinned(name) == 0
    assert path.read_bytes() == after.encode() and path.stat().st_mode & 0o777 == 0o640
    remotes = {
        b.name: b.remotes[0].known_host_key for b in build_catalog(bottle_files(path.parents[1]), {}, {}).bottles
    }
    assert remotes == {"dev": f"ssh-ed25519 {KEY.key}", "heir": f"ssh-ed25519 {KEY.key}"}


QUOTED = BASE.replace("Name: app  # short", '"Name": app')
STRANGE = {
    "its key in escapes": with_line(f'      "Known\\x48ostKey": {OLD}\n'),
    "its name in the text for people": QUOTED + "  Name: app\n",
    "its name as a variable's": QUOTED.replace("git:", "env:\n  Name: app\ngit:"),
}


@pytest.mark.parametrize("shape", STRANGE)
def test_what_cannot_be_edited_safely_is_left_alone(path: Path, shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(STRANGE[shape])
    assert pinned() == 1
    assert path.read_text() == STRANGE[shape]
    err = capsys.readouterr().err
    assert "cannot be edited safely" in err and f"write under it by hand: KnownHostKey: ssh-ed25519 {KEY.key}" in err


class Person(io.StringIO):
    """At a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("more", "typed", "status"),
    [
        (["--yes", "--fingerprint", KEY.fingerprint], "", 2),
        (["--yes", "--replace", "--fingerprint", KEY.fingerprint], "", 0),
        ([], "y\n", 2),
        ([], "yes\n", 2),
        ([], "replace\n", 0),
        (["--replace"], "y\n", 0),
    ],
)
def test_another_key_is_not_replaced_by_a_plain_yes(
    path: Path,
    more: list[str],
    typed: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path.write_text(with_line(f"      KnownHostKey: {OLD}\n"))
    monkeypatch.setattr(sys, "stdin", Person(typed))
    assert main(["pin", "dev", "app", *more]) == status
    err = capsys.readouterr().err
    old = pin.HostKey(*OLD.split()).fingerprint
    assert "WARNING: app is pinned to another key" in err
    assert f"old  ssh-ed25519 {old}\n  new  ssh-ed25519 {KEY.fingerprint}\n" in err
    assert path.read_text() == with_line(LINE if status == 0 else f"      KnownHostKey: {OLD}\n")


def test_a_first_key_takes_a_plain_yes(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(BASE)
    monkeypatch.setattr(sys, "stdin", Person("y\n"))
    assert main(["pin", "dev", "app"]) == 0 and "WARNING" not in capsys.readouterr().err
