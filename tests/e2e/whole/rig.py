"""A bottle with all four daemons, its dashboard, its upstreams and a real sshd, seen from inside and outside."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import threading
import zipapp
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_image.providers import PROVIDERS, WORKSPACE
from backends import bundle, provision
from backends.bubblewrap import proof
from backends.bundle_env import BundleEnv
from sidecar_bundle.shared import layout
from tests.e2e.driving import Person, until
from tests.e2e.gitgate.rig import make_key
from tests.e2e.netns import ROOT, Standing
from tests.e2e.supervise.conftest import CLIENT, Agent, supervise_python
from tests.e2e.terminal import Screen
from tests.pipelock.running import STANDIN

AGENT = "worker"
TOKEN = "injected-" + os.urandom(16).hex()
OWN = "own-" + os.urandom(16).hex()  # a value of the agent's own environment, which no request may carry out
SEED = "abandon " * 11 + "about"  # what pipelock alone refuses
SSH_PORT = 2222
BOTTLE = """---
agent_provider:
  template: shell
pipelock:
  required: true
  seed_phrases: true
env:
  OWN_VALUE: ${{HOST_OWN}}
git:
  user:
    name: Agent
    email: agent@example.org
  remotes:
    a.example:
      Name: app
      Upstream: {upstream}
      IdentityFile: {key}
      KnownHostKey: {host_key}
egress:
  routes:
    - host: a.example
      auth:
        scheme: Bearer
        token_ref: HOST_TOKEN
---
"""


def pipelock(folder: Path, cache: Path) -> Path:
    """The real program if one is named, else the stand-in in one file, run by the bundle's Python."""
    if real := os.environ.get(layout.PIPELOCK_ENV):
        return Path(real)
    path = folder / "pipelock"
    zipapp.create_archive(STANDIN, path, interpreter=f"{BundleEnv(cache).python()} -I")
    path.chmod(0o755)
    return path


def of_world(space: Standing, argv: list[str]) -> list[str]:
    """`argv` as the world's own root, who may look into every process and network there."""
    user = ["-U", "--preserve-credentials"] if os.geteuid() else []
    return ["nsenter", "-t", str(space.pid), *user, "-n", "-m", "-p", "--", *argv]


@contextlib.contextmanager
def sshd(person: Person) -> Iterator[tuple[Path, str, Path]]:
    """A real sshd at a.example with an empty bare repository: that, its host key, and the key that may enter."""
    folder = person.home / "sshd"
    folder.mkdir()
    host_key = " ".join(make_key(folder / "host").split()[:2])
    (folder / "authorized").write_text(make_key(folder / "id") + "\n")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    (folder / "conf").write_text(
        f"ListenAddress 203.0.113.11:{SSH_PORT}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        "PermitRootLogin yes\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\n"
    )
    repository = folder / "app.git"
    assert person.run("git", "init", "-q", "--bare", "-b", "main", str(repository)).returncode == 0
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            person.argv("/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "conf")), stdin=subprocess.DEVNULL, stderr=log
        )
    try:
        until(lambda: "listening" in (folder / "log").read_text(), what=(folder / "log").read_text)
        yield repository, host_key, folder / "id"
    finally:
        person.kill("TERM", "^sshd: .*listener|^/usr/sbin/sshd -D")
        process.wait(10)


@dataclass
class Whole:
    """The running bottle `slug`, whose proof of life is `live` below `run`."""

    person: Person
    dash: Screen
    pane: str
    slug: str
    run: Path
    live: proof.Live
    repository: Path
    # Every command line of every process while it was started.
    lines: set[str]
    agents: list[Agent] = field(default_factory=list)

    # Inside, as the agent.

    def argv(self, *argv: str) -> list[str]:
        """A command beside the agent; wants `env` as its environment."""
        enter = [sys.executable, "-I", "-m", "backends.bubblewrap.enter", str(self.run), "--cwd", WORKSPACE, "--"]
        return self.person.argv(*enter, *argv)

    @property
    def env(self) -> dict[str, str]:
        """The agent's, with the bottle's own value."""
        return provision.agent_env(PROVIDERS["shell"], (), {}, self.live.daemons) | {"OWN_VALUE": OWN}

    def inside(self, script: str, timeout: float = 60.0) -> str:
        """What a shell script says inside, both outputs together."""
        done = subprocess.run(
            self.argv("sh", "-c", f"exec 2>&1; {script}"),
            env=self.env,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
        return done.stdout

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """A command inside that goes on."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.argv(*argv), env=self.env, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def curl(self, url: str, *more: str) -> tuple[int, str]:
        """Status and body of one request; 0 where there was no answer."""
        words = ["curl", "-sS", "-m", "30", "-w", "\n%{http_code}", *more, url]
        text, _, status = self.inside(shlex.join(words)).rstrip("\n").rpartition("\n")
        return (int(status), text) if status.isdigit() else (0, f"{text}\n{status}")

    def mcp(self, mode: str = "legacy") -> Agent:
        """A client of the SDK in the bottle's network, connected."""
        client = [supervise_python(), str(CLIENT), f"http://127.0.0.1:{layout.SUPERVISE_PORT}/mcp", mode]
        argv = of_world(self.person.world.space, ["nsenter", "-t", str(self.live.sandbox.pid), "-n", "--", *client])
        pipe = subprocess.PIPE
        agent = Agent(
            subprocess.Popen(
                argv, env={"PATH": "/usr/bin:/bin"}, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
            )
        )
        self.agents.append(agent)
        threading.Thread(target=agent.listen, daemon=True).start()
        until(lambda: agent.heard("connected"), what="a connected MCP client")
        return agent

    # Outside.

    def pids(self, daemon: str) -> list[int]:
        """Processes of a daemon (or `dialer`) of this bottle, the one that is restarted, in the world's numbers."""
        owner = self.live.dialer.pid if daemon == "dialer" else self.live.bundle.pid
        part = f"/{daemon.replace('-', '')}/__main__.py"
        space = self.person.world.space
        return [p for p, line in space.processes().items() if part in line and _field(space, p, "PPid") == owner]

    def kill(self, daemon: str) -> int:
        """Kills it with SIGKILL; the pid that it had."""
        (pid,) = until(lambda: self.pids(daemon), what=f"a running {daemon}")[:1]
        self.signal("KILL", pid)
        return pid

    def signal(self, name: str, *pids: int) -> None:
        subprocess.run(of_world(self.person.world.space, ["kill", f"-{name}", *map(str, pids)]), check=True, timeout=20)

    def rss(self, daemon: str, name: str = "VmHWM") -> int:
        """The most memory that it had so far, in MiB."""
        return _field(self.person.world.space, self.pids(daemon)[0], name) // 1024

    def health(self) -> dict[str, Any]:
        """What init says of its daemons by name."""
        return {h.daemon: h for h in bundle.health(proof.control(self.run), timeout=5)}

    def serves(self, restarts: dict[str, int]) -> bool:
        """Whether all are ready, and those of `restarts` were restarted that often at least."""
        health = self.health()
        ready = health.keys() == set(layout.DAEMONS) and all(h.state == "ready" for h in health.values())
        return ready and all(health[name].restarts >= n for name, n in restarts.items())

    def arrived(self, part: str) -> list[dict[str, Any]]:
        """The requests that reached an upstream and have `part` in their path; header names in lower case."""
        found = [r for r in self.person.world.seen() if part in r["path"]]
        return [{**r, "headers": {k.lower(): v for k, v in r["headers"]}} for r in found]

    def looks(self, *values: str) -> dict[str, Any]:
        """Where each value is found in the agent's sandbox, looked at from outside: place to values."""
        words = [sys.executable, "-m", "tests.e2e.whole.looking", str(self.live.sandbox.pid)]
        argv = of_world(self.person.world.space, words)
        env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(argv, env=env, input=json.dumps(values), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    def activity(self) -> list[dict[str, Any]]:
        """What the bundle wrote down."""
        return [json.loads(line) for line in (self.run / "bundle" / "activity.jsonl").read_text().splitlines()]


def _field(space: Standing, pid: int, name: str) -> int:
    """A number of a process's status, -1 when it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{space.pid}/root/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return -1
