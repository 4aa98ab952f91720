"""The work comes out of a copy as a patch, whatever an agent does to its files; nothing from inside runs outside."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.driving import Person, remains, runs
from tests.e2e.terminal import PROMPT, screen

# A hostile agent: every way known to us that makes git on the host run something, each writing to $MARK if it works.
HOSTILE = r"""
set -e
printf 'changed\n' >> text.txt
printf '\000\001\377binary\n' > data.bin
chmod +x tool.sh
rm old.txt
ln -s text.txt link
ln -s /etc/passwd passwd
mkdir -p 'a dir'
printf 'x\n' > 'a dir/with space'
printf 'x\n' > "$(printf 'new\nline')"
printf 'x\n' > 'quo"te and '\''this'\'''
printf 'x\n' > 'grün ★'
printf 'x\n' > ./-dash
mkfifo pipe
mkdir -p .git/hooks nested/.git/hooks
for hook in post-checkout pre-commit post-applypatch applypatch-msg pre-applypatch post-index-change; do
    for place in .git nested/.git; do
        printf '#!/bin/sh\ntouch MARK\n' > $place/hooks/$hook
        chmod +x $place/hooks/$hook
    done
done
cat > .git/config <<END
[core]
    repositoryformatversion = 0
    fsmonitor = touch MARK
    hooksPath = .git/hooks
    pager = touch MARK
    attributesFile = .gitattributes
[diff]
    external = touch MARK
[diff "evil"]
    textconv = touch MARK
    command = touch MARK
[filter "evil"]
    clean = touch MARK
    smudge = touch MARK
    process = touch MARK
    required = true
[include]
    path = /etc/passwd
END
cp .git/config nested/.git/config
printf '* filter=evil diff=evil\n' > .gitattributes
printf 'inner\n' > nested/file
echo hostile-done
"""


def sources(person: Person, mark: Path) -> Path:
    """A small repository of the operator's."""
    folder = person.project
    for name, text in {
        "text.txt": "one\n",
        "tool.sh": "#!/bin/sh\n",
        "old.txt": "old\n",
        ".gitignore": "secret\n",
    }.items():
        person.write(f"project/{name}", text)
    person.write("project/secret", "ignored by git\n")
    person.write("project/hostile.sh", HOSTILE.replace("MARK", str(mark)))
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=o", "-c", "user.email=o@x", "commit", "-qm", "all"]):
        assert person.run("git", *words).returncode == 0
    return folder


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below, but `.git` of the top: kind and whether it is executable, and content."""
    out = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.split("/")[0] == ".git" or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink():
            out[name] = (2, os.fsencode(os.readlink(path)))
        elif path.is_file():
            out[name] = (path.stat().st_mode >> 6 & 1, path.read_bytes())
    return out


def test_round_trip_with_a_hostile_agent(person: Person, tmp_path: Path) -> None:
    """diff, export and apply agree; `git apply` takes the patch; and not one of the planted commands ran."""
    mounts = person.world.space.mounts()
    mark = person.home / "mark"
    folder = sources(person, mark)
    assert person.dash("init").returncode == 0
    before = tree(folder)
    slug = person.background("shell", "--cwd")
    with screen(person, person.program, "attach", slug) as terminal:
        terminal.wait(PROMPT)
        assert terminal.ask("ls secret", "%0")[0] != 0, "what git ignores stays out"
        assert terminal.ask("sh hostile.sh", "%0") == (0, "hostile-done")
    names = runs(person)

    shown = person.dash("diff", slug, timeout=60)
    assert shown.returncode == 0 and "+changed" in shown.stdout and "GIT binary patch" in shown.stdout
    assert "root:" not in shown.stdout, "a link to a file of the host is a link, not the file"
    exported = person.dash("export", slug, timeout=60)
    patch = Path(exported.stdout.strip())
    assert patch.is_file() and patch.stat().st_mode & 0o777 == 0o600
    assert patch.read_text(errors="replace") == shown.stdout
    copied = tmp_path / "copied"
    subprocess.run(["git", "clone", "-q", str(folder), str(copied)], check=True, capture_output=True)
    subprocess.run(["git", "apply", str(patch)], cwd=copied, check=True, capture_output=True)

    asked = person.dash("apply", slug, timeout=60)
    assert (
        asked.returncode == 2 and "M  text.txt" in asked.stderr and "--yes" in asked.stderr and tree(folder) == before
    )
    applied = person.dash("apply", slug, "--yes", timeout=60)
    assert applied.returncode == 0, applied.stderr
    after = tree(folder)
    expected = {
        "text.txt": (0, b"one\nchanged\n"),
        "data.bin": (0, b"\x00\x01\xffbinary\n"),
        "tool.sh": (1, b"#!/bin/sh\n"),
        "link": (2, b"text.txt"),
        "passwd": (2, b"/etc/passwd"),
        "a dir/with space": (0, b"x\n"),
        "new\nline": (0, b"x\n"),
        "quo\"te and 'this'": (0, b"x\n"),
        "grün ★": (0, b"x\n"),
        "-dash": (0, b"x\n"),
        "nested/file": (0, b"inner\n"),
        ".gitattributes": (0, b"* filter=evil diff=evil\n"),
    }
    assert {n: v for n, v in after.items() if before.get(n) != v} == expected
    assert set(before) - set(after) == {"old.txt"}
    assert {n: v for n, v in tree(copied).items() if n != "secret"} == {n: v for n, v in after.items() if n != "secret"}
    assert not mark.exists()
    # the same folder once more does not fit, and says so
    again = person.dash("apply", slug, "--yes")
    assert again.returncode == 1 and "do not fit" in again.stderr and "Traceback" not in again.stderr

    stopped = person.dash("stop", slug, "--yes")
    assert stopped.returncode == 0 and "kept" not in stopped.stdout, "it was brought out"
    assert not mark.exists() and remains(person, mounts, names) == []


def test_unexported_changes_are_never_dropped_silently(person: Person) -> None:
    """A stop on a terminal names them and asks; a no changes nothing; a yes keeps them as a patch."""
    mounts = person.world.space.mounts()
    assert person.dash("init").returncode == 0
    slug = person.background("shell", "--cwd")
    with screen(person, person.program, "attach", slug) as terminal:
        terminal.wait(PROMPT)
        assert terminal.ask("echo more >> README", "%0")[0] == 0
    refused = person.dash("stop", slug)
    assert refused.returncode == 2 and "--yes" in refused.stderr
    for answer, status in (("n", 2), ("y", 0)):
        with screen(person, person.program, "stop", slug) as terminal:
            terminal.wait(rf"Stop {slug}\? 1 changed files were not brought out; they will be kept")
            terminal.type(answer, "%0")
            terminal.wait(f"ended with {status}")
    assert "+more" in (person.state / "exports" / f"{slug}.patch").read_text()
    assert remains(person, mounts) == []


def test_bind_writes_through(person: Person) -> None:
    """The folder itself, owned by whoever owned it, and with hooks that an agent cannot plant."""
    mounts = person.world.space.mounts()
    assert person.dash("init").returncode == 0
    assert person.run("git", "init", "-q").returncode == 0
    script = "echo written > new; echo more >> README; touch .git/hooks/pre-commit || echo refused"
    done = person.dash("start", "shell", "--cwd=bind", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (0, "refused\n")
    assert (person.project / "new").read_text() == "written\n"
    assert (person.project / "README").read_text() == "A project.\nmore\n"
    assert (person.project / "new").stat().st_uid == person.project.stat().st_uid
    assert remains(person, mounts) == []


@pytest.mark.parametrize("mode", ["copy", "bind"])
def test_folders_that_no_bottle_gets(person: Person, mode: str) -> None:
    """`/`, HOME, and what HOME is in."""
    mounts = person.world.space.mounts()
    assert person.dash("init").returncode == 0
    for folder in (Path("/"), person.home, person.home.parent):
        done = person.dash("start", "shell", f"--cwd={mode}", "--", "true", cwd=folder)
        assert done.returncode == 1 and "a bottle never gets" in done.stderr.splitlines()[-1]
    assert remains(person, mounts) == []


def test_a_folder_that_is_too_large(person: Person) -> None:
    """Refused by what it would bring, before anything is copied."""
    assert person.dash("init").returncode == 0
    with (person.project / "large").open("wb") as file:
        file.truncate(3 << 30)  # takes no room
    done = person.dash("start", "shell", "--cwd", "--", "true")
    assert done.returncode == 1 and "more than" in done.stderr.splitlines()[-1] and "GB" in done.stderr
    assert done.stderr.splitlines()[-1].count("--cwd=bind") == 1
    assert not list(person.state.glob("state/*"))
