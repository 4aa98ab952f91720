"""Drives the real program as a person does: commands, keys in a tmux of its own, and what the screen shows."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e import netns, upstreams

PATIENCE = 40.0  # seconds until what was awaited on a screen is a failure; a slow machine shared with others
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


def until(ready: Callable[[], Any], seconds: float = PATIENCE, what: object = "it") -> Any:
    """What `ready` answers once it is true; `AssertionError` after `seconds`."""
    end = time.monotonic() + seconds
    while not (answer := ready()):
        assert time.monotonic() < end, f"not in time: {what() if callable(what) else what}"
        time.sleep(0.03)
    return answer


@dataclass
class World:
    """A network of its own with live upstreams, whose requests `seen` tells."""

    space: netns.Standing
    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def seen(self) -> list[dict[str, Any]]:
        return upstreams.seen(self.folder)


@contextlib.contextmanager
def world() -> Iterator[World]:
    """It and everything that was started in it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="bottle-world-"))
    folder.chmod(0o755)
    try:
        upstreams.prepare(folder)
        serve = [sys.executable, "-m", "tests.e2e.upstreams", str(folder)]
        private = ["/run/bot-bottle"] if os.geteuid() == 0 else []
        with netns.standing(
            serve, addresses=tuple(upstreams.SERVERS), hosts=upstreams.HOSTS, private=private
        ) as space:
            yield World(space, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Person:
    """Somebody with a HOME (0700) in a world, and the program. `uid` 0 is whoever runs the tests."""

    world: World
    home: Path
    program: str
    uid: int = 0
    env: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.home / ".bot-bottle"

    def settings(self, more: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """The whole environment; a None in `more` takes a variable out."""
        base: dict[str, str | None] = {
            "HOME": str(self.home),
            "PATH": SYSTEM_PATH,
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "SHELL": "/bin/sh",
            "BOT_BOTTLE_EXTRA_CA": str(self.world.ca),
            **self.env,
            **(more or {}),
        }
        return {k: v for k, v in base.items() if v is not None}

    def argv(self, *words: str, cwd: Path | None = None, env: Mapping[str, str | None] | None = None) -> list[str]:
        """Any command as this person, in this world."""
        pairs = [f"{k}={v}" for k, v in self.settings(env).items()]
        return self.world.space.enter(["env", "-i", "-C", str(cwd or self.home), *pairs, *words], self.uid)

    def run(self, *words: str, timeout: float = 60.0, input: str = "", **more: Any) -> subprocess.CompletedProcess[str]:
        """A command without a terminal."""
        argv = self.argv(*words, **more)
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, input=input, errors="replace")

    def dash(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """The program without a terminal."""
        return self.run(self.program, *words, **more)

    def bottles(self) -> list[dict[str, Any]]:
        """What `list active --json` says."""
        rows: list[dict[str, Any]] = json.loads(self.dash("list", "active", "--json").stdout)["bottles"]
        return rows

    def write(self, path: str, text: str) -> Path:
        """A file of this person's, below HOME."""
        target = self.home / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        self.own(target)
        return target

    def own(self, path: Path) -> None:
        """`path` and what is below, and the folders above it up to HOME, become this person's."""
        if self.uid:
            above = [p for p in path.parents if p.is_relative_to(self.home)]
            for one in (path, *path.rglob("*"), *above):
                os.lchown(one, self.uid, self.uid)


@dataclass
class Screen:
    """A terminal of one's own: a tmux server at a socket of its own, without anybody's configuration."""

    person: Person
    socket: Path

    def tmux(self, *words: str) -> str:
        done = self.person.run("tmux", "-S", str(self.socket), *words, timeout=20)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def panes(self) -> dict[str, str]:
        """Pane -> the bottle that it shows, "" for those that show none; from left to right."""
        rows = self.tmux("list-panes", "-s", "-F", "#{pane_left} #{pane_id} #{@bottle}").splitlines()
        return {r.split()[1]: (r.split() + [""])[2] for r in sorted(rows, key=lambda r: int(r.split()[0]))}

    def right(self) -> str:
        """The pane that shows a bottle, once there is one."""
        found: str = until(lambda: next((p for p, b in self.panes().items() if b), ""), what="a pane with a bottle")
        return found

    def text(self, pane: str = "%0") -> str:
        return self.tmux("capture-pane", "-p", "-t", pane)

    def keys(self, *keys: str, pane: str = "%0") -> None:
        """Keys by tmux's names, one by one."""
        self.tmux("send-keys", "-t", pane, *keys)

    def type(self, text: str, pane: str = "%0") -> None:
        """A line, and Enter."""
        self.tmux("send-keys", "-t", pane, "-l", text)
        self.tmux("send-keys", "-t", pane, "Enter")

    def wait(self, pattern: str, pane: str = "%0", seconds: float = PATIENCE) -> str:
        """The screen once it matches."""
        last = ""

        def there() -> bool:
            nonlocal last
            last = self.text(pane)
            return re.search(pattern, last, re.MULTILINE) is not None

        until(there, seconds, lambda: f"{pattern!r} on\n{last}")
        return last

    def gone(self, pattern: str, pane: str = "%0") -> str:
        """The screen once it does not match any more."""
        until(lambda: not re.search(pattern, self.text(pane), re.MULTILINE), what=lambda: self.text(pane))
        return self.text(pane)

    def ask(self, command: str, pane: str) -> str:
        """What a shell in `pane` writes for `command`, and its exit status as the last word."""
        self.tmux("send-keys", "-t", pane, "-l", "clear; ")
        mark = f"{time.monotonic_ns():x}"
        # The mark is split where it is typed, so that only the answer shows it whole.
        self.type(f"{command}; echo done-''{mark} $?", pane)
        text = self.wait(f"^done-{mark} \\d+", pane)
        return text[: text.index(f"done-{mark}")] + text[text.index(f"done-{mark} ") + len(f"done-{mark} ") :].split()[0]


@contextlib.contextmanager
def screen(
    person: Person, *words: str, size: tuple[int, int] = (200, 50), env: Mapping[str, str | None] | None = None
) -> Iterator[Screen]:
    """A tmux window that runs `words` (the dashboard by default), then says how it ended."""
    folder = Path(tempfile.mkdtemp(prefix="tm-", dir=person.home))
    if person.uid:
        os.chown(folder, person.uid, person.uid)
    made = Screen(person, folder / "s")
    command = '"$@"; echo "ended with $?"; exec sleep 600'
    width, height = size
    new = ["tmux", "-S", str(made.socket), "-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height)]
    done = person.run(*new, "sh", "-c", command, "sh", *(words or (person.program,)), env=env)
    assert done.returncode == 0, done.stderr
    try:
        yield made
    finally:
        person.run("tmux", "-S", str(made.socket), "kill-server")
        shutil.rmtree(folder, ignore_errors=True)


def runs(person: Person) -> list[str]:
    """The bottles' (and spare bundles') names below `run/`, which their control groups have too."""
    return [p.name for p in (person.state / "run").glob("*")]


def remains(person: Person, mounts: Sequence[str], names: Sequence[str] = ()) -> list[str]:
    """What is left in this person's world besides `mounts`, the manifests and the like: it should be nothing.

    `names` are those of runs whose control groups must be gone.
    """
    space = person.world.space
    out = [f"process {pid} {line}" for pid, line in space.processes().items()]
    out += [f"mount {m}" for m in space.mounts() if m not in mounts]
    for name in ("run", "state"):
        out += [str(p) for p in (person.state / name).glob("*")]
    out += [str(p) for p in person.state.rglob("*") if p.is_socket()]
    out += [f"uid claim {p.name}" for p in Path(f"/proc/{space.pid}/root/run/bot-bottle").glob("uids/*")]
    out += [str(g) for n in names for g in Path("/sys/fs/cgroup").glob(f"**/bot-bottle/{n}")]
    return out
