"""People who use the real program in a world of their own, and what must not be left there afterwards."""

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
        with netns.standing(serve, addresses=tuple(upstreams.SERVERS), hosts=upstreams.HOSTS) as space:
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
        return subprocess.run(
            self.argv(*words, cwd=cwd),
            env=self.settings(env),
            input=input,
            capture_output=True,
            timeout=timeout,
            text=True,
            errors="replace",
        )

    def popen(self, *words: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        """A command without a terminal that goes on."""
        return subprocess.Popen(
            self.argv(*words, cwd=cwd),
            env=self.settings(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

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


def runs(person: Person) -> list[str]:
    """The bottles' (and spare bundles') names below `run/`, which their control groups have too."""
    return [p.name for p in (person.state / "run").glob("*")]


def leftovers(person: Person) -> list[dict[str, Any]]:
    """What `cleanup --dry-run --json` finds of this person's; claims and control groups are the whole machine's."""
    found = json.loads(person.dash("cleanup", "--dry-run", "--json").stdout)["leftovers"]
    found = [one for one in found if not one["left"]]
    own = [*runs(person), str(person.state)]
    return [one for one in found if one["kind"] not in ("uid", "cgroup") or any(o in str(one) for o in own)]


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
    for claim in Path("/run/bot-bottle/uids").glob("*") if os.geteuid() == 0 else ():
        with contextlib.suppress(FileNotFoundError):  # another bottle's, gone just now
            out += [f"uid claim {claim.name}"] if str(person.home) in claim.read_text() else []
    out += [str(g) for n in names for g in Path("/sys/fs/cgroup").glob(f"**/bot-bottle/{n}")]
    return out
