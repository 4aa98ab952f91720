"""A live bottle and the real dashboard: from a proposal to the screen, from the key to the request that passes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from backends.api import BackendError
from sidecar_bundle.shared import queue
from sidecar_bundle.shared.proposal import RouteRequest, make_proposal
from tests.bench import asking_inside, upstream
from tests.bench.figures import Row, p50, p95
from tests.bench.prompts import prompt
from tests.bench.starting import PROGRAM
from tests.bench.terminal_watch import Watched
from tests.bench.traffic import NO_PIPELOCK
from tests.e2e import netns
from tests.e2e.driving import Person, World
from tests.e2e.gitgate.rig import make_key

LEAD = 3  # approvals that do not count
BY_COMMAND = 5
FIRST = "llm.example"
BOTTLE = f"""---
agent_provider:
  template: shell
egress:
  routes:
    - host: {FIRST}
git:
  remotes:
    git.example:
      Name: app
      Upstream: ssh://git@git.example/app.git
      IdentityFile: ~/key
      KnownHostKey: {{}}
---
"""


@contextlib.contextmanager
def _person(cache: Path, hosts: list[str], pipelock: str) -> Iterator[Person]:
    folder = Path(tempfile.mkdtemp(prefix="bottle-bench-"))
    folder.chmod(0o755)
    home = folder / "home"
    home.mkdir(mode=0o700)
    try:
        upstream.prepare(folder, *hosts)
        serve = [sys.executable, "-m", upstream.__name__, str(folder)]
        names = dict.fromkeys(hosts, upstream.ADDRESS)
        with netns.standing(serve, addresses=(upstream.ADDRESS,), hosts=names) as space:
            env = {"XDG_CACHE_HOME": str(cache.parent), "BOT_BOTTLE_PIPELOCK": pipelock}
            env["BOT_BOTTLE_GITLEAKS"] = os.environ.get("BOT_BOTTLE_GITLEAKS") or shutil.which("gitleaks") or ""
            person = Person(World(space, folder), home, PROGRAM, env={k: v for k, v in env.items() if v})
            person.write(".bot-bottle/bottles/box.md", BOTTLE.format(make_key(home / "key").rsplit(" ", 1)[0]))
            person.write(".bot-bottle/agents/asker.md", "---\nbottle: box\n---\n")
            shutil.copy(asking_inside.__file__, person.project / "asking.py")
            (person.project / "prompt.json").write_bytes(prompt())
            try:
                yield person
            finally:
                person.dash("stop", "--yes", "--drop-changes", *[b["slug"] for b in person.bottles()])
                person.dash("cleanup", "--yes")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def rows(runs: int, cache: Path, pipelock: str = "") -> list[Row]:
    """With pipelock in the bottle or without. `BackendError` or `TimeoutError` when nothing can be measured."""
    if why := netns.unavailable():
        raise BackendError(f"no network namespace of one's own: {why}")
    hosts = [FIRST, *(f"host-{i}.example" for i in range(LEAD + runs + BY_COMMAND))]
    with _person(cache, hosts, pipelock) as person:
        done = person.dash("start", "asker", "--yes", "--cwd=copy", timeout=120)
        if done.returncode:
            raise BackendError(f"no bottle: {(done.stderr.strip() or '?').splitlines()[-1]}")
        bottle = Bottle(person, done.stdout.split()[-1])
        try:
            return _measure(bottle, hosts[1:], runs, bool(pipelock))
        finally:
            bottle.close()


def chained(runs: int, cache: Path, pipelock: str) -> list[Row]:
    """As `rows`, with the real pipelock in the bottle; "" says that there is none."""
    if not pipelock:
        return [Row("key to the first request that passes, with pipelock, p95", aim=600, missing=NO_PIPELOCK)]
    return rows(runs, cache, pipelock)


class Bottle:
    """A live one, with its terminal and the folder in which its agent's proposals are put."""

    def __init__(self, person: Person, slug: str) -> None:
        self.person, self.slug = person, slug
        records = (person.state / "run").glob("*/bottle.json")
        self.queue = next(p.parent for p in records if slug in p.read_text()) / "bundle" / "queue"
        self.terminal = Watched(person.argv(PROGRAM, "attach", slug), person.settings())
        self.terminal.wait(r"workspace\$")

    def ask(self, host: str) -> tuple[str, float]:
        """The agent begins to ask `host`, and is refused; then the proposal is written: its id, and the clock then."""
        self.terminal.type(f"python3 asking.py {host}\r")
        self.terminal.wait(f"refused {re.escape(host)}")
        one = make_proposal("egress-block", "asker", RouteRequest(host, (), "to be measured"), time.time())
        begin = time.perf_counter()
        queue.put_proposal(self.queue, one)
        return one.id, begin

    def passed(self) -> float:
        """The clock's seconds at which the first request had passed."""
        return int(self.terminal.wait(r"passed (\d+)")[1][1]) / 1e9

    def load(self) -> None:
        """One request of 400 KB."""
        self.terminal.type(f"python3 asking.py {FIRST} prompt.json\r")
        self.terminal.wait(r"passed (\d+)")

    def close(self) -> None:
        """The terminal goes; the bottle stays."""
        self.terminal.close(b"\x11")


def _measure(bottle: Bottle, hosts: list[str], runs: int, pipelock: bool) -> list[Row]:
    shown, effective, commanded = list[float](), list[float](), list[float]()
    person = bottle.person
    dash = Watched(person.argv(PROGRAM), person.settings(), (50, 160))
    try:
        dash.wait(r"Proposals \(0\)")
        for turn, host in enumerate(hosts[: LEAD + runs]):
            time.sleep(0.3 + 0.013 * (turn % 8))  # not in step with what looks at the folder
            dash.forget()
            _, begin = bottle.ask(host)
            seen = dash.wait(r"Proposals \(1\)")[0]
            dash.type("w")
            dash.type("\r")
            dash.wait(rf"\+route {re.escape(host)}")
            pressed = dash.type("a")
            passed = bottle.passed()
            dash.wait(r"Proposals \(0\)")
            if turn >= LEAD:
                shown.append((seen - begin) * 1000)
                effective.append((passed - pressed) * 1000)
    finally:
        dash.close(b"q")
    for host in hosts[LEAD + runs :]:
        ident, _ = bottle.ask(host)
        begin = time.perf_counter()
        done = person.dash("approve", ident[:12], "--yes")
        if done.returncode:
            raise BackendError(f"not approved: {done.stderr.strip()}")
        commanded.append((bottle.passed() - begin) * 1000)
    bottle.load()
    limit, where = (600, ", with pipelock") if pipelock else (200, "")
    return [
        Row(f"proposal written to seen on the dashboard{where}, p50", p50(shown)),
        Row(f"proposal written to seen on the dashboard{where}, p95", p95(shown), aim=300),
        Row(f"key to the first request that passes{where}, p50", p50(effective)),
        Row(f"key to the first request that passes{where}, p95", p95(effective), aim=limit),
        Row(f"  by `bottle-dash approve`, its start included{where}, p50", p50(commanded)),
        *_memory(bottle, where),
    ]


def _memory(bottle: Bottle, where: str) -> list[Row]:
    """What each daemon of the bundle holds, after what was measured before and one request of 400 KB."""
    space = bottle.person.world.space
    held: dict[str, list[float]] = {}
    for pid, line in sorted(space.processes().items()):
        program = line.split()[0]
        match = re.search(r"/sidecar_bundle/(\w+)/__main__\.py", line)
        name = match[1] if match else "pipelock, the program" if program.endswith("/pipelock") else ""
        if not name or program.endswith("bwrap"):
            continue
        fields = dict(_fields(Path(f"/proc/{space.pid}/root/proc/{pid}/smaps_rollup")))
        own = held.setdefault(name, [0.0, 0.0])
        held[name] = [own[0] + fields["Pss"], own[1] + fields["Rss"]]
    whole = sum(pss for pss, _ in held.values())
    return [
        Row(f"memory of a live bottle's bundle{where}, PSS", whole, unit="MB"),
        *(Row(f"  {name}, PSS", pss, "RSS", rss, unit="MB") for name, (pss, rss) in held.items()),
    ]


def _fields(path: Path) -> Iterator[tuple[str, float]]:
    for line in path.read_text().splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "kB":
            yield words[0].rstrip(":"), int(words[1]) / 1024
