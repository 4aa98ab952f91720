"""One remote's bare mirror: brought up to date before it is read, and changed only after the upstream was."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from sidecar_bundle.gitgate import ssh
from sidecar_bundle.gitgate.refs import Update
from sidecar_bundle.gitgate.run import Done, Failed, run
from sidecar_bundle.shared.config import Remote

FETCH_SECONDS = 120.0
# All of a large upstream. SSH itself ends within half a minute when the other side no longer answers.
FIRST_FETCH_SECONDS = 3600.0
FORWARD_SECONDS = 120.0
# What may be pushed at once, compressed; what it may be unpacked is bounded by the scan.
MAX_PACK = 512 * 1024 * 1024
# What pushes may add to a mirror, from which nothing is taken out before the bottle ends.
MAX_GROWTH = 4 * 1024 * 1024 * 1024
# For each allocation of a git that receives: a small pack may say that its objects are huge. Whatever can be scanned is
# smaller, and for what is fetched it does not hold.
RECEIVING = {"GIT_ALLOC_LIMIT": "128m"}
_INCOMING = ("objects/incoming-*", "objects/tmp_objdir-*")
_KEPT = ("PATH", "LD_LIBRARY_PATH", "BOT_BOTTLE_DIALER")


def git_env(home: Path) -> dict[str, str]:
    """An environment in which git reads no configuration but a repository's own, and asks nobody."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | {
        "HOME": str(home),
        "TMPDIR": str(home),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        # A pushed refs/replace must not show the scan another object than the upstream gets.
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


def _configuration(hooks: Path) -> str:
    return f"""[core]
\trepositoryformatversion = 0
\tbare = true
\thooksPath = "{hooks}"
\tbigFileThreshold = 16m
\tfsmonitor = false
\tlogAllRefUpdates = false
[receive]
\tfsckObjects = true
\tmaxInputSize = {MAX_PACK}
\tunpackLimit = 1
\tautogc = false
\tadvertisePushOptions = false
\tdenyDeleteCurrent = ignore
\tshallowUpdate = false
[receive "fsck"]
	badFilemode = error
[uploadpack]
\tallowFilter = true
[gc]
\tauto = 0
[maintenance]
\tauto = false
[pack]
\tthreads = 1
[protocol]
\tallow = never
[protocol "ssh"]
\tallow = always
[submodule]
\trecurse = false
"""


class Mirror:
    """Where one remote is served from. Methods may block for minutes; any thread may call them."""

    def __init__(self, folder: Path, hooks: Path, remote: Remote, env: Mapping[str, str]) -> None:
        self.remote = remote
        self.path = folder / f"{remote.name}.git"
        self._env = dict(env)
        self._command: tuple[str, ...] = ()
        self._fault = "the gate has no key for it yet"
        # Held from a forward until the mirror's refs follow, and during a fetch.
        self.lock = threading.Lock()
        self._fetched = 0.0
        self._head_known = False
        if not (self.path / "HEAD").exists():
            self.path.mkdir(parents=True, exist_ok=True)
            for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            (self.path / "HEAD").write_text("ref: refs/heads/main\n")
        (self.path / "config").write_text(_configuration(hooks))
        self.sweep(time.time())
        self._base = self._size()

    def sweep(self, before: float) -> None:
        """Removes what gits received that ended before `before` (as `time.time`) and could not remove it themselves."""
        for pattern in _INCOMING:
            for place in self.path.glob(pattern):
                with contextlib.suppress(OSError):
                    if place.stat().st_mtime < before:
                        shutil.rmtree(place, ignore_errors=True)

    def refuse_growth(self, pushes: int) -> None:
        """Raises `Failed` when so many pushes at once could make the mirror larger than it may become."""
        if self._size() - self._base + pushes * MAX_PACK > MAX_GROWTH:
            more = f"more than {MAX_GROWTH >> 30} GB" if pushes < 2 else f"with {pushes} pushes at once too much"
            raise Failed(f"the mirror of {self.remote.name} would grow by {more}; push later, or from a new bottle")

    def _size(self) -> int:
        return sum(file.lstat().st_size for file in _files(self.path))

    def reach(self, command: Sequence[str], fault: str) -> None:
        """How the upstream is reached, or why not (`command` empty)."""
        self._command, self._fault = tuple(command), fault

    @property
    def fault(self) -> str:
        """Why nothing can go to the upstream, or ""."""
        return "" if self._command else self._fault

    @property
    def fetched(self) -> bool:
        """Whether this gate has had the upstream once."""
        return bool(self._fetched)

    def git(self, *argv: str, timeout: float, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Done:
        """Runs git in the mirror; `env` is added."""
        return run(
            ["git", "--git-dir", str(self.path), *argv],
            env={**self._env, **(env or {})},
            timeout=timeout,
            cwd=str(self.path),
            stdin=stdin,
            what=f"git {argv[0]}",
        )

    def fetch(self) -> None:
        """Makes the mirror what the upstream is now. `Failed` with the reason; then nobody may be served from it."""
        asked = time.monotonic()
        if self.fault:
            raise Failed(self.fault)
        if not self.lock.acquire(timeout=FORWARD_SECONDS + 10):
            busy = "with another push" if self.fetched else "with its first fetch"
            raise Failed(f"{self.remote.name} is busy {busy}; try again")
        try:
            if self._fetched > asked:
                return  # Another one's fetch began after this was asked for.
            began = time.monotonic()
            self._fetch(began + (FETCH_SECONDS if self.fetched else FIRST_FETCH_SECONDS))
            self._fetched = began
        finally:
            self.lock.release()

    def _fetch(self, deadline: float) -> None:
        # Whoever writes here holds `lock`, so these are of a git that was killed; with its lock there, none would work.
        for pattern in ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*"):
            for left in self.path.glob(pattern):
                left.unlink(missing_ok=True)
        place = ssh.url(self.remote)
        quiet = ["--quiet", "--prune", "--force", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"]
        argv = ["fetch", *quiet, "--no-auto-maintenance", place, "+refs/*:refs/*"]
        done = self._reach(argv, deadline)
        if done.status:
            raise Failed(ssh.reason(self.remote, done))
        if not self.fetched:
            self._base = self._size()
        if not self._head_known:
            self._follow_head(self._reach(["ls-remote", "--symref", place, "HEAD"], deadline))

    def _follow_head(self, listed: Done) -> None:
        for line in listed.out.decode("utf-8", "replace").splitlines():
            if line.startswith("ref: refs/heads/") and line.endswith("\tHEAD"):
                ref = line.removeprefix("ref: ").removesuffix("\tHEAD")
                self._head_known = not self.git("symbolic-ref", "HEAD", ref, timeout=10).status

    def forward(self, updates: Sequence[Update], quarantine: Mapping[str, str], say: Callable[[str], None]) -> None:
        """Pushes exactly these refs to the upstream, all or none, each only if it is still what the client saw.

        Takes the lock; on return it is held, and whoever called releases it once the mirror's refs follow. `Failed`
        with the reason: then it is not held.
        """
        if self.fault:
            raise Failed(self.fault)
        if not self.lock.acquire(timeout=FORWARD_SECONDS + 10):
            raise Failed(f"{self.remote.name} is busy with another push")
        try:
            leases = [f"--force-with-lease={u.ref}:{u.old if u.old.strip('0') else ''}" for u in updates]
            specs = [f":{u.ref}" if u.deletes else f"{u.new}:{u.ref}" for u in updates]
            atomic = ["--atomic"] if len(updates) > 1 else []
            argv = ["push", "--porcelain", "--no-verify", "--no-follow-tags", "--no-signed", *atomic, *leases]
            argv += ["--recurse-submodules=no", "--no-progress", "--thin", ssh.url(self.remote), *specs]
            done = self._reach(argv, time.monotonic() + FORWARD_SECONDS, quarantine)
            for line in done.lines:
                if line.startswith("remote: "):
                    say(line.removeprefix("remote: "))
            if done.status:
                raise Failed(self._why(done))
        except BaseException:
            self.lock.release()
            raise

    def _why(self, done: Done) -> str:
        rejected = [line.split("\t") for line in done.out.decode("utf-8", "replace").splitlines() if line[:1] == "!"]
        if rejected:
            # The lease of a forward: what the client saw of the ref is no longer what the upstream has.
            stale = "(stale info)", "(it changed meanwhile: fetch, and push again)"
            return "; ".join(f"{r[1].split(':')[-1]}: {r[2].replace(*stale)}" for r in rejected[:10] if len(r) > 2)
        return ssh.reason(self.remote, done)

    def _reach(self, argv: Sequence[str], deadline: float, env: Mapping[str, str] | None = None) -> Done:
        over = {"GIT_SSH_COMMAND": shlex.join(self._command), "GIT_SSH_VARIANT": "ssh", "GIT_ALLOW_PROTOCOL": "ssh"}
        return self.git(*argv, timeout=deadline - time.monotonic(), env={**over, **(env or {})})


def _files(folder: Path) -> Iterator[Path]:
    # What another thread's git removes meanwhile is not there to count.
    for place, _, names in os.walk(folder):
        yield from (path for name in names if (path := Path(place, name)).exists())
