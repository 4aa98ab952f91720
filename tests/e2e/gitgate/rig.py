"""A real sshd with bare repositories, the git-gate daemon driven by its private line, and an agent's git before it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backends.gitrules import git_rules
from manifests.values import GitRemote
from sidecar_bundle.shared import layout, wire
from sidecar_bundle.shared.config import BundleConfig, Remote, dump_config
from tests.conftest import need

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "sidecar_bundle" / "gitgate" / "__main__.py"
# Shaped as real ones, made here so that they stand in no file.
_BODY = base64.urlsafe_b64encode(hashlib.sha512(b"a").digest() + hashlib.sha512(b"b").digest()).decode()[:93]
ANTHROPIC = "sk-ant-" + "api03-" + _BODY + "AA"
GITHUB = "ghp" + "_" + "x7Kd92mQpLr4TzWv8NcYbH3sJf6gAeU1Xo5i"
AWS = "AKIA" + "Q3EGRT5UVWXYZ234"
GUESS = "x7Kd92mQpLr4" + "TzWv8NcYbH3sJf6gAe"
OWN = "a-value-of-" + "this-bottle-93kd7"


def gitleaks() -> str:
    """The real program, or a skip."""
    path = os.environ.get(layout.GITLEAKS_ENV) or shutil.which("gitleaks") or ""
    if not path:
        need("gitleaks", f"{layout.GITLEAKS_ENV} names none and PATH has none")
    return path


def sh(*argv: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 60) -> str:
    """Runs a command of the test's own; fails with what it said."""
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def make_key(path: Path, passphrase: str = "", kind: str = "ed25519") -> str:
    """A key pair at `path`; the public line."""
    sh("ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path))
    return path.with_name(path.name + ".pub").read_text().strip()


@dataclass
class Sshd:
    """A running sshd on loopback: its port, its host key, and the file of keys that it accepts."""

    folder: Path
    port: int
    host_key: str
    process: subprocess.Popen[bytes]

    def allow(self, public: str) -> None:
        """One more key may enter."""
        with (self.folder / "authorized").open("a") as keys:
            keys.write(public + "\n")


@contextlib.contextmanager
def sshd(address: str = "127.0.0.1") -> Iterator[Sshd]:
    """Runs as whoever runs the tests."""
    program = next((p for p in ("/usr/sbin/sshd", "/usr/local/sbin/sshd") if os.access(p, os.X_OK)), "")
    if not program:
        need("sshd", "openssh-server is not installed")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sshd-") as name:
        folder = Path(name)
        host_key = " ".join(make_key(folder / "host").split()[:2])
        (folder / "authorized").touch(mode=0o600)
        port = free_port()
        (folder / "conf").write_text(
            f"ListenAddress {address}:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
            "PermitRootLogin yes\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nPidFile none\nLogLevel VERBOSE\nMaxStartups 100\n"
        )
        process = subprocess.Popen(
            [program, "-D", "-e", "-f", str(folder / "conf")],
            stdin=subprocess.DEVNULL,
            stderr=(folder / "log").open("wb"),
        )
        try:
            deadline = time.monotonic() + 10
            while "Server listening" not in (folder / "log").read_text():
                assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.02)
            yield Sshd(folder, port, host_key, process)
        finally:
            process.kill()
            process.wait(10)


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass
class Gate:
    """The daemon, as init would run it."""

    folder: Path
    gitleaks: str = ""
    config: BundleConfig = field(default_factory=lambda: BundleConfig("demo-aaaaa", daemons=("git-gate",)))
    serial: int = 0
    state: str = ""
    detail: str = ""

    def __post_init__(self) -> None:
        (self.folder / "state").mkdir(mode=0o700)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.start()

    def start(self, **env: str) -> None:
        """Starts the daemon, anew after its end."""
        ours, theirs = socket.socketpair()
        environ = {"PATH": os.environ["PATH"], layout.STATE_ENV: str(self.folder / "state"), **env}
        if self.gitleaks:
            environ[layout.GITLEAKS_ENV] = self.gitleaks
        self.log = self.folder / "gate.log"
        number = theirs.fileno()
        argv = [sys.executable, "-I", str(SCRIPT)]
        launch = f"import os; os.dup2({number}, 3); os.execv({sys.executable!r}, {argv!r})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", launch],
            stdin=subprocess.DEVNULL,
            stderr=self.log.open("ab"),
            env=environ,
            pass_fds=[number],
            start_new_session=True,
        )
        theirs.close()
        self.channel, self.decoder = ours, wire.Decoder()
        self.channel.settimeout(20)

    def tell(self, *remotes: Remote, keys: Mapping[str, str], protect: Mapping[str, str] | None = None,
             agent: socket.socket | None = None) -> str:  # fmt: skip
        """Configures it and waits for its answer: the state."""
        self.serial += 1
        config = BundleConfig("demo-aaaaa", daemons=("git-gate",), remotes=remotes)
        names, fds = ["git-gate"], [self.listener.fileno()]
        if agent:
            names, fds = [*names, "ssh-agent"], [*fds, agent.fileno()]
        message = {"config": dump_config(config), "serial": self.serial, "listeners": names, "fds": len(fds)}
        wire.send(self.channel, {**message, "keys": dict(keys), "protect": dict(protect or {"OWN": OWN})}, fds)
        while True:
            data = self.channel.recv(65536)
            assert data, self.log.read_text()
            for event in self.decoder.feed(data):
                if event["event"] == "state" and event["serial"] == self.serial:
                    self.state, self.detail = event["state"], event["detail"]
                    return self.state

    def stop(self) -> int:
        """As init asks it to end; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def close(self) -> None:
        """Ends whatever is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.channel.close()
        self.listener.close()


@dataclass
class World:
    """One upstream with one remote, its gate, and an agent's clone."""

    base: Path
    sshd: Sshd
    gate: Gate
    key: str = ""
    remotes: dict[str, Remote] = field(default_factory=dict)

    def upstream(self, name: str = "app", port: int = 0) -> Path:
        """A bare repository that the bottle declares as `name`."""
        path = self.base / "up" / f"{name}.git"
        sh("git", "init", "-q", "--bare", "-b", "main", str(path))
        user = sh("id", "-un")
        port = port or self.sshd.port
        url = f"ssh://{user}@localhost:{port}{path}"
        self.remotes[name] = Remote(name, "localhost", user, port, str(path), url, self.sshd.host_key)
        return path

    def configure(self, **more: Any) -> str:
        """Tells the gate, and the agent's git, of all remotes."""
        keys = more.pop("keys", dict.fromkeys(self.remotes, self.key))
        found = [
            GitRemote("git.label", r.host, r.name, r.upstream, r.user, r.port, r.path, "/k", r.known_host_key)
            for r in self.remotes.values()
        ]
        lines = ["[user]", "\tname = Agent", "\temail = agent@example.org", "[init]", "\tdefaultBranch = main"]
        lines += ["[advice]", "\tpushUpdateRejected = false"]
        (self.base / "home").mkdir(exist_ok=True)
        rules = git_rules(found, f"git://127.0.0.1:{self.gate.port}")
        (self.base / "home" / ".gitconfig").write_text("\n".join([*lines, *rules]) + "\n")
        return self.gate.tell(*self.remotes.values(), keys=keys, **more)

    @property
    def env(self) -> dict[str, str]:
        """The agent's."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.base / "home"),
            "LC_ALL": "C",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def git(self, *argv: str, cwd: Path | None = None, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """The agent's git."""
        where = cwd or self.base / "work"
        where.mkdir(exist_ok=True)
        return subprocess.run(
            ["git", *argv], cwd=where, env=self.env, capture_output=True, text=True, timeout=timeout, errors="replace"
        )

    def decided(self) -> list[tuple[str, ...]]:
        """What the gate wrote into the bottle's activity."""
        path = self.gate.folder / "state" / layout.ACTIVITY_FILE
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        assert {row["source"] for row in rows} <= {"git-gate"}
        return [(row["verdict"], row["method"], row["host"] + row["target"], row["reason"]) for row in rows]

    def ok(self, *argv: str, **more: Any) -> str:
        """The agent's git, which must succeed: what it said."""
        done = self.git(*argv, **more)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}\n{self.gate.log.read_text()}"
        return done.stdout + done.stderr

    def fails(self, *argv: str, **more: Any) -> str:
        """The agent's git, which must fail: what it said."""
        done = self.git(*argv, **more)
        assert done.returncode != 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def start_work(self, name: str = "app") -> None:
        """A repository with the remote `origin`, spelled as the manifest does."""
        self.ok("init", "-q")
        self.ok("remote", "add", "origin", self.remotes[name].upstream)

    def commit(self, path: str = "file.txt", content: str | bytes = "text\n", message: str = "change") -> str:
        """A commit of the agent's; its name."""
        file = self.base / "work" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.ok("add", "-A")
        self.ok("commit", "-q", "--allow-empty", "-m", message)
        return self.ok("rev-parse", "HEAD").strip()

    def seed(self, path: Path, files: Mapping[str, str]) -> str:
        """A commit that the upstream has without the gate; its name."""
        with tempfile.TemporaryDirectory(dir=self.base) as name:
            there = Path(name)
            sh("git", "clone", "-q", str(path), name)
            for file, text in files.items():
                (there / file).write_text(text)
            sh("git", "add", "-A", cwd=there)
            sh("git", "-c", "user.name=u", "-c", "user.email=u@example.org", "commit", "-q", "-m", "seed", cwd=there)
            sh("git", "push", "-q", "origin", "HEAD:main", cwd=there)
            return sh("git", "rev-parse", "HEAD", cwd=there)


def has(repository: Path, oid: str) -> bool:
    """Whether the repository has the object."""
    return subprocess.run(["git", "-C", str(repository), "cat-file", "-e", oid], capture_output=True).returncode == 0


def refs(repository: Path) -> dict[str, str]:
    """Refs and their objects."""
    text = sh("git", "-C", str(repository), "for-each-ref", "--format=%(refname) %(objectname)")
    return dict(line.split(" ") for line in text.splitlines())
