"""A terminal that a person looks at: keys into a tmux of its own, and what its panes show."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.driving import PATIENCE, Person, until

PROMPT = r"workspace\$\s*$"  # of the shell agent


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
        return {r.split()[1]: [*r.split(), ""][2] for r in sorted(rows, key=lambda r: int(r.split()[0]))}

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
        self.wait("^ended with 0")


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
