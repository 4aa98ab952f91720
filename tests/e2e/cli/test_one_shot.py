"""`start AGENT -- ARGS` without a terminal: the command's own status and streams, and nothing left however it ends."""

from __future__ import annotations

import json

import pytest

from tests.e2e.driving import Person, leftovers, remains, runs, until
from tests.e2e.terminal import screen


def test_status_and_streams(person: Person) -> None:
    """Exit 7 is exit 7; stdin, stdout and stderr are the command's, the preflight goes to stderr."""
    mounts = person.world.space.mounts()
    assert person.dash("init").returncode == 0
    done = person.dash("start", "shell", "--", "sh", "-c", "exit 7")
    assert (done.returncode, done.stdout) == (7, "")
    done = person.dash("start", "shell", "--", "sh", "-c", "cat; echo oops >&2; kill -TERM $$", input="words\n")
    assert (done.returncode, done.stdout) == (128 + 15, "words\n")
    assert done.stderr.endswith("oops\n") and "routes     pypi.org" in done.stderr
    done = person.dash("start", "shell", "--", "curl", "-sS", "https://pypi.org/x", "https://other.example/")
    assert json.loads(done.stdout.splitlines()[0].partition("egress:")[0])["path"] == "/x"
    assert "egress: host other.example is not allowed" in done.stdout
    assert person.dash("start", "shell", "--", "no-such-program").returncode == 127
    assert remains(person, mounts) == [] and person.bottles() == []
    assert leftovers(person) == []


def test_changes_of_a_copy_are_kept(person: Person) -> None:
    """What one command changed in a copy becomes a patch; the folder itself stays as it was."""
    mounts = person.world.space.mounts()
    assert person.dash("init").returncode == 0
    done = person.dash("start", "shell", "--cwd", "--", "sh", "-c", "cat README; echo more >> README")
    assert (done.returncode, done.stdout) == (0, "A project.\n")
    assert (person.project / "README").read_text() == "A project.\n"
    (patch,) = (person.state / "exports").iterdir()
    assert "+more" in patch.read_text() and str(patch) in done.stderr
    assert person.run("git", "apply", str(patch)).returncode == 0
    assert (person.project / "README").read_text() == "A project.\nmore\n"
    assert remains(person, mounts) == []


@pytest.mark.parametrize("signal", ["TERM", "HUP", "KILL"])
def test_ended_from_outside(person: Person, signal: str) -> None:
    """A signal to the program takes the whole bottle down; after SIGKILL a cleanup finds no process, only files."""
    mounts = person.world.space.mounts()
    assert person.dash("init").returncode == 0
    started = person.popen(person.program, "start", "shell", "--", "sh", "-c", "echo up; sleep 313")
    assert started.stdout is not None and started.stdout.readline() == "up\n"
    names = runs(person)
    person.kill(signal, r"python\S* \S*bottle-dash")
    started.communicate(timeout=30)
    assert started.returncode not in (0, 1, 2)
    if signal == "KILL":
        until(lambda: not person.world.space.processes(), 15, person.world.space.processes)
        found = leftovers(person)
        assert found and "process" not in {one["kind"] for one in found}
        assert person.dash("cleanup", "--yes").returncode == 0
    assert remains(person, mounts, names) == []


def test_ctrl_c_on_a_terminal(person: Person) -> None:
    """It reaches the command inside, whose status is the program's."""
    mounts = person.world.space.mounts()
    assert person.dash("init").returncode == 0
    with screen(person, person.program, "start", "shell", "--", "sh", "-c", "echo up; sleep 313") as terminal:
        terminal.wait("^up$")
        names = runs(person)
        terminal.keys("C-c")
        terminal.wait("ended with 130")
    assert remains(person, mounts, names) == []
