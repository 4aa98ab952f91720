"""The holder and its client: real processes on real terminals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backends.holder import wire
from backends.holder.client import ClientError, request
from backends.holder.socketpath import connect
from tests.conftest import need
from tests.unit.holder.tty import ENV, HOLDER, Held, Tty

Hold = Callable[..., Held]
SHELL = ["bash", "--norc", "--noprofile", "-i"]


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Hold]:
    held: list[Held] = []

    def make(argv: list[str], resume: list[str] | None = None, path: Path | None = None) -> Held:
        held.append(Held(path or tmp_path / "s", argv, resume))
        return held[-1]

    yield make
    for each in held:
        each.close()


def test_attach_type_see(hold: Hold) -> None:
    bottle = hold(SHELL)
    tty = bottle.attach()
    tty.type("echo $((6*7))-$(tty | cut -c1-8)\r")
    assert tty.sees("42-/dev/pts")
    status = bottle.ask("status")
    assert (status["state"], status["clients"], status["terms"]) == ("running", 1, ["xterm-256color"])


def test_who_missed_the_first_size_is_told_again_when_it_speaks(hold: Hold) -> None:
    """As `docker exec`, which passes on no size before the command inside runs."""
    told = "signal.signal(signal.SIGWINCH, lambda *_: print('told', *os.get_terminal_size(), flush=True))"
    quiet = (
        "import os, signal, sys, termios; a = termios.tcgetattr(0); a[3] &= ~termios.ECHO; termios.tcsetattr(0, 0, a)"
    )
    bottle = hold(["python3", "-c", f"{quiet}\ninput()\n{told}\nprint('up', flush=True)\nwhile True: signal.pause()"])
    tty = bottle.attach(rows=31, cols=101)
    bottle.wait_for(rows=31, cols=101)
    time.sleep(0.3)  # the terminal echoes no more
    tty.type("\r")
    assert tty.sees("told 101 31")


def test_a_killed_client_leaves_the_agent_and_its_screen(hold: Hold) -> None:
    bottle = hold(SHELL)
    tty = bottle.attach()
    tty.type("echo st''ays; X=kept\r")
    tty.sees("stays")
    tty.process.kill()
    bottle.wait_for(clients=0, state="running")
    again = bottle.attach()
    assert again.sees("stays")
    again.type("echo $X-$X\r")
    assert again.sees("kept-kept")


def test_two_clients_see_and_type_and_the_last_used_one_has_the_size(hold: Hold) -> None:
    bottle = hold(SHELL)
    one = bottle.attach(rows=24, cols=80)
    bottle.wait_for(rows=24, cols=80, clients=1)
    two = bottle.attach(rows=30, cols=100)
    bottle.wait_for(rows=30, cols=100, clients=2)
    one.type("stty size; echo fr''om-one\r")
    assert one.sees("from-one") and one.sees("24 80") and two.sees("from-one")
    two.type("stty size; echo fr''om-two\r")
    assert two.sees("from-two") and two.sees("30 100") and one.sees("from-two")
    one.size(33, 90)
    bottle.wait_for(rows=33, cols=90)
    one.type("stty size\r")
    assert one.sees("33 90")
    one.process.kill()
    bottle.wait_for(rows=30, cols=100, clients=1)


@pytest.mark.parametrize("key", [b"\x11", b"\x1b[113;5u", b"\x1b[113;69u", b"\x1b[27;5;113~"])
def test_the_detach_key_gives_the_terminal_back(hold: Hold, key: bytes) -> None:
    bottle = hold(["sh", "-c", "printf '\\033[?1049h\\033[?1002h\\033[?2004hin the agent'; cat"])
    tty = bottle.attach()
    tty.sees("in the agent")
    assert not tty.restored()
    tty.type(b"x" + key + b"not for the agent")
    assert tty.ends() == 0
    assert tty.restored()
    assert not tty.screen.grid.alternate and tty.screen.modes == {7, 25}
    assert tty.sees("detached: the bottle goes on")
    assert bottle.ask("status")["state"] == "running"
    assert "not for" not in "".join(bottle.ask("snapshot")["lines"])  # type: ignore[arg-type]


def test_other_detach_keys_and_none(hold: Hold) -> None:
    bottle = hold(["cat", "-v"])
    tty = bottle.attach("--detach-key", "ctrl-]")
    tty.type(b"\x11ok\r")
    assert tty.sees("ok")
    tty.type(b"\x1d")
    assert tty.ends() == 0
    none = bottle.attach("--detach-key", "none")
    none.type(b"\x1dmore\r")
    assert none.sees("^]more")
    bad = bottle.attach("--detach-key", "f1")
    assert bad.ends() == 2 and bad.sees("--detach-key f1")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signalled_client_gives_the_terminal_back(hold: Hold, number: int) -> None:
    bottle = hold(["sh", "-c", "printf '\\033[?1049hhere'; cat"])
    tty = bottle.attach()
    tty.sees("here")
    os.kill(tty.process.pid, number)
    os.kill(tty.process.pid, number)
    # The second one may come when the first has done its work, and then kill as signals do.
    assert tty.ends() in (128 + number, -number)
    assert tty.restored() and not tty.screen.grid.alternate


def test_the_agents_end_is_told_kept_and_attaching_starts_it_again(hold: Hold) -> None:
    bottle = hold(
        ["sh", "-c", "echo first; read x; echo last words; exit 7"], ["sh", "-c", "echo resumed; read x; kill -9 $$"]
    )
    tty = bottle.attach()
    tty.sees("first")
    tty.type("\r")
    assert tty.ends() == 7
    assert tty.sees("agent ended with status 7") and tty.restored()
    assert bottle.wait_for(state="ended")["exit"] == 7
    assert "last words" in bottle.ask("snapshot")["lines"]  # type: ignore[operator]
    assert bottle.ask("input", data="x") == {"ok": False, "error": "the agent has ended: start it first"}
    again = bottle.attach()
    assert again.sees("last words") and again.sees("status 7: started again") and again.sees("resumed")
    again.type("\r")
    assert again.ends() == 137
    assert bottle.ask("start")["ok"] is True
    assert bottle.wait_for(state="running")["exit"] is None


def test_a_pane_waits_and_starts_the_agent_again(hold: Hold) -> None:
    bottle = hold(["sh", "-c", "echo first; read x; exit 3"], ["sh", "-c", "echo resumed; read x; exit 4"])
    one, two = bottle.attach("--pane"), bottle.attach("--pane")
    one.sees("first")
    bottle.wait_for(clients=2)
    one.type(b"\x11")  # no detach key here
    one.type("\r")
    line = "agent ended with status 3: Enter starts it again, q closes this pane"
    assert one.sees(line) and two.sees(line)
    one.type("z")
    time.sleep(0.1)
    one.type("\r")
    assert one.sees("resumed") and two.sees("resumed")
    two.type("\r")
    assert one.sees("status 4: Enter") and two.sees("status 4: Enter")
    one.type("q")
    assert one.ends() == 0 and one.restored()


def test_requests(hold: Hold) -> None:
    bottle = hold(["sh", "-c", "printf '\\033]2;name\\007'; cat"])
    assert bottle.wait_for(title="name", rows=24, cols=80, exit=None)["clients"] == 0
    assert bottle.ask("input", data="typed\n") == {"ok": True}
    assert bottle.ask("what")["ok"] is False
    assert bottle.ask("input", data=5)["ok"] is False
    done = subprocess.run(
        [*HOLDER, "request", bottle.path, '{"op":"snapshot"}'], env=ENV, capture_output=True, text=True
    )
    assert done.returncode == 0 and '"typed"' in done.stdout
    done = subprocess.run([*HOLDER, "request", bottle.path, "status"], env=ENV, capture_output=True, text=True)
    assert done.returncode == 2 and "JSON object" in done.stderr and "Traceback" not in done.stderr


def test_stop_ends_the_agent_and_the_clients(hold: Hold) -> None:
    bottle = hold(["sh", "-c", "trap '' HUP TERM; echo stubborn; while :; do sleep 0.2; done"])
    tty = bottle.attach()
    tty.sees("stubborn")
    pid = int(str(bottle.ask("status")["pid"]))
    assert bottle.ask("stop") == {"ok": True}
    assert tty.ends() == 1 and tty.sees("the bottle was stopped") and tty.restored()
    assert bottle.process.wait(8) == 0
    assert not Path(f"/proc/{pid}").exists() and not Path(bottle.path).exists()
    dead = bottle.attach()
    assert dead.ends() == 1 and dead.sees("no bottle answers at")


def test_sigterm_stops_and_sighup_does_not(hold: Hold) -> None:
    bottle = hold(["cat"])
    bottle.process.send_signal(signal.SIGHUP)
    pid = int(str(bottle.wait_for(state="running")["pid"]))
    bottle.process.terminate()
    assert bottle.process.wait(5) == 0
    assert not Path(f"/proc/{pid}").exists()


def test_what_cannot_start_says_so(hold: Hold) -> None:
    tty = hold(["/nowhere/agent"]).attach()
    assert tty.sees("cannot start /nowhere/agent: No such file or directory")
    assert tty.ends() == 127


def test_the_agent_gets_a_clean_start(hold: Hold) -> None:
    script = "import os, signal as s; print(sorted(os.listdir('/proc/self/fd'))[:4], s.getsignal(s.SIGHUP), "
    script += "os.getsid(0) == os.getpid())"
    bottle = hold([sys.executable, "-S", "-c", script + "; input()"])
    assert bottle.attach().sees("['0', '1', '2', '3'] 0 True")  # 3 is the folder being listed


def test_queries_are_answered_when_nobody_watches(hold: Hold) -> None:
    bottle = hold(
        [
            "bash",
            "-c",
            r"stty raw -echo; printf '\033[6n\033[c'; IFS= read -rd c -t 5 a; stty sane; printf '%q\n' $a; cat",
        ]
    )
    until = time.monotonic() + 5
    while "?62;22" not in "".join(bottle.ask("snapshot")["lines"]) and time.monotonic() < until:  # type: ignore[arg-type]
        time.sleep(0.05)
    assert "1;1R" in "".join(bottle.ask("snapshot")["lines"])  # type: ignore[arg-type]


def test_only_the_active_clients_terminal_answers(hold: Hold) -> None:
    bottle = hold(["cat", "-v"])
    one = bottle.attach("--pane")
    bottle.wait_for(clients=1)
    two = bottle.attach("--pane")
    bottle.wait_for(clients=2)
    one.type(b"\x1b[?62;22c\x1b]11;rgb:0/0/0\x1b\\")
    time.sleep(0.2)
    two.type(b"\x1b[?1;2c.\r")
    two.sees("^[[?1;2c.")
    assert "62;22" not in "".join(two.screen.text())
    one.type(b"\x1b[?62;22cyes\r")
    assert two.sees("yes") and "62;22" not in "".join(two.screen.text())


def test_a_program_of_the_full_screen_is_repainted(hold: Hold, tmp_path: Path) -> None:
    if shutil.which("vim") is None:
        need("vim", "vim is not installed")
    page = tmp_path / "page"
    page.write_text("\n".join(f"row {n} äöü 漢字 " + "x" * (n % 60) for n in range(200)))
    bottle = hold(["sh", "-c", f"echo before; vim -u NONE -N '+set nu cursorline syntax=c' '+syn on' {page}; sleep 60"])
    tty = bottle.attach()
    tty.sees("row 7 ")
    tty.type("20jzt:split\r")
    tty.sees("row 30")
    time.sleep(0.5)
    while tty.read(0.1):
        pass
    again = bottle.attach("--pane")
    again.sees("row 30")
    time.sleep(0.3)
    while again.read(0.1):
        pass
    assert again.screen.text() == tty.screen.text()
    shown = [[line.attrs for line in t.screen.grid.lines] for t in (tty, again)]
    assert shown[0] == shown[1]
    again.type(":qa!\r")
    assert again.sees("before") and not again.screen.grid.alternate


FLOOD = "head -c 50000000 /dev/zero | tr '\\0' 'a' | fold -w 79; echo; echo the-end; read x"


def test_a_flood_without_a_client(hold: Hold) -> None:
    bottle = hold(["sh", "-c", FLOOD])
    begin = bottle.rss()
    until = time.monotonic() + 40
    while "the-end" not in bottle.ask("snapshot")["lines"]:  # type: ignore[operator]
        assert bottle.rss() < begin + 30_000 and time.monotonic() < until
        time.sleep(0.3)
    assert bottle.ask("status")["state"] == "running"


def test_a_flood_with_a_stalled_and_a_live_client(hold: Hold) -> None:
    bottle = hold(["sh", "-c", "read x; " + FLOOD])
    stalled, live = bottle.attach(), bottle.attach()
    bottle.wait_for(clients=2)
    begin = bottle.rss()
    live.type("\r")
    until = time.monotonic() + 40
    while not any("the-end" in line for line in live.screen.text()):
        assert time.monotonic() < until
        # A live terminal that is not the bottleneck: only its end is looked at.
        data = os.read(live.master, 1 << 16)
        live.screen.feed(data[-200:] if b"the-end" not in data else data[-2000:])
    assert bottle.rss() < begin + 30_000
    assert stalled.sees("the-end", 20)
    stalled.type("\r")
    assert stalled.ends() == 0


def test_long_socket_path(hold: Hold, tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    bottle = hold(SHELL, path=folder / "socket")
    assert (folder / "socket").stat().st_mode & 0o777 == 0o600
    tty = bottle.attach()
    tty.type("echo lo''ng\r")
    assert tty.sees("long")
    second = subprocess.run([*HOLDER, "run", bottle.path, "--", "true"], env=ENV, capture_output=True, text=True)
    assert second.returncode == 1 and second.stderr.count("\n") == 1 and "in use" in second.stderr
    bottle.process.kill()
    bottle.process.wait()
    reborn = hold(SHELL, path=folder / "socket")  # over the dead socket
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            assert reborn.ask("status")["ok"] is True
            break
        except ClientError:
            time.sleep(0.02)
    else:
        pytest.fail("the new holder does not answer")


def test_a_plain_file_is_not_taken_for_a_dead_socket(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")
    done = subprocess.run([*HOLDER, "run", str(tmp_path / "s"), "--", "true"], env=ENV, capture_output=True, text=True)
    assert done.returncode == 1 and "in use" in done.stderr and (tmp_path / "s").read_text() == "precious"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become someone else")
def test_a_foreign_user_is_refused(hold: Hold, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o011)
    bottle = hold(["cat"])
    os.chmod(bottle.path, 0o666)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setuid(65534)
            try:
                request(bottle.path, {"op": "status"}, 3)
            except ClientError as error:
                code = 42 if "its owner only" in str(error) or "reset" in str(error) or "Broken" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
    assert bottle.ask("status")["ok"] is True


def test_clients_that_talk_nonsense_or_vanish_at_any_byte(hold: Hold) -> None:
    bottle = hold(["cat"])
    whole = wire.encode_json(wire.ATTACH, {"rows": 10, "cols": 20}) + wire.encode(wire.INPUT, b"hi")
    nonsense = [
        b"GET / HTTP/1.1\r\n\r\n",
        wire.encode(wire.INPUT, b"x"),
        wire.encode(wire.REQUEST, b"["),
        b"\x05\xff\xff\xff\xff",
    ]
    nonsense += [wire.encode_json(wire.ATTACH, {"rows": "a"}), wire.encode(wire.REQUEST, b"[" * 100_000)]
    for data in [whole[:at] for at in range(len(whole))] + nonsense:
        with connect(bottle.path) as sock:
            sock.sendall(data)
    with connect(bottle.path) as sock:
        sock.sendall(nonsense[0])
        sock.settimeout(5)
        assert sock.recv(1) == b""
    bottle.wait_for(clients=0, state="running", rows=10, cols=20)


def test_an_agent_that_does_not_read_blocks_nobody(hold: Hold) -> None:
    bottle = hold(["sh", "-c", "stty raw -echo; exec sleep 60"])
    bottle.wait_for(state="running")
    time.sleep(0.2)
    with connect(bottle.path) as sock:
        sock.sendall(wire.encode_json(wire.ATTACH, {"rows": 24, "cols": 80}))
        for _ in range(60):
            sock.sendall(wire.encode(wire.INPUT, b"x" * 60_000))
        assert bottle.ask("status")["clients"] == 1


def test_without_a_terminal_attach_is_one_line(hold: Hold) -> None:
    bottle = hold(["cat"])
    done = subprocess.run(
        [*HOLDER, "attach", bottle.path], env=ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert "needs a terminal" in done.stderr


def test_a_closed_terminal_ends_its_client_only(hold: Hold) -> None:
    bottle = hold(["cat"])
    tty = Tty([*HOLDER, "attach", bottle.path])
    bottle.wait_for(clients=1)
    os.close(tty.master)
    os.close(tty.slave)
    tty.process.wait(5)
    bottle.wait_for(clients=0, state="running")


def test_the_wire_survives_any_cut() -> None:
    frames = [(wire.INPUT, b"abc"), (wire.DETACH, b""), (wire.EXITED, b"\0\0\0\7"), (wire.OUTPUT, b"x" * 70_000)]
    stream = b"".join(wire.encode(kind, payload) for kind, payload in frames)
    for step in (1, 3, 7, 4096):
        decoder = wire.Decoder()
        got = [frame for at in range(0, len(stream), step) for frame in decoder.feed(stream[at : at + step])]
        assert got == frames
    with pytest.raises(wire.WireError):
        wire.Decoder().feed(b"\x63\0\0\0\1")
    with pytest.raises(wire.WireError):
        wire.encode(wire.INPUT, bytes(wire.MAX_PAYLOAD + 1))
