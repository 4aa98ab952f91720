"""From the confirmed preflight to the agent's prompt, by its parts, beside a bare bwrap and a bare mitmdump."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from backends import bundle
from backends.api import Backend, BackendError, HostPaths, LaunchSpec, Values, WorkspaceMode
from backends.bubblewrap import proof
from backends.bubblewrap.driver import BubblewrapBackend
from backends.bundle_env import BundleEnv
from botbottle_tui.host.launching import Host
from tests.bench.figures import Row, p50, p95, wall
from tests.bench.pty_program import PtyProgram
from tests.bench.starting import environment

PROMPT = b"agent@bottle"
# What a line of progress begins; the launch's end begins the attach.
PARTS = {
    "": "record",
    "remembering what the copy looked like": "copy of the workspace",
    "starting the sidecar bundle": "bundle",
    "starting the sandbox": "sandbox",
    "waiting for egress": "egress ready",
    "starting the agent": "agent",
    "attach": "attach to first byte",
}
_NOBODY = "1999999998"


@dataclass
class Spent:
    """Milliseconds of every launch of one kind: the whole, and each part."""

    whole: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)


class Launches:
    """Launches of the example shell agent on a small project, in a state folder of their own."""

    def __init__(self, home: Path, project: Path, cache: Path, backend: Backend, parts: Mapping[str, str]) -> None:
        self.home, self.project, self.backend, self.parts = home, project, backend, parts
        self.host = Host(HostPaths(home, cache), (backend,))
        self.host.init_home()
        self.plans: list[float] = []

    def one(self, spent: Spent) -> None:
        """A launch as the dashboard does it, up to the first byte of the prompt; then the bottle is stopped."""
        begin = time.perf_counter()
        prepared = self.host.prepare(LaunchSpec("shell", self.backend.name, self.project, WorkspaceMode.COPY))
        self.plans.append((time.perf_counter() - begin) * 1000)
        if prepared.plan is None or not prepared.ok:
            bad = next(c for c in prepared.checks if not c.ok)
            raise BackendError(f"{bad.name}: {bad.detail}", bad.fix)
        plan = prepared.plan
        stamps = [("", time.perf_counter())]

        def progress(line: str) -> None:
            if line in self.parts:
                stamps.append((line, time.perf_counter()))

        self.host.launch(plan, Values(), progress)
        try:
            stamps.append(("attach", time.perf_counter()))
            program = PtyProgram(self.host.attach_argv(plan.slug, pane=False), environment(self.home))
            try:
                program.until(PROMPT)
                stamps.append(("end", time.perf_counter()))
                self.look(plan.slug)
            finally:
                program.close(b"\x11")
        finally:
            self.host.stop(plan.slug, drop_changes=True)
        spent.whole.append((stamps[-1][1] - stamps[0][1]) * 1000)
        for (line, at), (_, then) in pairwise(stamps):
            spent.parts.setdefault(self.parts[line], []).append((then - at) * 1000)

    def look(self, slug: str) -> None:
        """At the running bottle."""

    def close(self) -> None:
        """Nothing stays."""
        for agent in self.host.enumerate()[0]:
            self.host.stop(agent.slug, drop_changes=True)
        self.host.close()


def bwrap_true() -> float:
    """A bare sandbox that runs `true`, unprivileged as ours."""
    argv = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    if os.geteuid() == 0:
        argv = ["setpriv", "--reuid", _NOBODY, "--regid", _NOBODY, "--clear-groups", *argv]
    return wall(argv)


def mitmdump_listening(python: Path, folder: Path) -> float:
    """A bare mitmdump of the bundle's environment, from its start until its port takes connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    code = "from mitmproxy.tools.main import mitmdump; mitmdump()"
    options = ["-q", "--listen-host", "127.0.0.1", "-p", str(port), "--set", f"confdir={folder}"]
    begin = time.perf_counter()
    proc = subprocess.Popen([str(python), "-I", "-c", code, *options], stdout=subprocess.DEVNULL)
    try:
        while time.perf_counter() - begin < 30 and proc.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return (time.perf_counter() - begin) * 1000
            time.sleep(0.002)
        raise BackendError("a bare mitmdump did not start to listen")
    finally:
        proc.send_signal(signal.SIGKILL)
        proc.wait()


def warm(backend: BubblewrapBackend) -> None:
    """A bundle ahead, waited for until it has imported everything."""
    backend.warm()
    for run in proof.runs(backend.root):
        bundle.request(run / proof.BUNDLE / "control.sock", {"op": "wait", "timeout": 20.0}, timeout=30)


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """A folder with a small project in it."""
    with tempfile.TemporaryDirectory(prefix="bottle-bench-") as folder:
        project = Path(folder, "project")
        project.mkdir()
        for i in range(20):
            (project / f"file{i}.txt").write_text(f"line {i}\n" * 100)
        yield Path(folder)


def rows(runs: int, cache: Path) -> list[Row]:
    """Warm and cold launches, interleaved with what they are compared with. `BackendError` when there can be none."""
    python = BundleEnv(cache).python()
    warm, cold = Spent(), Spent()
    sandbox: list[float] = []
    proxy: list[float] = []
    with place() as folder:
        backend = BubblewrapBackend(HostPaths(folder / "home", cache))
        launches = Launches(folder / "home", folder / "project", cache, backend, PARTS)
        try:
            for turn in range(runs + 1):
                if turn == 1:  # the first turn fills caches and does not count
                    warm, cold = Spent(), Spent()
                    for values in (sandbox, proxy, launches.plans):
                        values.clear()
                sandbox.append(bwrap_true())
                proxy.append(mitmdump_listening(python, folder / "mitmproxy"))
                launches.one(cold)
                warm(backend)
                launches.one(warm)
        finally:
            launches.close()
    bare = p50(sandbox) + p50(proxy)
    both = "bare bwrap + bare mitmdump"
    return [
        Row("bare bwrap ... true, p50", p50(sandbox)),
        Row("bare mitmdump, start to listening, p50", p50(proxy)),
        Row("plan and checks, before the confirm, p50", p50(launches.plans)),
        Row("confirm to first byte, bundle warmed, p50", p50(warm.whole), both, bare, aim=400),
        Row("confirm to first byte, bundle warmed, p95", p95(warm.whole)),
        *(Row(f"  of it {name}, p50", p50(ms)) for name, ms in warm.parts.items()),
        Row("confirm to first byte, no warmed bundle, p50", p50(cold.whole), "bare mitmdump", p50(proxy), 1.5, True),
        Row("confirm to first byte, no warmed bundle, p95", p95(cold.whole), "bare mitmdump, p95", p95(proxy)),
        *(Row(f"  of it {name}, p50", p50(ms)) for name, ms in cold.parts.items()),
    ]
