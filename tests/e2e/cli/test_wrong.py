"""Wrong input, missing programs, full disks and dead parts: one clear line each, and nothing left."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import need
from tests.e2e.driving import Person, remains, runs, until
from tests.e2e.terminal import PROMPT, screen

ROUTE = "---\nagent_provider:\n  template: shell\negress:\n  routes:\n    - host: a.example\n"
BAD = {
    "typo": ("---\negres:\n  routes: []\n---\n", 2, "did you mean egress?"),
    "removed": ("---\nenv: {}\nssh: []\n---\n", 3, "removed"),
    "norway": ("---\nsupervise: no\n---\n", 2, "true or false"),
    "anchor": ("---\nenv: &e\n  A: x\n---\n", 2, "anchors"),
    "half-auth": (ROUTE + "      auth:\n        scheme: Bearer\n---\n", 7, "token_ref"),
    "parent": ("---\nextends: nobody\n---\n", 2, "nobody"),
    "cycle": ("---\nextends: bad\n---\n", 2, "bad"),
    "not-yaml": ("---\nenv: [\n---\n", 0, "bottles/bad.md"),
    "no-frontmatter": ("words\n", 1, "---"),
    "empty": ("", 0, "bottles/bad.md"),
    "bytes": ("---\nenv:\n  A: \x00\n---\n", 3, "bottles/bad.md"),
}


def one_line(done: subprocess.CompletedProcess[str], *words: str, status: int = 1) -> str:
    """The failure's only line, which holds `words`."""
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("bottle-dash: ")]
    assert len(lines) == 1 and done.stderr.endswith(lines[0] + "\n"), done.stderr
    for word in words:
        assert word in lines[0], (word, lines[0])
    return lines[0]


def root_only() -> None:
    if os.geteuid():
        need("root", "mounts of one's own are wanted")


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_manifests(person: Person, name: str) -> None:
    """File, line and what is wrong; the agent of a sound bottle still starts."""
    text, line, word = BAD[name]
    assert person.dash("init").returncode == 0
    person.write(".bot-bottle/bottles/bad.md", text)
    person.write(".bot-bottle/agents/bad.md", "---\nbottle: bad\n---\n")
    place = f"bad.md:{line}" if line else "bad.md"
    one_line(person.dash("start", "bad", "--", "true"), place, word)
    shown = person.dash("list")
    assert place in shown.stderr and "shell\tshell" in shown.stdout and "Traceback" not in shown.stderr
    assert person.dash("start", "shell", "--dry-run").returncode == 0
    assert not list(person.state.glob("state/*"))


def test_unknown_names(person: Person) -> None:
    """Agents, backends, verbs and bottles that do not exist, and what exists instead."""
    mounts = person.world.space.mounts()
    one_line(person.dash("start", "shell", "--", "true"), "no agent 'shell'", "bottle-dash init")
    one_line(person.dash("list"), "no agents yet", status=0)
    assert person.dash("init").returncode == 0
    one_line(person.dash("start", "nobody", "--", "true"), "no agent 'nobody'", "claude, codex, shell")
    one_line(person.dash("info", "nobody"), "no agent 'nobody'")
    one_line(person.dash("start", "shell", "--backend", "nope", "--", "true"), "no backend 'nope'", "bubblewrap")
    one_line(person.dash("start", "shell", "--", "true", env={"BOT_BOTTLE_BACKEND": "nope"}), "no backend 'nope'")
    wrong = person.dash("frobnicate")
    assert wrong.returncode == 2 and "invalid choice: 'frobnicate'" in wrong.stderr.splitlines()[-1]
    for verb in ("diff", "export", "apply"):
        one_line(person.dash(verb, "shell-00000"), "no bottle shell-00000", "list active")
    one_line(person.dash("stop", "shell-00000", "--yes"), "no bottle shell-00000")
    one_line(person.dash("stop", "../../etc", "--yes"), "no bottle ../../etc")
    one_line(person.dash("attach", "shell-00000"), "no bottle shell-00000")
    with screen(person, person.program, "attach", "shell-00000") as terminal:
        terminal.wait("^bottle-dash: no bottle shell-00000")
        terminal.wait("ended with 1")
    one_line(person.dash("start", "shell"), "needs a terminal", "--yes", status=2)
    one_line(person.dash(cwd=person.home), "terminal", status=2)
    assert remains(person, mounts) == []


def test_stopped_twice(person: Person) -> None:
    """The second stop has nothing to stop."""
    assert person.dash("init").returncode == 0
    slug = person.background("shell")
    assert person.dash("stop", slug, "--yes").stdout == f"{slug} stopped\n"
    one_line(person.dash("stop", slug, "--yes"), f"no bottle {slug}")


def test_missing_values(person: Person) -> None:
    """A token that is not set, and certificates that are none."""
    mounts = person.world.space.mounts()
    assert person.dash("init").returncode == 0
    auth = "      auth:\n        scheme: Bearer\n        token_ref: HOST_TOKEN\n---\n"
    person.write(".bot-bottle/bottles/keys.md", ROUTE + auth)
    person.write(".bot-bottle/agents/keys.md", "---\nbottle: keys\n---\n")
    one_line(person.dash("start", "keys", "--", "true"), "HOST_TOKEN is not set", "export HOST_TOKEN=")
    person.write("ca/none.pem", "words\n")
    person.write("ca/bad.pem", "-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n")
    for name in ("none.pem", "bad.pem", "missing.pem", "."):
        env = {"BOT_BOTTLE_EXTRA_CA": str(person.home / "ca" / name)}
        one_line(person.dash("start", "shell", "--", "true", env=env), "BOT_BOTTLE_EXTRA_CA", str(person.home / "ca"))
        checked = person.dash("doctor", env=env)
        assert checked.returncode == 1 and "FAIL certificates: BOT_BOTTLE_EXTRA_CA" in checked.stdout
    assert remains(person, mounts) == []


def test_missing_programs(person: Person) -> None:
    """Without bwrap, git or tmux on the PATH: what is missing, and the package that brings it."""
    mounts = person.world.space.mounts()
    assert person.dash("init").returncode == 0
    for gone in ("bwrap", "git", "tmux"):
        places = person.home / "without" / gone
        places.mkdir(parents=True)
        for folder in ("/usr/sbin", "/usr/bin", "/bin"):
            for program in Path(folder).iterdir():
                link = places / program.name
                if program.name != gone and not link.is_symlink():
                    link.symlink_to(program)
        words = ("env", f"PATH={places}", person.program)
        checked = person.run(*words, "doctor")
        package = {"bwrap": "bubblewrap"}.get(gone, gone)
        (line,) = [x for x in checked.stdout.splitlines() if x[5:].removeprefix("backend ").startswith(f"{package}:")]
        if gone == "tmux":
            assert checked.returncode == 0 and line.startswith("warn") and "foreground" in line
            continue
        assert checked.returncode == 1 and line.startswith("FAIL") and f"apt-get install {package}" in line
        if gone == "bwrap":
            one_line(person.run(*words, "start", "shell", "--", "true"), "apt-get install bubblewrap")
    assert remains(person, mounts) == []


@pytest.mark.parametrize("size", ["40k", "200k", "400k", "600k"])
def test_no_disk(person: Person, size: str) -> None:
    """A state folder that is full sooner or later: one line, and no process or uid claim of the attempt."""
    root_only()
    mounts = person.world.space.mounts()
    assert person.dash("init").returncode == 0
    small = person.home / "small"
    small.mkdir()
    fill = f'mount -t tmpfs -o size={size} tmpfs {small}; cp -r {person.state}/* {small}/; "$@"; s=$?; '
    fill += f"find {small}/run {small}/state -mindepth 1 2>/dev/null | sed 's/^/left: /' >&2; exit $s"
    words = ("unshare", "-m", "sh", "-c", fill, "sh", "env", f"BOT_BOTTLE_HOME={small}", person.program)
    (person.project / "data").write_bytes(os.urandom(500_000))
    done = person.run(*words, "start", "shell", "--cwd", "--", "true")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("bottle-dash: ")]
    assert "No space left on device" in line or "space" in line, line
    assert "left: " not in done.stderr, done.stderr
    assert remains(person, mounts) == []


def test_a_state_folder_that_cannot_be_written(person: Person) -> None:
    """Read-only, or no folder at all."""
    root_only()
    mounts = person.world.space.mounts()
    assert person.dash("init").returncode == 0
    read_only = f'mount --bind {person.state} {person.state}; mount -o remount,bind,ro {person.state}; exec "$@"'
    words = ("unshare", "-m", "sh", "-c", read_only, "sh", person.program)
    one_line(person.run(*words, "start", "shell", "--", "true"), "Read-only file system", str(person.state))
    file = person.write("file", "words\n")
    env = {"BOT_BOTTLE_HOME": str(file)}
    one_line(person.dash("init", env=env), str(file))
    one_line(person.dash("start", "shell", "--", "true", env=env), "no agent 'shell'")
    assert remains(person, mounts) == []


def test_dead_parts(person: Person) -> None:
    """egress killed: it comes back. The bundle killed: nothing gets out, the row says so, and a stop removes it all."""
    mounts = person.world.space.mounts()
    assert person.dash("init").returncode == 0
    slug = person.background("shell")
    with screen(person, person.program, "attach", slug) as terminal:
        terminal.wait(PROMPT)
        assert terminal.ask("curl -fsS https://pypi.org/1", "%0")[0] == 0
        person.kill("KILL", "sidecar_bundle/egress/__main__.py")
        until(lambda: terminal.ask("curl -fsS -m 5 https://pypi.org/2", "%0")[0] == 0)
        (record,) = (json.loads(p.read_text()) for p in person.state.glob("run/*/bottle.json"))
        person.run("kill", "-KILL", str(record["bundle"]["pid"]))
        until(lambda: [b["state"] for b in person.bottles()] == ["error"])
        assert "bundle is gone" in person.bottles()[0]["detail"]
        assert terminal.ask("curl -fsS -m 5 https://pypi.org/3", "%0")[0] != 0
        assert terminal.ask("echo alive", "%0") == (0, "alive")
        names = runs(person)
        assert person.dash("stop", slug, "--yes").returncode == 0
        terminal.wait("ended with")
    assert remains(person, mounts, names) == []
