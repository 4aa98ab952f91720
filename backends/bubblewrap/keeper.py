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
from dataclasses import replace
from pathlib import Path
from typing import Any

from backends import uids
from backends.alive import Proc, boot_id
from backends.api import BackendError, Limits
from backends.bubblewrap import argv, bundle_box, inside, limits, proof, sandbox, stage, syscalls, watch
from backends.holder import socketpath
from backends.holder.server import Holder
from sidecar_bundle.shared import layout


class Keeper:
    """One bottle from its bundle to its end."""

    def __init__(self, conn: socket.socket) -> None:
        self.conn = conn
        self.lines = conn.makefile("r", encoding="utf-8")
        self.box: bundle_box.Box | None = None
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
        self.box = box = bundle_box.start(self.run, message)
        self.live = proof.Live(
            schema=proof.SCHEMA,
            ident=self.run.name,
            slug="",
            agent="",
            started=time.time(),
            boot_id=boot_id(),
            owner_uid=os.getuid(),
            keeper=Proc.of(os.getpid()),
            bundle=box.bundle,
            sandbox=Proc(0, 0),
            dialer=box.dialer,
            daemons=(),
            agent_uid=message["agent_uid"],
            bundle_uid=message["bundle_uid"],
            pids=0,
            files=0,
            memory=0,
            one_shot=False,
        )
        self.record()
        if layout.PIPELOCK in message["daemons"]:
            box.outlets = inside.outlets(box.bundle, message["bundle_uid"])
        box.control({"op": "hello"})
        return {"ok": True}

    # The agent's sandbox

    def launch(self, message: dict[str, Any]) -> dict[str, Any]:
        """Starts the sandbox and gives the bundle a listener inside it."""
        assert self.live is not None and self.box is not None
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
            daemons=tuple(message["config"]["daemons"]),
        )
        self.record()
        self.box.configure(message["config"], self.live.sandbox, uid)
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
            if self.box is not None:
                self.box.end()
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
