"""Keepers with a bundle that is up but belongs to no bottle yet: made ahead, or on the spot."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import backends
import sidecar_bundle
from backends import programs, uids
from backends.alive import mark
from backends.api import BackendError, Check, HostPaths, Progress
from backends.bubblewrap import bundle_box, probe, proof, remains
from backends.bundle_env import BundleEnv, supervise_env, upstream_ca
from backends.process import Runner
from sidecar_bundle.shared import layout

KEEPER_TIMEOUT = 30.0  # seconds for any one answer


class Spare:
    """A keeper that waits for its bottle. It ends when this object's connection does."""

    def __init__(self, run: Path, conn: socket.socket, pair: tuple[int, int], programs: Mapping[str, str]) -> None:
        self.run = run
        self.programs = programs
        self.conn = conn
        self.agent_uid, self.bundle_uid = pair
        self.reader = conn.makefile("r", encoding="utf-8")

    def request(self, message: dict[str, Any]) -> dict[str, Any]:
        """One answer of the keeper; its refusals and its death are `BackendError`."""
        try:
            self.conn.sendall(json.dumps(message).encode() + b"\n")
            line = self.reader.readline()
        except OSError:
            line = ""
        if not line:
            raise BackendError("the bottle's keeper ended: " + remains.last_words(self.run), "bottle-dash doctor")
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise BackendError(answer["error"], answer.get("hint", ""))
        return answer

    def close(self) -> None:
        """Lets the keeper end, unless its bottle runs."""
        with contextlib.suppress(OSError):
            self.reader.close()
            self.conn.close()

    def discard(self) -> None:
        """Ends the keeper, waits for it, and removes what it leaves."""
        live = proof.load(self.run)  # read before, for the keeper takes its record away
        self.close()
        remains.wait_gone(live)
        remains.clear(self.run)


class Spares:
    """At most one spare of this process, used by one thread at a time for each step."""

    def __init__(self, paths: HostPaths, root: Path, runner: Runner) -> None:
        self.paths = paths
        self.root = root
        self.runner = runner
        self.env = BundleEnv(paths.cache, paths.extra_ca)
        self.supervise_env = supervise_env(paths.cache, paths.extra_ca)
        self.ready: list[Spare] = []
        self.filling = 0

    def environment(self) -> Check:
        """Whether the bundle's own Python environment is built."""
        try:
            python = self.env.python()
            self.supervise_env.python()
            return Check("bundle environment", True, str(python))
        except BackendError as error:
            return Check("bundle environment", False, error.message, error.hint)

    def build(self, progress: Progress) -> tuple[tuple[str, bool], ...]:
        """Both environments: where each is, and whether it was not there."""
        made = []
        for env in (self.env, self.supervise_env):
            was = False
            with contextlib.suppress(BackendError):
                was = bool(env.python())
            made.append((str(env.build(progress).parent.parent), not was))
        return tuple(made)

    def take(self) -> Spare:
        """The spare, or a new one."""
        found = programs.find()
        while self.ready:
            one = self.ready.pop()
            if remains.keeper_alive(one.run) and one.programs == found:
                return one
            one.discard()
        return self.start()

    def fill(self) -> None:
        """Makes a spare if there is none; failures wait for the launch, which will name them."""
        self.filling += 1
        try:
            if not self.ready:
                with contextlib.suppress(BackendError, OSError):
                    self.ready.append(self.start())
        finally:
            self.filling -= 1

    def close(self) -> None:
        """Ends the spare and removes its folder, also one that another thread makes just now."""
        deadline = time.monotonic() + KEEPER_TIMEOUT
        while self.filling and time.monotonic() < deadline:
            time.sleep(0.01)
        while self.ready:
            self.ready.pop().discard()

    def start(self) -> Spare:
        """A new keeper with a bundle that answers."""
        python = self.env.python()
        roots = upstream_ca(self.paths.extra_ca)
        found = programs.find()
        supervise = self.supervise_env.python()
        daemons = [name for name in layout.DAEMONS if name != layout.PIPELOCK or name in found]
        run = self.root / secrets.token_hex(4)
        root = os.geteuid() == 0
        pair = (0, 0)
        try:
            for folder in (self.root.parent, self.root):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            run.mkdir(mode=0o711 if root else 0o700)
            mark(run)
            if root:
                run.chmod(0o711)
                pair = uids.claim(str(run))
            bundle_box.make_folders(run, pair[1], roots)
            conn = self._spawn(run)
        except OSError as error:
            remains.clear(run)
            reason = error.strerror or str(error)
            raise BackendError(
                f"cannot prepare {run}: {reason}", f"check space and permissions of {self.root}"
            ) from None
        except BaseException:
            remains.clear(run)
            raise
        one = Spare(run, conn, pair, found)
        try:
            one.request(
                {
                    "op": "prepare",
                    "run": str(run),
                    "bwrap": probe.bwrap(),
                    "python": str(python),
                    "supervise_python": str(supervise),
                    "read_only": interpreters([python, supervise]),
                    "programs": found,
                    "daemons": daemons,
                    "package": str(Path(sidecar_bundle.__path__[0]).resolve()),
                    "agent_uid": pair[0],
                    "bundle_uid": pair[1],
                    "keeper_paths": keeper_paths(),
                }
            )
        except BaseException:
            one.discard()
            raise
        return one

    def _spawn(self, run: Path) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.settimeout(KEEPER_TIMEOUT)
        with theirs:
            self.runner.spawn_detached(
                [sys.executable, "-I", "-m", "backends.bubblewrap.keeper"], stdin_socket=theirs, log=run / "keeper.log"
            )
        return ours


def base_prefix(python: Path) -> str:
    """The installation that a virtual environment's Python stands on."""
    return str(python.resolve().parent.parent)


def interpreters(pythons: Sequence[Path]) -> list[str]:
    """Folders that these Pythons of virtual environments need to see, beside /usr."""
    return outside_usr([place for python in pythons for place in (str(python.parent.parent), base_prefix(python))])


def outside_usr(paths: list[str]) -> list[str]:
    """Those that /usr does not already bring, without repeats."""
    return list(dict.fromkeys(p for p in paths if p != "/usr" and not p.startswith("/usr/")))


def keeper_paths() -> list[str]:
    """What our own Python needs to be found by another uid: installation, environment, and this program."""
    places = [
        sys.prefix,
        sys.base_prefix,
        sysconfig.get_path("purelib"),
        *(str(Path(p).resolve().parent) for p in backends.__path__),
    ]
    kept = outside_usr(places)
    return [p for p in kept if not any(p != q and p.startswith(q + "/") for q in kept)]
