"""The runner against real programs: input, bounds, time-outs, groups, terminals and detached sessions."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from backends.api import BackendError
from backends.process import LINE_LIMIT, Runner, minimal_env

RUN = Runner()


def gone(pid: int, seconds: float = 3.0) -> bool:
    """Whether the process ends (a zombie counts as ended) within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_answers_status_and_both_outputs() -> None:
    done = RUN.run(["sh", "-c", "cat; printf 'why\\n\\n' >&2; exit 7"], input=b"\xff\x00x", timeout=5)
    assert (done.status, done.raw, done.stderr) == (7, b"\xff\x00x", "why\n\n")
    assert done.stdout == "\ufffd\x00x"
    assert (done.ok, done.last_line) == (False, "why")


def test_large_input_and_output_do_not_block_each_other() -> None:
    data = os.urandom(3_000_000)
    assert RUN.run(["cat"], input=data, timeout=20).raw == data


def test_input_that_is_not_read_is_no_error() -> None:
    assert RUN.run(["true"], input=b"x" * 1_000_000, timeout=5).status == 0


def test_without_input_stdin_is_empty_and_there_is_no_terminal() -> None:
    done = RUN.run(["sh", "-c", "cat; (: < /dev/tty) 2>/dev/null && echo tty; exit 0"], timeout=5)
    assert done.stdout == ""


def test_a_signal_is_128_plus_its_number() -> None:
    assert RUN.run(["sh", "-c", "kill -TERM $$"], timeout=5).status == 128 + signal.SIGTERM


def test_time_out_kills_the_whole_group(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    begun = time.monotonic()
    with pytest.raises(BackendError, match=r"^sh did not end within 0\.5 s and was stopped$"):
        RUN.run(["sh", "-c", f"sleep 60 & echo $! > {note}; wait"], timeout=0.5)
    assert time.monotonic() - begun < 3
    assert gone(int(note.read_text()))


def test_a_silent_program_that_closed_its_outputs_is_timed_too() -> None:
    with pytest.raises(BackendError, match="did not end"):
        RUN.run(["sh", "-c", "exec >&- 2>&-; sleep 60"], timeout=0.3)


def test_too_much_output_is_an_error_and_ends_the_program() -> None:
    with pytest.raises(BackendError, match="yes wrote more than 100000 bytes"):
        RUN.run(["yes"], timeout=10, limit=100_000)


def test_an_orphan_that_holds_the_pipe_is_not_waited_for(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    begun = time.monotonic()
    done = RUN.run(["sh", "-c", f"sleep 30 & echo $! > {note}; echo said"], timeout=20)
    os.kill(int(note.read_text()), signal.SIGKILL)
    assert (done.status, done.stdout) == (0, "said\n")
    assert time.monotonic() - begun < 3


def test_a_missing_program_names_its_package(tmp_path: Path) -> None:
    with pytest.raises(BackendError) as caught:
        RUN.run(["bwrap", "--version"], timeout=5, env={"PATH": str(tmp_path)})
    assert (caught.value.message, caught.value.hint) == ("bwrap is not installed", "apt-get install bubblewrap")


@pytest.mark.parametrize(
    ("argv", "cwd", "message"),
    [
        (["true"], "/no/such", "cannot run true: /no/such: no such folder"),
        (["/etc/passwd"], None, "cannot run passwd: Permission denied"),
        (["a\0b"], None, "cannot run a\0b: embedded null byte"),
        (["no-such-program-here"], None, "no-such-program-here is not installed"),
    ],
)
def test_what_cannot_be_run_is_one_line(argv: list[str], cwd: str | None, message: str) -> None:
    with pytest.raises(BackendError) as caught:
        RUN.run(argv, timeout=5, cwd=Path(cwd) if cwd else None)
    assert caught.value.message == message


def test_stream_hands_over_lines_as_they_come_and_keeps_the_tail() -> None:
    seen: list[tuple[str, float]] = []
    script = "echo one; sleep 0.4; printf 'two\\rthree' >&2"
    done = RUN.stream(["sh", "-c", script], lambda line: seen.append((line, time.monotonic())), timeout=5)
    assert [line for line, _ in seen] == ["one", "two", "three"]
    assert seen[1][1] - seen[0][1] > 0.2
    assert (done.status, done.last_line) == (0, "three")


def test_stream_bounds_a_line_without_end() -> None:
    seen: list[str] = []
    done = RUN.stream(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"], seen.append, timeout=10)
    assert [len(line) for line in seen] == [LINE_LIMIT]
    assert len(done.stdout) <= 65536


def test_an_error_in_the_callback_ends_the_program(tmp_path: Path) -> None:
    note = tmp_path / "pid"

    def refuse(line: str) -> None:
        raise BackendError(line)

    with pytest.raises(BackendError, match="enough"):
        RUN.stream(["sh", "-c", f"echo $$ > {note}; echo enough; sleep 60"], refuse, timeout=30)
    assert gone(int(note.read_text()))


FOREGROUND = """
import sys
from backends.process import Runner
status = Runner().foreground(["sh", "-c", "trap 'exit 9' INT; test -t 0 && echo ready; while :; do sleep 0.05; done"])
import time
try:
    print("status", status, flush=True)
    time.sleep(20)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_foreground_owns_the_terminal_and_its_interrupt() -> None:
    pid, fd = pty.fork()
    if pid == 0:
        # A job in the background of a script is born with it ignored.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execv(sys.executable, [sys.executable, "-c", FOREGROUND])
    try:
        text = b""
        for expected in (b"ready", b"status 9", b"interrupted"):
            end = time.monotonic() + 30
            while expected not in text and time.monotonic() < end:
                if select.select([fd], [], [], 0.2)[0]:
                    text += os.read(fd, 4096)
            assert expected in text, text
            os.write(fd, b"\x03")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(fd)


def test_foreground_answers_a_signal_as_128_plus_n() -> None:
    assert RUN.foreground(["sh", "-c", "kill -KILL $$"]) == 128 + signal.SIGKILL


def test_detached_has_its_own_session_the_socket_and_no_other_file(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    log = tmp_path / "log"
    leak = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(leak, True)
    runner = Runner()
    script = "read line; echo out; echo err >&2; ls /proc/self/fd; env; echo $line >&0; sleep 60"
    pid = runner.spawn_detached(["sh", "-c", script], stdin_socket=theirs, log=log, env={"PATH": "/usr/bin:/bin"})
    try:
        theirs.close()
        ours.settimeout(5)
        ours.sendall(b"hello\n")
        assert ours.recv(100) == b"hello\n"
        assert os.getsid(pid) == pid != os.getsid(0)
        text = log.read_text()
        assert text.startswith("out\nerr\n")
        assert f"\n{leak}\n" not in text
        assert {line.split("=")[0] for line in text.splitlines() if "=" in line} <= {
            "PATH",
            "PWD",
            "_",
            "OLDPWD",
            "SHLVL",
        }
        assert log.stat().st_mode & 0o777 == 0o600
    finally:
        os.close(leak)
        os.killpg(pid, signal.SIGKILL)
    assert gone(pid)
    end = time.monotonic() + 3
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        runner.reap()
    assert not Path(f"/proc/{pid}").exists()


def test_detached_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BackendError, match="cannot write"):
        RUN.spawn_detached(["true"], stdin_socket=None, log=tmp_path / "log")
    assert not (tmp_path / "elsewhere").exists()


def test_minimal_env_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "s3cret")
    env = minimal_env({"A": "b"})
    assert env["A"] == "b"
    assert "PATH" in env
    assert "SOME_TOKEN" not in env
