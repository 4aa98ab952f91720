"""Inside a network namespace with live upstreams: a bottle's bundle as the bubblewrap backend runs it, looked at."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import sys
import tempfile
import time
import zipapp
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from backends import bundle
from backends.api import BackendError, HostPaths, Values
from backends.bubblewrap import enter, proof, sandbox
from backends.bubblewrap.argv import BUNDLE_APP, POLICY_FILE
from backends.bubblewrap.driver import BubblewrapBackend
from backends.bundle_env import BundleEnv
from sidecar_bundle.shared import layout
from sidecar_bundle.shared.proposal import Response
from sidecar_bundle.shared.queue import put_response
from sidecar_bundle.shared.routes import Route, RouteAuth
from tests.contract.conftest import paths
from tests.contract.plans import plan
from tests.contract.test_contract import quiet, until
from tests.fake_upstream import digest, make_ca, make_leaf, upstream

HOST, OTHER, ADDRESS = "pypi.org", "other.example", "203.0.113.10"
FAKE = Path(__file__).parents[1] / "fake_pipelock"


class Case:
    """One bottle in a namespace where `HOST` and `OTHER` are live."""

    def __init__(self, backend: BubblewrapBackend, **more: Any) -> None:
        self.backend = backend
        self.plan = replace(plan("bubblewrap"), **more)
        self.slug = backend.launch(self.plan, Values(), None, quiet).agent.slug
        found = proof.find(backend.root, self.slug)
        assert found is not None
        self.run, self.live = found

    def fetch(self, host: str = HOST) -> str:
        """Status and first line of an answer that the agent gets."""
        done = self.backend.exec(self.slug, f"curl -sS -m 15 -w '%{{http_code}}' https://{host}/x 2>&1")
        return done.stdout

    def health(self) -> dict[str, str]:
        return {h.daemon: h.state for h in self.backend.enumerate()[0][0].health}

    def in_bundle(self, what: Callable[[], str]) -> str:
        """What a function answers when a process in the bundle's namespaces calls it."""
        return _child(lambda: enter.join(replace(self.live, sandbox=self.live.bundle)), what, self.live.bundle_uid)


def _child(prepare: Callable[[], None], what: Callable[[], str], uid: int) -> str:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            sandbox.drop_to(uid)
            prepare()
            if inner := os.fork():  # the process namespace holds for children
                os.waitpid(inner, 0)
                os._exit(0)
            os.write(write, what().encode())
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as out:
        said = out.read()
    os.waitpid(pid, 0)
    return said


def _reach(address: Any, family: int = socket.AF_INET) -> Callable[[], str]:
    def attempt() -> str:
        with socket.socket(family) as sock:
            sock.settimeout(3)
            try:
                sock.connect(address)
            except OSError as error:
                return f"no: {error.strerror or error}"
            return "reached"

    return attempt


def _listening() -> set[tuple[str, str]]:
    """What listens on TCP here, but what this process itself has."""
    out = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                out.add((name, fields[1]))
    return out


def configure_live(backend: BubblewrapBackend) -> dict[str, Any]:
    case = Case(backend)
    before = case.fetch()
    backend.configure(case.slug, replace(case.plan.config, routes=(Route(HOST),)))
    added, other = case.fetch(), case.fetch(OTHER)
    policy = case.run / proof.DIALER_POLICY / POLICY_FILE
    rules, refused = policy.read_text(), ""
    try:
        backend.configure(case.slug, replace(case.plan.config, routes=(Route(OTHER),), daemons=("egress", "pipelock")))
    except BackendError as error:
        refused = error.message
    kept = policy.read_text() == rules and case.fetch()
    backend.configure(case.slug, case.plan.config)
    found = {"before": before, "added": added, "other": other, "kept": kept, "removed": case.fetch()}
    return {**found, "refused": refused}


def exchange(backend: BubblewrapBackend) -> dict[str, Any]:
    case = Case(backend)
    folders = backend.exchange(case.slug)
    assert folders is not None
    put_response(folders.answers, Response("0" * 16, "approve"))
    name = "0" * 16 + ".response.json"

    def look() -> str:
        seen = Path("/run/answers", name).exists()
        try:
            Path("/run/answers/x").write_text("x")
            return f"{seen} written"
        except OSError as error:
            return f"{seen} {error.strerror}"

    def put() -> str:
        Path("/run/bundle/queue/mark").write_text("here")
        return "put"

    return {
        "look": case.in_bundle(look),
        "put": case.in_bundle(put),
        "arrived": (folders.queue / "mark").exists(),
        "modes": [oct(p.stat().st_mode & 0o777) for p in (folders.queue, folders.answers)],
        "gone": backend.exchange("nobody") is None,
    }


def supply(backend: BubblewrapBackend) -> dict[str, Any]:
    slot = "EGRESS_TOKEN_0"
    case = Case(backend, routes=(Route(HOST, auth=RouteAuth("Bearer", slot)),))
    without, state = case.fetch(), case.health()[layout.EGRESS]
    found: dict[str, Any] = {"without": without, "state": state}
    for number in (1, 2):
        backend.supply(case.slug, Values(tokens={slot: f"value-{number}"}, protect={"MINE": "kept-inside-" * 3}))
        bundle.wait_ready(proof.control(case.run), case.plan.daemons)
        found[f"value {number}"] = digest(f"Bearer value-{number}") in case.fetch()
    try:
        backend.supply(case.slug, Values(agent="/no/such/agent"))
    except BackendError as error:
        found["agent"] = error.message
    return found


def dialer_killed(backend: BubblewrapBackend) -> dict[str, Any]:
    case = Case(backend, routes=(Route(HOST),))
    first = case.fetch()
    dialer = case.live.dialer.pid

    def worker() -> int:
        words = Path(f"/proc/{dialer}/task/{dialer}/children").read_text().split()
        return int(words[0]) if words else 0

    old = worker()
    os.kill(old, signal.SIGKILL)
    until(lambda: worker() not in (0, old))
    again = case.fetch()
    os.kill(dialer, signal.SIGKILL)
    until(lambda: not case.live.dialer.alive())
    row = backend.enumerate()[0][0]
    return {"first": first, "again": again, "dead": case.fetch(), "state": row.state, "detail": row.detail}


def nothing_of_the_host(backend: BubblewrapBackend) -> dict[str, Any]:
    before = _listening()
    case = Case(backend, routes=(Route(HOST),))
    case.fetch()
    during = _listening()
    port = 18999
    with (
        socket.create_server(("127.0.0.1", port)),
        socket.create_server((ADDRESS, port)),
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        name = b"\0bottle-test-" + os.urandom(6)
        abstract.bind(name)
        abstract.listen()
        places: dict[str, tuple[Any, int]] = {
            "loopback": (("127.0.0.1", port), socket.AF_INET),
            "network": ((ADDRESS, port), socket.AF_INET),
            "abstract": (name, socket.AF_UNIX),
        }
        inside = {key: case.in_bundle(_reach(*place)) for key, place in places.items()}
        control = {key: _reach(*place)() for key, place in places.items()}
    return {"inside": inside, "control": control, "new listeners": sorted(map(list, during - before))}


def health(backend: BubblewrapBackend) -> dict[str, Any]:
    case = Case(backend)
    row = backend.enumerate()[0][0]
    until(lambda: case.health()[layout.EGRESS] == "ready")
    backend.signal(case.slug, layout.EGRESS, signal.SIGTERM)
    until(lambda: backend.enumerate()[0][0].health[0].restarts == 1 and case.health()[layout.EGRESS] == "ready")
    os.kill(case.live.bundle.pid, signal.SIGSTOP)
    started = time.monotonic()
    hung = backend.enumerate()[0][0].health
    took = time.monotonic() - started
    os.kill(case.live.bundle.pid, signal.SIGCONT)
    return {
        "services": row.services,
        "daemons": [h.daemon for h in row.health],
        "hung": [[h.daemon, h.detail] for h in hung],
        "took": took,
        "after": sorted(case.health()),
    }


def pipelock(backend: BubblewrapBackend) -> dict[str, Any]:
    """With a stand-in for the program: the way out that it has, and who reaches its port."""
    case = Case(backend, routes=(Route(HOST), Route(OTHER)), has_pipelock=True)

    def names() -> str:
        found = {}
        for name in (HOST, "nobody.example"):
            try:
                found[name] = socket.getaddrinfo(name, 443, socket.AF_INET)[0][4][0]
            except OSError as error:
                found[name] = type(error).__name__
        return json.dumps(found)

    def outlet() -> str:
        context = ssl.create_default_context(cafile=f"{BUNDLE_APP}/upstream-ca.pem")
        line = socket.create_connection((HOST, 443), 10)
        with context.wrap_socket(line, server_hostname=HOST) as tls:
            tls.sendall(f"GET /through HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
            return tls.recv(4096).decode().splitlines()[0]

    place = ("127.0.0.1", layout.PIPELOCK_PORT)
    return {
        "names": json.loads(case.in_bundle(names)),
        "outlet": case.in_bundle(outlet),
        "fetch": case.fetch(),
        "health": case.health(),
        "port": [case.in_bundle(_reach(place)), _reach(place)()],
    }


CASES = (configure_live, supply, exchange, dialer_killed, nothing_of_the_host, health, pipelock)


def main(name: str) -> None:
    """Runs one case; its findings as JSON are the last line."""
    with tempfile.TemporaryDirectory(prefix="contract-") as folder:
        ca = make_ca(Path(folder, "pki"))
        Path(folder).chmod(0o755)
        leaf = make_leaf(Path(folder, "pki"), HOST, OTHER)
        if name == "pipelock":
            program = Path(folder, "pipelock")
            zipapp.create_archive(FAKE, program, interpreter=f"{BundleEnv(paths(Path(folder)).cache).python()} -I")
            program.chmod(0o755)
            os.environ[layout.PIPELOCK_ENV] = str(program)
        own = paths(Path(folder, "state"))
        backend = BubblewrapBackend(HostPaths(own.home, own.cache, ca))
        with upstream(ADDRESS, 443, leaf):
            try:
                found = {case.__name__: case for case in CASES}[name](backend)
            finally:
                for agent in backend.enumerate()[0]:
                    backend.stop(agent.slug)
                backend.close()
        assert backend.leftovers() == ()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
