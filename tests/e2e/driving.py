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
PROMPT = r"workspace\$\s*$"  # of the shell agent
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
        with netns.standing(serve, addresses=tuple(upstreams.SERVERS), hosts=upstreams.HOSTS, private=private) as space:
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

    @property
    def project(self) -> Path:
        """A folder below HOME where this person stands when nothing else is said."""
        place = self.home / "project"
        if not place.exists():
            self.write("project/README", "A project.\n")
        return place

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

    def argv(self, *words: str, cwd: Path | None = None) -> list[str]:
        """Any command as this person, in this world; it wants `settings` as its environment."""
        return self.world.space.enter(["env", "-C", str(cwd or self.project), *words], self.uid)

    def run(
        self,
        *words: str,
        cwd: Path | None = None,
        env: Mapping[str, str | None] | None = None,
        input: str = "",
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """A command without a terminal."""
        argv, settings = self.argv(*words, cwd=cwd), self.settings(env)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.run(argv, env=settings, input=input, timeout=timeout, text=True, errors="replace", **pipes)

    def popen(self, *words: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        """A command without a terminal that goes on."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(self.argv(*words, cwd=cwd), env=self.settings(), text=True, **pipes)

    def dash(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """The program without a terminal."""
        return self.run(self.program, *words, **more)

    def bottles(self) -> list[dict[str, Any]]:
        """What `list active --json` says."""
        rows: list[dict[str, Any]] = json.loads(self.dash("list", "active", "--json").stdout)["bottles"]
        return rows

    def background(self, agent: str, *words: str, **more: Any) -> str:
        """Starts an agent without a terminal; its slug."""
        done = self.dash("start", agent, "--yes", *words, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1]

    def kill(self, signal: str, pattern: str) -> None:
        """Sends `signal` (TERM) to every process in this world whose command line matches."""
        found = [str(pid) for pid, line in self.world.space.processes().items() if re.search(pattern, line)]
        assert found, pattern
        subprocess.run(self.world.space.enter(["kill", f"-{signal}", *found]), check=True, timeout=20)

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

    def ask(self, command: str, pane: str) -> tuple[int, str]:
        """What a shell in `pane` ends with for `command`, and what it writes."""
        mark = f"{time.monotonic_ns():x}"
        # The marks are split where they are typed, so that only the answer shows them whole.
        self.type(f"echo from-''{mark}; {command}; ended=$?; echo; echo done-''{mark} $ended", pane)
        pattern = re.compile(rf"^from-{mark}\n(.*)^done-{mark} (\d+)", re.MULTILINE | re.DOTALL)
        found: list[re.Match[str]] = []

        def there() -> bool:
            match = pattern.search(self.tmux("capture-pane", "-p", "-J", "-S", "-2000", "-t", pane))
            found.extend([match] if match else [])
            return bool(found)

        until(there, what=lambda: f"an answer to {command!r} on\n{self.text(pane)}")
        return int(found[0][2]), found[0][1].rstrip("\n")

    def start(self, agent: str) -> tuple[str, str]:
        """`n`, the agent's name, Enter, Enter in the dashboard: pane and slug once its shell waits."""
        before = set(self.panes().values())
        self.keys("n")
        self.wait("New agent")
        self.tmux("send-keys", "-t", "%0", "-l", agent)
        self.wait(f"> {agent} ")
        self.keys("Enter")
        self.wait("ready: Enter starts it")
        self.keys("Enter")
        return self.shown(before)

    def shown(self, before: set[str]) -> tuple[str, str]:
        """Pane and slug of the bottle that is shown now and was not `before`, once its shell waits."""
        new = {*before, ""}
        slug: str = until(lambda: next((b for b in self.panes().values() if b not in new), ""), what=self.text)
        pane = self.right()
        self.wait(PROMPT, pane)
        return pane, slug

    def stop(self, slug: str) -> None:
        """`x` and `y` on the row of `slug`."""
        self.select(slug)
        self.keys("x")
        self.wait(f"Stop {slug}\\?")
        self.keys("y")
        self.wait(f"{slug}: stopped")

    def select(self, slug: str) -> None:
        """The cursor on the row of `slug`, by its digit."""
        row = re.search(rf"(\d) \w+ +{slug}", self.wait(f"\\d \\w+ +{slug}"))
        assert row is not None
        self.keys(row[1])
        self.wait(rf"^>[ *]{row[1]} \w+ +{slug}")

    def leave(self) -> None:
        """`q`, to the end of the program."""
        self.keys("q")
        self.wait("ended with 0")


@contextlib.contextmanager
def screen(
    person: Person,
    *words: str,
    size: tuple[int, int] = (200, 50),
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
) -> Iterator[Screen]:
    """A tmux window that runs `words` (the dashboard by default), then says how it ended."""
    folder = Path(tempfile.mkdtemp(prefix="tm-", dir=person.home))
    if person.uid:
        os.chown(folder, person.uid, person.uid)
    made = Screen(person, folder / "s")
    command = '"$@"; echo "ended with $?"; exec sleep 600'
    width, height = size
    new = ["tmux", "-S", str(made.socket), "-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height)]
    done = person.run(*new, "sh", "-c", command, "sh", *(words or (person.program,)), cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    try:
        yield made
    finally:
        person.run("tmux", "-S", str(made.socket), "kill-server")
        ending = re.compile(f"{made.socket}|utempter")
        until(lambda: not any(ending.search(line) for line in person.world.space.processes().values()))
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
