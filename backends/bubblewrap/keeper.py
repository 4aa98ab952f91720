"""The owner of one bubblewrap bottle: starts bundle and sandbox, joins them, then holds the agent's terminal.

Started detached by the driver with a socket as stdin; requests and answers are JSON lines on it. While the launcher has
not said `go` (and for a one-shot bottle, always) the end of that socket ends everything, so a killed launcher leaves no
process. Started by root, it gives root up for the agent's uid before the agent runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backends import bundle
from backends.alive import Proc, boot_id
from backends.api import BackendError, Limits
from backends.bubblewrap import argv, limits, proof, sandbox, stage, syscalls, uids, watch
from backends.holder import socketpath
from backends.holder.server import Holder
from backends.provision import PROXY_PORT

BUNDLE_MEMORY = 1 << 30  # bytes, each process of the bundle


class Keeper:
    """One bottle from its bundle to its end."""

    def __init__(self, conn: socket.socket) -> None:
        self.conn = conn
        self.lines = conn.makefile("r", encoding="utf-8")
        self.lifeline = -1
        self.run = Path()
        self.live: proof.Live | None = None
        self.prep: dict[str, Any] = {}

    def serve(self) -> int:
        """Requests until the bottle runs, then the holder's loop until it ends."""
        for line in self.lines:
            message = json.loads(line)
            try:
                if message["op"] == "prepare":
                    answer = self.prepare(message)
                elif message["op"] == "launch":
                    answer = self.launch(message)
                else:
                    return self.hold(message)
            except BackendError as error:
                answer = {"ok": False, "error": error.message, "hint": error.hint}
            except OSError as error:
                answer = {"ok": False, "error": f"{message['op']}: {error}", "hint": f"see {self.run}"}
            self.answer(answer)
        return 0

    def answer(self, value: dict[str, Any]) -> None:
        """One line back; a launcher that is gone ends the loop by itself."""
        with contextlib.suppress(OSError):
            self.conn.sendall(json.dumps(value).encode() + b"\n")

    # The bundle

    def prepare(self, message: dict[str, Any]) -> dict[str, Any]:
        """Starts the bundle, unconfigured; answers when its control socket takes connections."""
        self.prep, self.run = message, Path(message["run"])
        read_end, self.lifeline = os.pipe()
        state = self.run / proof.BUNDLE
        env = [
            ("BOT_BOTTLE_CONTROL", f"{argv.BUNDLE_STATE}/control.sock"),
            ("BOT_BOTTLE_STATE", argv.BUNDLE_STATE),
            ("BOT_BOTTLE_UPSTREAM_CA", f"{argv.BUNDLE_APP}/upstream-ca.pem"),
            ("BOT_BOTTLE_SIDECAR_DAEMONS", "egress"),
            ("BOT_BOTTLE_LIFELINE_FD", str(read_end)),
            ("HOME", "/tmp"),
            ("LANG", "C.UTF-8"),
            ("PATH", "/usr/bin:/bin"),
        ]

        def command(info_fd: int, seccomp_fd: int) -> list[str]:
            return argv.bundle_argv(
                message["bwrap"],
                sandbox.host_root(),
                python=message["python"],
                read_only=message["read_only"],
                package=message["package"],
                state=str(state),
                upstream_ca=message["upstream_ca"],
                seccomp_fd=seccomp_fd,
                info_fd=info_fd,
                env=env,
            )

        paths = [message["package"], message["upstream_ca"], str(state), *message["read_only"]]
        pid = sandbox.spawn(
            self.run, command, message["bundle_uid"], paths, {}, "bundle.log", {read_end: read_end}, BUNDLE_MEMORY
        )
        os.close(read_end)
        self.live = proof.Live(
            schema=proof.SCHEMA,
            ident=self.run.name,
            slug="",
            agent="",
            started=time.time(),
            boot_id=boot_id(),
            owner_uid=os.getuid(),
            keeper=Proc.of(os.getpid()),
            bundle=Proc.of(pid),
            sandbox=Proc(0, 0),
            agent_uid=message["agent_uid"],
            bundle_uid=message["bundle_uid"],
            pids=0,
            files=0,
            memory=0,
            one_shot=False,
        )
        self.record()
        self.control(state / "control.sock", {"op": "hello"})
        return {"ok": True}

    def control(self, path: Path, request: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """One request to the bundle; waits up to 10 s for its socket to appear."""
        assert self.live is not None
        deadline = time.monotonic() + 10
        while True:
            try:
                bundle.request(path, request, fds)
                return
            except (FileNotFoundError, ConnectionRefusedError):
                if not self.live.bundle.alive() or time.monotonic() > deadline:
                    reason = sandbox.last_line(self.run / "bundle.log") or "it gave no reason"
                    raise BackendError(f"the sidecar bundle did not start: {reason}", "bottle-dash doctor") from None
                time.sleep(0.004)

    # The agent's sandbox

    def launch(self, message: dict[str, Any]) -> dict[str, Any]:
        """Starts the sandbox and gives the bundle a listener inside it."""
        assert self.live is not None
        bounds = Limits(**message["limits"])
        groups = limits.make_groups(self.run.name, bounds)
        groups.add(os.getpid())  # for the sandbox to be born in it
        files, workspace = str(self.run / "files"), message["workspace"]
        ready_r, ready_w = os.pipe()

        def command(info_fd: int, seccomp_fd: int) -> list[str]:
            return argv.agent_argv(
                self.prep["bwrap"],
                sandbox.host_root(),
                hostname=message["slug"],
                files=files,
                workspace=workspace,
                protect=message["protect"],
                tmpfs=bounds.tmpfs,
                seccomp_fd=seccomp_fd,
                info_fd=info_fd,
            )

        uid = self.prep["agent_uid"]
        owner = message["map_owner"]
        mapped = {workspace: (owner, uid, uid)} if owner is not None and uid else {}
        paths = [files] if mapped or not workspace else [files, workspace]
        pid = sandbox.spawn(self.run, command, uid, paths, mapped, "sandbox.log", keep={ready_w: 3})
        groups.add(os.getpid(), "keeper")
        groups.give(uid)
        os.close(ready_w)
        with os.fdopen(ready_r) as ready:
            if ready.readline() != "ready\n":
                reason = sandbox.last_line(self.run / "sandbox.log") or "it gave no reason"
                raise BackendError(f"the sandbox did not start: {reason}", "bottle-dash doctor")
        self.live = replace(
            self.live,
            slug=message["slug"],
            agent=message["agent"],
            started=message["started"],
            sandbox=Proc.of(pid),
            pids=bounds.pids,
            files=bounds.files,
            memory=bounds.memory,
            one_shot=message["one_shot"],
        )
        self.record()
        listener = sandbox.listen_inside(self.live, PROXY_PORT)
        try:
            request = {"op": "configure", "config": message["config"]}
            self.control(self.run / proof.BUNDLE / "control.sock", request, [listener])
        finally:
            os.close(listener)
        return {"ok": True}

    # The long run

    def hold(self, message: dict[str, Any]) -> int:
        """Gives up root, starts the agent, and serves its terminal until the bottle ends."""
        live = self.live
        assert live is not None
        status = os.open(self.run / proof.STATUS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        listener = socketpath.bind(str(self.run / proof.HOLDER_SOCKET), 0o600)
        if live.agent_uid:
            stage.enter_private_namespace()
            stage.make_reachable([*self.prep["keeper_paths"], str(self.run)])
            sandbox.drop_to(live.agent_uid)
        command: list[str] = message["argv"]

        def start(resume: bool) -> list[str]:
            return [*command[: command.index("--") + 1], *message["resume_argv" if resume else "agent_argv"]]

        def state(text: str) -> None:
            os.pwrite(status, f"{text:<32}\n".encode(), 0)

        holder = Holder(
            listener,
            start,
            message["env"],
            live.owner_uid,
            on_started=lambda pid: state("running"),
            on_ended=lambda code: state(f"ended {code}"),
        )
        guard = watch.Guard(holder, live, self.conn if live.one_shot else None)
        guard.install(memory=0 if limits.find_groups(live.ident) else live.memory)
        state("idle")
        if not live.one_shot:
            holder.start_agent()
        self.answer({"ok": True})
        if not live.one_shot:
            self.lines.close()
            self.conn.close()
        holder.run(start=not live.one_shot)
        return 0

    def forget(self) -> None:
        """A spare that nobody took removes its folder; a bottle's is left to whoever stops it, or to a cleanup."""
        if self.live is not None and not self.live.slug:
            uids.release(self.live.agent_uid)
            shutil.rmtree(self.run, ignore_errors=True)

    def end(self) -> None:
        """Takes sandbox and bundle down. The folder is removed by whoever stops the bottle, or by a cleanup."""
        if self.live is not None:
            if self.live.sandbox.alive():
                with contextlib.suppress(OSError):
                    os.kill(self.live.sandbox.pid, signal.SIGKILL)
            if self.lifeline >= 0:
                os.close(self.lifeline)
            deadline = time.monotonic() + 8
            while self.live.bundle.alive() and time.monotonic() < deadline:
                time.sleep(0.01)
            if self.live.bundle.alive():
                with contextlib.suppress(OSError):
                    os.kill(self.live.bundle.pid, signal.SIGKILL)
            deadline = time.monotonic() + 1
            with contextlib.suppress(ChildProcessError):
                while time.monotonic() < deadline:
                    if os.waitpid(-1, os.WNOHANG) == (0, 0):
                        time.sleep(0.002)

    # Small things

    def record(self) -> None:
        """Writes what this keeper knows, whole or not at all."""
        assert self.live is not None
        fresh = self.run / (proof.RECORD + ".new")
        fresh.write_text(proof.dump(self.live))
        fresh.rename(self.run / proof.RECORD)


def main() -> int:
    """Entry: takes the socket from stdin, and never leaves a process behind."""
    conn = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.umask(0o077 if os.geteuid() else 0o022)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    syscalls.adopt_orphans()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold the agent's environment
    keeper = Keeper(conn)
    try:
        return keeper.serve()
    finally:
        keeper.end()
        keeper.forget()


if __name__ == "__main__":
    sys.exit(main())
