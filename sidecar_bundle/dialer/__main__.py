"""The dialer: resolves, checks and connects for a bundle that has no network, and passes it the connected sockets.

    python -I -S __main__.py POLICY LISTENER LIFELINE

Runs outside the bundle's network namespace, with no secret. POLICY is a file (a `BundleConfig` as JSON) that the host
replaces whenever the rules change; LISTENER and LIFELINE are descriptors: a listening unix socket, and a pipe whose end
means that the bottle is over.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sidecar_bundle.dialer import policy
from sidecar_bundle.shared import wire
from sidecar_bundle.shared.config import BundleConfig, ConfigError, parse_config

MAX_REQUESTS = 256  # at once; more wait in the socket's backlog
REQUEST_SECONDS = 5.0
CONNECT_SECONDS = 20.0
FIRST_BACKOFF, MAX_BACKOFF = 0.05, 5.0
_STACK = 512 * 1024


class Unreachable(Exception):
    """No connection came about; `kind` is `unresolved` or `unreachable`, the text one line."""

    def __init__(self, reason: str, kind: str = "unreachable") -> None:
        super().__init__(reason)
        self.kind = kind


class Rules:
    """The policy file, read again when it is another. What cannot be read allows nothing."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._config: BundleConfig | None = None
        self._lock = threading.Lock()

    def now(self) -> BundleConfig | None:
        """The rules in force, or None where there are none."""
        with self._lock:
            try:
                info = os.stat(self._path)  # noqa: PTH116 - once for each connection
                stamp = (info.st_ino, info.st_mtime_ns, info.st_size)
                if stamp != self._stamp:
                    self._config = None
                    self._config = parse_config(json.loads(Path(self._path).read_bytes()))
                    self._stamp = stamp
            except (OSError, ValueError, ConfigError):
                self._config = self._stamp = None
            return self._config


def connect(place: policy.Place) -> tuple[socket.socket, str]:
    """A connected socket and its address: each that the place's judge allows is tried in turn.

    Raises `policy.Refused` when none is allowed, `Unreachable` when none answers.
    """
    addresses = [place.address] if place.address else _resolve(place)
    verdicts = {address: place.refusal(address) for address in addresses}
    good = [address for address, why in verdicts.items() if not why]
    if not good:
        what = ", ".join(f"{address} ({why})" for address, why in sorted(verdicts.items()))
        raise policy.Refused(f"address of {place.host} refused: {what}")
    deadline = time.monotonic() + CONNECT_SECONDS
    reason = ""
    for number, address in enumerate(good):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        try:
            # A share of the time for each, so that one that is silent does not hide the others.
            sock.settimeout(left / (len(good) - number))
            sock.connect((address, place.port))
            sock.settimeout(None)
        except OSError as error:
            sock.close()
            reason = os.strerror(error.errno).lower() if error.errno else ""
            continue
        return sock, address
    raise Unreachable(reason or f"no connection within {CONNECT_SECONDS:.0f} s")


def _resolve(place: policy.Place) -> list[str]:
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise Unreachable(f"its name cannot be resolved ({error.strerror})", "unresolved") from None
    except (OSError, UnicodeError):
        raise Unreachable("its name cannot be resolved (it is no name)", "unresolved") from None
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def serve(line: socket.socket, rules: Rules) -> None:
    """One request, one answer."""
    with line:
        line.settimeout(REQUEST_SECONDS)
        decoder, fds = wire.Decoder(), list[int]()
        try:
            requests: list[dict[str, object]] = []
            while not requests:
                data, more = wire.receive(line)
                fds += more
                if not data:
                    return
                requests = decoder.feed(data)
            place = policy.place(requests[0], rules.now())
            sock, address = connect(place)
            with sock:
                wire.send(line, {"ok": True, "address": address}, [sock.fileno()])
        except policy.Refused as error:
            _refuse(line, str(error), "refused")
        except Unreachable as error:
            _refuse(line, str(error), error.kind)
        except (OSError, wire.WireError) as error:
            _refuse(line, f"the request cannot be served: {error}", "unreachable")
        finally:
            for fd in fds:
                os.close(fd)


def _refuse(line: socket.socket, reason: str, kind: str) -> None:
    with contextlib.suppress(OSError):
        wire.send(line, {"ok": False, "error": reason, "kind": kind})


def work(listener: socket.socket, path: str) -> NoReturn:
    """Accepts for ever; at most `MAX_REQUESTS` are under way."""
    rules, slots = Rules(path), threading.Semaphore(MAX_REQUESTS)
    threading.stack_size(_STACK)

    def one(line: socket.socket) -> None:
        try:
            serve(line, rules)
        finally:
            slots.release()

    while True:
        slots.acquire()
        try:
            line, _ = listener.accept()
            threading.Thread(target=one, args=(line,), daemon=True).start()
        except (OSError, RuntimeError):
            # Out of descriptors or threads: those in use come back.
            slots.release()
            time.sleep(0.05)


def keep_working(listener: socket.socket, path: str, lifeline: int) -> int:
    """Keeps one worker running, after a pause that grows when it dies early; answers when the lifeline has ended."""
    pause = FIRST_BACKOFF
    while True:
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            os.close(lifeline)
            try:
                work(listener, path)
            finally:
                os._exit(1)
        worker = os.pidfd_open(pid)
        over, _, _ = select.select([lifeline, worker], [], [])
        os.close(worker)
        if lifeline in over:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        pause = FIRST_BACKOFF if time.monotonic() - started > MAX_BACKOFF else min(pause * 2, MAX_BACKOFF)
        if lifeline in over or select.select([lifeline], [], [], pause)[0]:
            return 0


def main() -> int:
    """Runs until the bottle is over."""
    path, listener, lifeline = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.environ.setdefault("RES_OPTIONS", "timeout:3 attempts:2")
    return keep_working(socket.socket(fileno=listener), path, lifeline)


if __name__ == "__main__":
    sys.exit(main())
