"""The bundle as its keeper runs it: two sandboxes, the bundle without a network and the dialer with it, and sockets."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends import bundle
from backends.alive import Proc
from backends.api import BackendError
from backends.bubblewrap import argv, inside, proof, sandbox
from backends.holder import socketpath
from sidecar_bundle.shared import layout
from sidecar_bundle.shared.config import BundleConfig, dump_config

MEMORY = 1 << 30  # bytes, each process of the bundle
START_SECONDS = 10.0
DIAL_FOLDER, DIAL_SOCKET = "dial", "dialer.sock"
ETC_FOLDER = "bundle-etc"
PORTS = {
    layout.EGRESS: layout.EGRESS_PORT,
    layout.GIT_GATE: layout.GIT_GATE_PORT,
    layout.SUPERVISE: layout.SUPERVISE_PORT,
}


@dataclass
class Box:
    """A running bundle. `lifeline` is the pipe whose end tells both sandboxes to end; `outlets` sockets by name."""

    run: Path
    bundle: Proc
    dialer: Proc
    lifeline: int
    outlets: dict[str, int]

    def control(self, request: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        """One request to the bundle; waits up to 10 s for its socket to appear."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                bundle.request(proof.control(self.run), request, fds)
                return
            except (FileNotFoundError, ConnectionRefusedError):
                if not self.bundle.alive() or time.monotonic() > deadline:
                    reason = sandbox.last_line(self.run / "bundle.log") or "it gave no reason"
                    raise BackendError(f"the sidecar bundle did not start: {reason}", "bottle-dash doctor") from None
                time.sleep(0.004)

    def configure(self, config: Mapping[str, Any], agent: Proc, agent_uid: int) -> None:
        """Rules and listeners: one inside the agent's sandbox for each daemon that the agent talks to."""
        named = [name for name in PORTS if name in config["daemons"]]
        fds = dict(zip(named, inside.listeners(agent, agent_uid, [PORTS[name] for name in named]), strict=True))
        unused, self.outlets = self.outlets, {}
        if layout.PIPELOCK in config["daemons"]:
            fds, unused = fds | unused, {}
        try:
            self.control({"op": "configure", "config": config, "listeners": list(fds)}, list(fds.values()))
        finally:
            for fd in (*fds.values(), *unused.values()):
                os.close(fd)

    def end(self) -> None:
        """Both sandboxes end: asked by the pipe, in the end killed where this process still may."""
        if self.lifeline >= 0:
            os.close(self.lifeline)
            self.lifeline = -1
        deadline = time.monotonic() + 8
        procs = (self.bundle, self.dialer)
        while any(p.alive() for p in procs) and time.monotonic() < deadline:
            time.sleep(0.01)
        for proc in procs:
            if proc.alive():
                with contextlib.suppress(OSError):
                    os.kill(proc.pid, signal.SIGKILL)


def start(run: Path, prep: Mapping[str, Any]) -> Box:
    """Starts both sandboxes, the bundle unconfigured. `prep` is the launcher's `prepare` message."""
    lifeline, ours = os.pipe()
    try:
        bundle_pid = _start_bundle(run, prep, lifeline)
        dialer_pid = _start_dialer(run, prep, lifeline)
    finally:
        os.close(lifeline)
    return Box(run, Proc.of(bundle_pid), Proc.of(dialer_pid), ours, {})


def _start_bundle(run: Path, prep: Mapping[str, Any], lifeline: int) -> int:
    programs: dict[str, str] = prep["programs"]
    env = [
        (layout.CONTROL_ENV, f"{argv.BUNDLE_STATE}/control.sock"),
        (layout.STATE_ENV, argv.BUNDLE_STATE),
        (layout.ANSWERS_ENV, argv.BUNDLE_ANSWERS),
        (layout.UPSTREAM_CA_ENV, f"{argv.BUNDLE_APP}/upstream-ca.pem"),
        (layout.DIALER_ENV, f"{argv.BUNDLE_DIAL}/{DIAL_SOCKET}"),
        (layout.DAEMONS_ENV, ",".join(prep["daemons"])),
        (layout.LIFELINE_ENV, str(lifeline)),
        (layout.PIPELOCK_ENV, argv.program("pipelock") if "pipelock" in programs else ""),
        (layout.GITLEAKS_ENV, argv.program("gitleaks") if "gitleaks" in programs else ""),
        (layout.SUPERVISE_PYTHON_ENV, prep["supervise_python"]),
        *(("HOME", "/tmp"), ("LANG", "C.UTF-8"), ("PATH", "/usr/bin:/bin")),
    ]

    def command(info_fd: int, seccomp_fd: int) -> list[str]:
        return argv.bundle_argv(
            prep["bwrap"],
            sandbox.host_root(),
            python=prep["python"],
            read_only=prep["read_only"],
            package=prep["package"],
            run=str(run),
            programs=programs,
            seccomp_fd=seccomp_fd,
            info_fd=info_fd,
            env=env,
        )

    paths = [prep["package"], *prep["read_only"], *programs.values()]
    paths += [str(run / name) for name in ("bundle", proof.ANSWERS, DIAL_FOLDER, ETC_FOLDER, "upstream-ca.pem")]
    return sandbox.spawn(run, command, prep["bundle_uid"], paths, {}, "bundle.log", {lifeline: lifeline}, MEMORY)


def _start_dialer(run: Path, prep: Mapping[str, Any], lifeline: int) -> int:
    path = run / DIAL_FOLDER / DIAL_SOCKET
    listener = socketpath.bind(str(path), 0o600)
    if prep["bundle_uid"]:
        os.chown(path, prep["bundle_uid"], prep["bundle_uid"])
    fd = listener.fileno()

    def command(info_fd: int, seccomp_fd: int) -> list[str]:
        return argv.dialer_argv(
            prep["bwrap"],
            sandbox.host_root(),
            python=prep["python"],
            read_only=prep["read_only"],
            package=prep["package"],
            policy=str(run / proof.DIALER_POLICY),
            listener_fd=fd,
            lifeline_fd=lifeline,
            seccomp_fd=seccomp_fd,
            info_fd=info_fd,
        )

    paths = [prep["package"], *prep["read_only"], str(run / proof.DIALER_POLICY)]
    keep = {fd: fd, lifeline: lifeline}
    with listener:
        return sandbox.spawn(run, command, prep["bundle_uid"], paths, {}, "dialer.log", keep, MEMORY)


def make_folders(run: Path, bundle_uid: int, roots: str) -> None:
    """What the two sandboxes show of the bottle's folder; `roots` are trusted certificates (PEM)."""
    for name, mode in (
        *(("bundle", 0o700), (f"bundle/{layout.QUEUE_FOLDER}", 0o700)),
        *((proof.ANSWERS, 0o755), (DIAL_FOLDER, 0o755), (ETC_FOLDER, 0o755), (proof.DIALER_POLICY, 0o755)),
    ):
        (run / name).mkdir()
        (run / name).chmod(mode)
        if bundle_uid and mode == 0o700:
            os.chown(run / name, bundle_uid, bundle_uid)
    for path, text in (
        *((run / ETC_FOLDER / name, text) for name, text in argv.BUNDLE_FILES.items()),
        (run / "upstream-ca.pem", roots),
    ):
        path.write_text(text)
        path.chmod(0o644)


def write_policy(run: Path, config: BundleConfig) -> None:
    """Tells the dialer where this bottle's bundle may be connected to, from now on."""
    _replace(run / proof.DIALER_POLICY / argv.POLICY_FILE, json.dumps(dump_config(config)))


@contextlib.contextmanager
def new_policy(run: Path, config: BundleConfig) -> Iterator[None]:
    """As `write_policy`, for a change that may fail: then the former policy is in force again."""
    path = run / proof.DIALER_POLICY / argv.POLICY_FILE
    former = path.read_text()
    write_policy(run, config)
    try:
        yield
    except BaseException:
        _replace(path, former)
        raise


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(f".{os.getpid()}.new")
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.rename(path)
