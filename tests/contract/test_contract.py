"""What every backend promises, run over each of them."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from backends.api import Backend, BackendError, Capability, GeneratedFile, Values, WorkspaceMode
from tests.contract.plans import plan

SECRET = "s3cr3t-value-7f2a91"
SECRET_BOTTLE = """---
agent_provider:
  template: shell
env:
  ASKED: "?the secret"
  TAKEN: ${HOST_THING}
  PLAIN: hello
---
"""


def quiet(line: str) -> None:
    """Nobody looks at progress."""


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Waits for a condition; fails when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


class Terminal:
    """An attach client in a real PTY."""

    def __init__(self, argv: tuple[str, ...], rows: int = 24, cols: int = 80) -> None:
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm-256color"
            os.execv(argv[0], argv)
        self.resize(rows, cols)

    def resize(self, rows: int, cols: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def sees(self, text: str, seconds: float = 15.0) -> None:
        deadline = time.monotonic() + seconds
        while text.encode() not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} not in {self.seen[-2000:]!r}"
            if select.select([self.fd], [], [], left)[0]:
                with suppress(OSError):
                    self.seen += os.read(self.fd, 65536)

    def end(self, number: int = signal.SIGKILL) -> int:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
        os.close(self.fd)
        return os.waitpid(self.pid, 0)[1]


def test_launch_enumerate_stop_leaves_nothing(backend: Backend, own_state: Path) -> None:
    lines: list[str] = []
    made = backend.launch(plan(backend.name), Values(), None, lines.append)
    assert lines and made.agent.state == "running"
    agents, faults = backend.enumerate()
    assert [a.slug for a in agents] == [made.agent.slug] and not faults
    assert (
        agents[0].name == "worker"
        and agents[0].backend == backend.name
        and agents[0].services == ("egress", "supervise")
    )
    assert abs(agents[0].started - time.time()) < 60
    assert backend.leftovers() == ()
    backend.stop(made.agent.slug)
    assert backend.enumerate() == ((), ())
    assert backend.leftovers() == ()
    assert not [p for p in own_state.rglob("*") if made.agent.slug in str(p)]
    with pytest.raises(BackendError, match="no live bottle"):
        backend.stop(made.agent.slug)


def test_the_bottle_is_anothers_too(backend: Backend) -> None:
    """A second instance, as another process would have, lists, runs in and stops it."""
    slug = backend.launch(plan(backend.name), Values(), None, quiet).agent.slug
    other = type(backend)(backend.paths if hasattr(backend, "paths") else _paths(backend))  # type: ignore[call-arg]
    assert [a.slug for a in other.enumerate()[0]] == [slug]
    assert other.exec(slug, "echo from the other").stdout == "from the other\n"
    other.stop(slug)
    assert backend.enumerate()[0] == ()


def _paths(backend: Backend) -> object:
    from tests.contract.conftest import paths

    return paths(backend.root.parent)  # type: ignore[attr-defined]


def test_exec_gives_status_and_both_streams(backend: Backend) -> None:
    slug = backend.launch(plan(backend.name), Values(), None, quiet).agent.slug
    done = backend.exec(slug, "echo out; echo err >&2; exit 3")
    assert (done.status, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert backend.exec(slug, "kill -9 $$").status == 137
    assert backend.exec(slug, 'echo "$BOT_BOTTLE"; pwd').stdout.splitlines()[0] == "1"


def test_copy_in_keeps_modes(backend: Backend) -> None:
    slug = backend.launch(plan(backend.name), Values(), None, quiet).agent.slug
    backend.copy_in(slug, [GeneratedFile("/home/agent/deep/er/note", "text\n", 0o600)])
    assert backend.exec(slug, "cat ~/deep/er/note; stat -c %a ~/deep/er/note").stdout == "text\n600\n"


def test_provisioned_files(backend: Backend) -> None:
    slug = backend.launch(plan(backend.name), Values(), None, quiet).agent.slug
    done = backend.exec(slug, "cat ~/.bot-bottle-prompt.txt ~/AGENTS.md; stat -c %a ~/.bot-bottle-prompt.txt")
    assert done.stdout == "Be careful.\nBe careful.\n600\n"


def test_env_reaches_the_agent_and_nothing_else(backend: Backend, own_state: Path) -> None:
    chosen = plan(backend.name, bottle=SECRET_BOTTLE)
    values = Values({"ASKED": SECRET, "TAKEN": SECRET + "-2"}, {})
    assert SECRET not in repr(chosen) and SECRET not in repr(values)
    slug = backend.launch(chosen, values, None, quiet).agent.slug
    terminal = Terminal(backend.attach_argv(slug, pane=True))
    terminal.type('echo "[$ASKED|$TAKEN|$PLAIN]" | tr a-z A-Z\n')
    terminal.sees(f"[{SECRET}|{SECRET}-2|hello]".upper())
    terminal.type('echo "<$MCP_SUPERVISE_URL|$GIT_GATE_URL>"\n')
    terminal.sees(f"<http://{backend.sidecar_host}:9100/mcp|>")
    terminal.end()
    for proc in Path("/proc").iterdir():
        if proc.name.isdigit():
            with suppress(OSError):
                assert SECRET.encode() not in (proc / "cmdline").read_bytes()
    for path in own_state.rglob("*"):
        if path.is_file():
            with suppress(PermissionError):
                assert SECRET.encode() not in path.read_bytes(), path


def test_attach_types_resizes_and_outlives_its_clients(backend: Backend) -> None:
    slug = backend.launch(plan(backend.name), Values(), None, quiet).agent.slug
    first = Terminal(backend.attach_argv(slug, pane=True), rows=30, cols=100)
    first.type("KEPT=yes; echo se''en\n")
    first.sees("seen")
    until(lambda: _size(first, "30 100"))  # docker tells its exec the size a little after it began
    first.resize(20, 70)
    until(lambda: _size(first, "20 70"))
    first.end(signal.SIGKILL)
    second = Terminal(backend.attach_argv(slug, pane=True), rows=24, cols=80)
    second.sees("seen")  # the same screen
    second.type("echo kept=$KEPT\n")
    second.sees("kept=yes")  # the same agent
    third = Terminal(backend.attach_argv(slug, pane=True))
    third.type("echo for''both\n")
    third.sees("forboth")
    second.sees("forboth")
    second.end()
    third.end()
    assert [a.state for a in backend.enumerate()[0]] == ["running"]


def _size(terminal: Terminal, wanted: str) -> bool:
    terminal.type("stty size\n")
    with suppress(AssertionError):
        terminal.sees(wanted, 1.0)
        return True
    return False


def test_the_agents_end_is_seen_and_attach_starts_it_again(backend: Backend) -> None:
    slug = backend.launch(plan(backend.name), Values(), None, quiet).agent.slug
    terminal = Terminal(backend.attach_argv(slug, pane=True))
    terminal.type("exit 5\n")
    until(lambda: [a.state for a in backend.enumerate()[0]] == ["done"])
    assert "5" in backend.enumerate()[0][0].detail
    terminal.end()
    again = Terminal(backend.attach_argv(slug, pane=True))
    again.type("echo ba''ck\n")
    again.sees("back")
    again.end()
    until(lambda: [a.state for a in backend.enumerate()[0]] == ["running"])


def test_a_rebuild_keeps_what_the_agent_has(backend: Backend, tmp_path: Path) -> None:
    if Capability.REBUILD not in backend.capabilities():
        pytest.skip(f"{backend.name} has no images")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "file").write_text("before\n")
    for path in (folder, folder / "file"):
        os.chown(path, *((1000, 1000) if os.geteuid() == 0 else (-1, -1)))
    chosen = plan(backend.name, cwd=folder, workspace=WorkspaceMode.BIND)
    slug = backend.launch(chosen, Values(), folder, quiet).agent.slug
    began = backend.enumerate()[0][0].started
    script = "mkdir -p ~/.state; umask 077; echo said > ~/.state/transcript; echo more >> ~/workspace/file"
    assert backend.exec(slug, script).status == 0
    terminal = Terminal(backend.attach_argv(slug, pane=True))
    terminal.type("echo ol''d\n")
    terminal.sees("old")
    lines: list[str] = []
    dockerfile = backend.dockerfile(slug) or "FROM debian:bookworm-slim"
    backend.rebuild(slug, f"{dockerfile}\nRUN echo new > /usr/local/share/marker\n", lines.append)
    assert lines and backend.dockerfile(slug).endswith("share/marker\n")
    until(lambda: [a.state for a in backend.enumerate()[0]] == ["running"])
    assert backend.enumerate()[0][0].started == began and backend.leftovers() == ()
    done = backend.exec(slug, "cat ~/.state/transcript ~/workspace/file; stat -c %a ~/.state/transcript")
    assert done.stdout == "said\nbefore\nmore\n600\n", done
    terminal.type("echo ne''w\n")
    terminal.sees("new")
    terminal.end()


def test_the_agent_s_end_counts_and_not_what_it_left_running(backend: Backend) -> None:
    """A job in the background holds the terminal open, and even writes; the agent has ended all the same."""
    slug = backend.launch(plan(backend.name), Values(), None, quiet).agent.slug
    terminal = Terminal(backend.attach_argv(slug, pane=True))
    terminal.type("(trap '' HUP; while sleep 0.1; do echo still here; done) & disown; echo last wo''rds; exit 3\n")
    terminal.sees("last words")
    until(lambda: [a.state for a in backend.enumerate()[0]] == ["done"], 5)
    terminal.end()


def test_workspace_is_the_folder_given(backend: Backend, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "file").write_text("before\n")
    if backend.name == "docker" and os.geteuid() == 0:
        with pytest.raises(BackendError, match="nothing in a bottle runs as root"):
            backend.launch(plan(backend.name, cwd=folder, workspace=WorkspaceMode.BIND), Values(), folder, quiet)
        os.chown(folder, 1000, 1000)
        os.chown(folder / "file", 1000, 1000)
    chosen = plan(backend.name, cwd=folder, workspace=WorkspaceMode.BIND)
    slug = backend.launch(chosen, Values(), folder, quiet).agent.slug
    done = backend.exec(slug, "cd ~/workspace && cat file && echo after > new && echo changed > file")
    assert (done.status, done.stdout) == (0, "before\n"), done.stderr
    assert (folder / "new").read_text() == "after\n" and (folder / "file").read_text() == "changed\n"
    assert (folder / "new").stat().st_uid == folder.stat().st_uid


def test_ten_at_once_are_told_apart(backend: Backend) -> None:
    count = 10 if backend.name == "fake" else 4
    slugs = [backend.launch(plan(backend.name), Values(), None, quiet).agent.slug for _ in range(count)]
    assert sorted(a.slug for a in backend.enumerate()[0]) == sorted(slugs)
    for slug in slugs:
        assert backend.exec(slug, f"echo {slug} > ~/me; cat ~/me").stdout.strip() == slug
    backend.stop(slugs[0])
    assert sorted(a.slug for a in backend.enumerate()[0]) == sorted(slugs[1:])


def test_a_launcher_killed_at_each_step_leaves_nothing_that_cleanup_does_not_find(
    backend: Backend, own_state: Path
) -> None:
    steps: list[str] = []
    slug = backend.launch(plan(backend.name), Values(), None, steps.append).agent.slug
    backend.stop(slug)
    for step in steps:
        script = (
            "import json, os, signal, sys\n"
            "from pathlib import Path\n"
            "from tests.contract.conftest import BACKENDS, paths\n"
            "from tests.contract.plans import plan\n"
            "from backends.api import Values\n"
            "def progress(line):\n"
            "    if line == sys.argv[2]: os.kill(os.getpid(), signal.SIGKILL)\n"
            "made = BACKENDS[sys.argv[1]](paths(Path(sys.argv[3])))\n"
            "made.launch(plan(sys.argv[1]), Values(), None, progress)\n"
        )
        root = Path(__file__).parents[2]
        argv = [sys.executable, "-c", script, backend.name, step, str(own_state)]
        done = subprocess.run(argv, cwd=root, capture_output=True, timeout=60)
        assert done.returncode == -signal.SIGKILL, (step, done.stderr)
        until(lambda: not backend.enumerate()[0], 10) if backend.name == "bubblewrap" else None
        left = backend.leftovers()
        if backend.name == "fake":  # no keeper watches its launcher
            for agent in backend.enumerate()[0]:
                backend.stop(agent.slug)
        assert backend.sweep(left) == ()
        assert backend.leftovers() == () and backend.enumerate()[0] == ()
    assert not [p for p in own_state.rglob("*") if p.is_socket()]
