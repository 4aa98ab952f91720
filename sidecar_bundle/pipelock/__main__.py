"""The pipelock daemon: writes its files from what init says, runs the program, and passes its verdicts on."""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sidecar_bundle.pipelock.audit import entry
from sidecar_bundle.pipelock.config import Paths, known_secrets, must_restart, settings, text
from sidecar_bundle.pipelock.program import Program, taken
from sidecar_bundle.pipelock.tail import Tail
from sidecar_bundle.shared import layout, wire
from sidecar_bundle.shared.activity_log import ActivityLog
from sidecar_bundle.shared.config import BundleConfig, ConfigError, parse_config

TICK = 0.25
CA_SECONDS = 60.0
START_SECONDS = 20.0
RELOAD_SECONDS = 2.0
# A running program is asked this often whether it is well, and ended after so many silences in a row.
WATCH_SECONDS = 2.0
PATIENCE = 3
_PIECES = 4  # of the audit log at a time, so that a flood of lines holds up nothing else


class StartError(Exception):
    """Pipelock does not run; the text is one line that says why."""


class Daemon:
    """Pipelock of one bottle. `memory` is a private folder, on no disk where that can be, for what may hold secrets:
    the list of known ones, and the audit log, which repeats what it found in a URL.
    """

    def __init__(self, state: Path, memory: Path, env: dict[str, str]) -> None:
        folder = state / layout.PIPELOCK
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ca = state / layout.CA_FOLDER
        self._ca = (ca / layout.PIPELOCK_CA_FILE, ca / layout.PIPELOCK_KEY_FILE)
        self._secrets_file = memory / "known-secrets"
        self._config_file = folder / "pipelock.yaml"
        audit = memory / "audit.jsonl"
        places = (*self._ca, self._secrets_file, audit, folder / "KILL")
        self._paths = Paths(*map(str, places))
        self._path = env.get(layout.PIPELOCK_ENV, "")
        self._direct = not env.get(layout.DIALER_ENV)
        self._env = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
        if env.get(layout.UPSTREAM_CA_ENV):
            self._env["SSL_CERT_FILE"] = env[layout.UPSTREAM_CA_ENV]
        self._tail = Tail(audit)
        self._log = ActivityLog(str(state), source=layout.PIPELOCK)
        self._routes: BundleConfig | None = None
        self._secrets: tuple[str, ...] = ()
        self._told: tuple[str, ...] | None = None
        self._running: dict[str, Any] = {}
        self._version = ""
        self._written = 0
        self._hash = ""
        self._confirmed = False
        self._asked, self._silent = 0.0, 0
        self.program: Program | None = None

    def take(self, message: dict[str, Any]) -> tuple[str, str]:
        """Brings what init says into force; the state that results, and a line about it. Raises `StartError`."""
        if message.get("config") is not None:
            self._routes = parse_config(message["config"])
        if "secrets" in message:
            self._secrets = known_secrets(map(str, message["secrets"]))
        config = self._routes
        if config is None:
            return "unconfigured", ""
        if not config.routes:
            self.end()
            return "ready", "no routes: not running"
        if not (self._path and os.access(self._path, os.X_OK)):
            self.end()
            return "backoff", f"no pipelock program: name it in {layout.PIPELOCK_ENV}"
        new = settings(config, self._paths, self._direct)
        if self.program is None:
            self._start(new)
        elif must_restart(self._running, new):
            self.end()
            self._start(new)
        elif new != self._running or self._secrets != self._told:
            self._reload(new)
        return "ready", f"{self._version}, {len(config.routes)} hosts"

    def look(self) -> None:
        """Passes new verdicts on, and notices that a reload was taken."""
        for _ in range(_PIECES):
            lines = self._tail.lines()
            if not lines:
                return
            for line in lines:
                if self._hash and self._hash.encode() in line:
                    self._confirmed = self._confirmed or b'"config_reload"' in line
                found = entry(line, self._routes.routes if self._routes else (), self._secrets)
                if found:
                    at = found.time or None
                    where = (found.method, found.host, found.target)
                    self._log.write(found.verdict, *where, found.reason, found.status, at)

    def watch(self) -> int | None:
        """The exit code of a program that has ended, or was ended because it hangs; None for one that is well."""
        if self.program is None:
            return None
        code = self.program.code()
        if code is None and time.monotonic() >= self._asked + WATCH_SECONDS:
            self._silent = 0 if self.program.version() else self._silent + 1
            self._asked = time.monotonic()
            if self._silent >= PATIENCE:
                sys.stderr.write("pipelock answers no more\n")
                self.end()
                return 1
        return code

    def end(self) -> None:
        """Ends the program, if it runs."""
        if self.program is not None:
            self.program.end()
            self.look()
            self.program = None

    def _start(self, new: dict[str, Any]) -> None:
        self._await(lambda: all(path.exists() for path in self._ca), CA_SECONDS, "egress has made no CA for it")
        if taken(layout.PIPELOCK_PORT):
            raise StartError(f"something else listens on 127.0.0.1:{layout.PIPELOCK_PORT}")
        self._write(new)
        try:
            self.program = Program(self._path, self._config_file, layout.PIPELOCK_PORT, self._env)
        except OSError as error:
            raise StartError(f"cannot start {self._path}: {error.strerror}") from None
        self._await(self._healthy, START_SECONDS, f"it does not answer on 127.0.0.1:{layout.PIPELOCK_PORT}")
        self._running, self._told = new, self._secrets
        self._asked, self._silent = time.monotonic(), 0

    def _healthy(self) -> bool:
        assert self.program is not None
        code = self.program.code()
        if code is not None:
            raise StartError(f"it ended with {code} at its start; the lines before this one say why")
        self._version = self.program.version()
        return bool(self._version)

    def _reload(self, new: dict[str, Any]) -> None:
        assert self.program is not None
        self._confirmed = False
        self._write(new)
        self.program.reload()

        def confirmed() -> bool:
            self.look()
            return self._confirmed or (self.program is not None and self.program.code() is not None)

        with contextlib.suppress(StartError):
            self._await(confirmed, RELOAD_SECONDS, "")
        if self._confirmed:
            self._running, self._told = new, self._secrets
        else:
            # It keeps its old rules when strict mode finds the new ones weaker.
            sys.stderr.write("a reload was not taken: starting pipelock anew\n")
            self.end()
            self._start(new)

    def _write(self, new: dict[str, Any]) -> None:
        self._written += 1
        data = text(new, self._written).encode()
        self._hash = hashlib.sha256(data).hexdigest()
        # The secrets first: the other file's change alone makes pipelock read both.
        for path, content in ((self._secrets_file, self._secret_lines()), (self._config_file, data)):
            fresh = path.with_name(f"{path.name}.new")
            fresh.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(fresh, flags, 0o600), "wb") as file:
                file.write(content)
            fresh.replace(path)

    def _secret_lines(self) -> bytes:
        return "".join(f"{secret}\n" for secret in self._secrets).encode()

    def _await(self, ready: Callable[[], bool], seconds: float, failure: str) -> None:
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                raise StartError(failure)
            time.sleep(0.02)


def serve(channel: socket.socket, daemon: Daemon) -> int:
    """Obeys init until its line ends, or the program does; the exit code."""
    decoder = wire.Decoder()
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    serial = 0

    def report(state: str, detail: str) -> None:
        with contextlib.suppress(OSError):
            wire.send(channel, {"event": "state", "state": state, "detail": detail[:300], "serial": serial})

    report("unconfigured", "")
    while True:
        if poll.poll(TICK * 1000 if daemon.program else None):
            data, fds = wire.receive(channel)
            for fd in fds:
                os.close(fd)
            if not data:
                return 0
            for message in decoder.feed(data):
                serial = int(message.get("serial", 0))
                try:
                    state, detail = daemon.take(message)
                except (StartError, ConfigError) as error:
                    report("backoff", str(error))
                    sys.stderr.write(f"pipelock does not run: {error}\n")
                    return 1
                report(state, detail)
        daemon.look()
        code = daemon.watch()
        if code is not None:
            sys.stderr.write(f"pipelock ended with {code}\n")
            return code or 1


def main() -> int:
    """Runs until SIGTERM or the end of init (0), or as long as pipelock does (its code)."""
    os.umask(0o077)

    def stop(*_: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    os.set_inheritable(layout.CHANNEL_FD, False)
    env = dict(os.environ)
    state = Path(env.get(layout.STATE_ENV, layout.DEFAULT_STATE))
    # /tmp of a bundle is memory of its own.
    with socket.socket(fileno=layout.CHANNEL_FD) as channel, tempfile.TemporaryDirectory(prefix="pipelock-") as folder:
        daemon = None
        try:
            daemon = Daemon(state, Path(folder), env)
            return serve(channel, daemon)
        except OSError as error:
            sys.stderr.write(f"pipelock does not run: {error.filename or state}: {error.strerror}\n")
            return 1
        finally:
            if daemon is not None:
                daemon.end()


if __name__ == "__main__":
    sys.exit(main())
