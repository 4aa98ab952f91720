"""The shell on the real thing: lanes with threads, tmux panes, and the whole dashboard on a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from backends.api import BackendError
from botbottle_tui.core import effect as e
from botbottle_tui.core import msg as m
from botbottle_tui.shell.perform import Seams, perform
from botbottle_tui.shell.tmux import TmuxPanes
from botbottle_tui.shell.worker import Lanes
from tests.fake_world import CWD, FakePanes, FakeWorld

ROOT = Path(__file__).parents[3]


class Answers:
    """Collects what the lanes post."""

    def __init__(self) -> None:
        self.got: list[m.Msg] = []
        self.ready = threading.Condition()

    def post(self, msg: m.Msg) -> None:
        with self.ready:
            self.got.append(msg)
            self.ready.notify_all()

    def wait(self, count: int) -> list[m.Msg]:
        with self.ready:
            assert self.ready.wait_for(lambda: len(self.got) >= count, timeout=5), self.got
            return list(self.got)


def test_a_hung_poll_keeps_one_waiting_and_holds_up_nobody() -> None:
    go, answers = threading.Event(), Answers()

    def slow(effect: e.Effect) -> m.Final:
        if isinstance(effect, e.Enumerate):
            go.wait(5)
            return m.Enumerated(effect.seq, (), ())
        return m.Warmed(effect.seq)

    lanes = Lanes(slow, answers.post)
    lanes.submit(e.Enumerate(1))
    time.sleep(0.05)
    for seq in (2, 3, 4):
        lanes.submit(e.Enumerate(seq))
    lanes.submit(e.Warm(5))
    assert {x.seq for x in answers.wait(3)} == {2, 3, 5}  # type: ignore[union-attr]
    go.set()
    assert [x.seq for x in answers.wait(5)[3:]] == [1, 4]  # type: ignore[union-attr]


def test_a_watch_that_hangs_holds_up_nobody() -> None:
    go, answers = threading.Event(), Answers()

    def slow(effect: e.Effect) -> m.Final:
        if isinstance(effect, e.WatchProposals):
            go.wait(5)
            return m.ProposalsSeen(effect.seq, "m", (), ())
        return m.Warmed(effect.seq)

    lanes = Lanes(slow, answers.post)
    lanes.submit(e.WatchProposals("m", 1))
    for effect in (e.Enumerate(2), e.ReadActivity("a", 1, 3), e.CheckPane(4), e.Decide((), 5)):
        lanes.submit(effect)
    assert {x.seq for x in answers.wait(4)} == {2, 3, 4, 5}  # type: ignore[union-attr]
    go.set()
    assert answers.wait(5)[-1] == m.ProposalsSeen(1, "m", (), ())


def test_launches_run_at_once() -> None:
    both, answers = threading.Barrier(2, timeout=5), Answers()

    def meet(effect: e.Effect) -> m.Final:
        both.wait()
        return m.Warmed(effect.seq)

    lanes = Lanes(meet, answers.post)
    lanes.submit(e.Stop("a", seq=1))
    lanes.submit(e.Stop("b", seq=2))
    assert {x.seq for x in answers.wait(2)} == {1, 2}  # type: ignore[union-attr]


def test_any_exception_is_a_failure_with_its_first_line() -> None:
    world = FakeWorld()
    seams = Seams(world, FakePanes(), lambda argv: 0, lambda text, suffix: text)
    world.fail["stop"] = ValueError("odd\nand more")
    effect = e.Stop("a", seq=7)
    assert perform(effect, seams, print) == m.Failed(
        7, effect, "unexpected ValueError: odd", "logs/dashboard.log tells more"
    )
    world.fail["stop"] = BackendError("why", "what to do")
    assert perform(effect, seams, print) == m.Failed(7, effect, "why", "what to do")


def test_a_home_folder_is_expanded_outside_the_pure_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/op")
    spec = e.LaunchSpec("builder", "bubblewrap", Path("~/shop"))
    done = perform(
        e.Prepare(spec, 1), Seams(FakeWorld(), FakePanes(), lambda argv: 0, lambda text, suffix: text), print
    )
    assert isinstance(done, m.SpecPrepared) and done.prepared.spec.cwd == CWD


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
def test_one_pane_split_once_respawned_and_found_again(tmp_path: Path) -> None:
    def tmux(*args: str) -> str:
        env = {**os.environ, "TMUX_TMPDIR": str(tmp_path)}
        env.pop("TMUX", None)
        return subprocess.run(
            ["tmux", "-L", "panes", "-f", "/dev/null", *args],
            env=env,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()

    own = tmux(
        "new-session", "-d", "-P", "-F", "#{socket_path},#{pid},0 #{pane_id}", "-x", "150", "-y", "30", "sleep 60"
    )
    try:
        socket, pane = own.split()
        env = {"TMUX": socket, "TMUX_PANE": pane}
        panes = TmuxPanes(env)
        assert panes.shown() == ""
        panes.close()
        panes.show("one", ["sh", "-c", "sleep 60; echo $0", "it's; a `word`"], focus=False)
        assert panes.shown() == "one" and tmux("display", "-p", "#{pane_id}") == pane
        first = tmux("list-panes", "-F", "#{pane_id} #{pane_width}").splitlines()
        panes.show("two", ["sleep", "60"], focus=True)
        assert (
            TmuxPanes(env).shown() == "two"
            and tmux("list-panes", "-F", "#{pane_id} #{pane_width}").splitlines() == first
        )
        assert 85 <= int(first[1].split()[1]) <= 98 and tmux("display", "-p", "#{pane_id}") != pane
        tmux("kill-pane", "-t", first[1].split()[0])
        assert panes.shown() == ""
        panes.show("three", ["sleep", "60"], focus=True)
        panes.close()
        assert panes.shown() == "" and len(tmux("list-panes").splitlines()) == 1
    finally:
        tmux("kill-server")
    with pytest.raises(BackendError, match="tmux"):
        panes.shown()


CHILD = """
import sys, subprocess
from pathlib import Path
from tests.fake_world import CWD, FakeWorld
import botbottle_tui.shell.runtime as runtime
real = runtime.screen
def screen(model):
    if "bug" in sys.argv and model.overlays:
        raise ValueError("a bug")
    return real(model)
runtime.screen = screen
class World(FakeWorld):
    def attach_argv(self, slug, *, pane):
        return ("sh", "-c", "echo inside $0; read line; exit 3", slug)
sys.exit(runtime.run_dashboard(World(), cwd=CWD, home=Path(sys.argv[1]), options=runtime.DashOptions(),
    run_foreground=lambda argv: subprocess.call(list(argv))))
"""


class Terminal:
    """A child on a pseudo-terminal."""

    def __init__(self, home: Path, *args: str, code: str = "") -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(PYTHONPATH=str(ROOT), TERM="xterm")
            os.environ.pop("TMUX", None)
            os.execv(sys.executable, [sys.executable, "-c", code or CHILD, str(home), *args])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.seen = b""

    def until(self, *words: str, timeout: float = 15) -> Terminal:
        self.seen = b""
        end = time.monotonic() + timeout
        while not all(w.encode() in self.seen for w in words):
            assert time.monotonic() < end, self.seen[-3000:]
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:  # the child ended
                    assert all(w.encode() in self.seen for w in words), self.seen[-3000:]
        return self

    def more(self) -> bytes:
        """What was written meanwhile."""
        self.seen = b""
        while select.select([self.fd], [], [], 0)[0]:
            self.seen += os.read(self.fd, 65536)
        return self.seen

    def type(self, text: str) -> Terminal:
        os.write(self.fd, text.encode())
        return self

    def end(self) -> int:
        for _ in range(150):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:
                    time.sleep(0.05)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError("the dashboard did not end")


def test_from_first_frame_to_the_foreground_and_back(tmp_path: Path) -> None:
    t = Terminal(tmp_path / "home").until("Agents (0)", "Nothing runs").type("n").until("New agent")
    t.type("\r").until("ready: Enter starts it").type("\r").until("inside builder-1")
    t.type("x\n").until("ended with status 3").type("q")
    assert t.end() == 0
    assert not (tmp_path / "home").exists(), "nothing went wrong, so nothing was logged"


@pytest.mark.parametrize("keys", ["\x1bn", "\x1b\x1b[Bn", "\x1b\tn"])
def test_esc_acts_alone_and_so_does_the_key_right_behind_it(tmp_path: Path, keys: str) -> None:
    t = Terminal(tmp_path / "home").until("Nothing runs").type("?").until("Keys").type(keys).until("New agent")
    assert t.type("\x1bq").end() == 0


def test_a_fault_of_its_own_restores_the_terminal_and_leaves_a_report(tmp_path: Path) -> None:
    t = Terminal(tmp_path, "bug").until("Nothing runs").type("?")
    assert t.end() == 1
    assert b"\x1b[?1049l" in t.seen and b"ended by a fault of its own (ValueError: a bug)" in t.seen.split(b"1049l")[-1]
    report = (tmp_path / "logs/dashboard-crash.log").read_text()
    assert "ValueError: a bug" in report and "KeyPressed(key='?')" in report and "Traceback" not in t.seen.decode()
    assert (tmp_path / "logs/dashboard-crash.log").stat().st_mode & 0o777 == 0o600


def test_sigterm_restores_the_terminal(tmp_path: Path) -> None:
    t = Terminal(tmp_path).until("Nothing runs")
    os.kill(t.pid, signal.SIGTERM)
    assert t.end() == 0 and b"\x1b[?1049l" in t.seen


def test_no_terminal_is_refused_in_one_line(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdin=subprocess.DEVNULL,
        env=env,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
