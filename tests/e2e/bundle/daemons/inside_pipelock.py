"""The pipelock daemon: its program's life, reload or restart, secrets, verdicts."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar_bundle.shared import layout
from tests.e2e.bundle.daemons.wrapper import Wrapper, put_ca, wrapper
from tests.e2e.bundle.rig import secret_holders, until
from tests.fake_upstream import Upstream
from tests.pipelock.running import GITHUB, KNOWN, standin

OPEN, API = {"host": "open.example"}, {"host": "api.example"}
FRESH = "a-fresh-" + "secret-" + "value-0123456789"


@pytest.fixture(scope="session")
def program(python: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="standin-") as folder:
        yield standin(Path(folder), python)


@pytest.fixture
def w(python: str, program: Path, pki: Path, web: tuple[Upstream, ...]) -> Iterator[Wrapper]:
    with wrapper(python, program, pki / "ca.pem") as running:
        yield running


def free() -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", layout.PIPELOCK_PORT)) != 0


def gone(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return not status.exists() or "State:\tZ" in status.read_text()


def test_it_runs_what_it_is_told(w: Wrapper, program: Path) -> None:
    assert w.configure(OPEN, API, secrets=[KNOWN]) == "ready"
    assert w.answer()["detail"] == "2.3.0-stand-in, 2 hosts"
    client = w.client(program)
    assert client.ask("/", authorization=f"Bearer {KNOWN}")[0] == 200
    assert client.ask("/", f"x {KNOWN}".encode())[0] == 403
    assert b" 403 " in client.connect("evil.example:443")


def test_a_host_comes_and_goes_without_a_restart_and_a_weaker_rule_with_one(w: Wrapper, program: Path) -> None:
    assert w.configure(OPEN) == "ready"
    pid, client = w.program(), w.client(program)
    assert b" 403 " in client.connect("api.example:443")
    assert w.configure(OPEN, API) == "ready"
    assert client.ask("/", host="api.example")[0] == 200
    assert w.configure(OPEN) == "ready"
    assert b" 403 " in client.connect("api.example:443")
    assert w.program() == pid
    assert w.configure(OPEN, {**API, "tls_passthrough": True}) == "ready"
    second = w.program()
    assert second not in (0, pid)
    assert gone(pid)
    assert w.configure(OPEN, API, seed_phrases=True) == "ready"
    assert w.program() == second
    assert w.configure(OPEN, API) == "ready"
    assert w.program() not in (0, second)


def test_a_reload_that_is_not_taken_becomes_a_restart(w: Wrapper, program: Path) -> None:
    # A stopped program takes nothing.
    assert w.configure(OPEN) == "ready"
    pid = w.program()
    subprocess.run(["kill", "-STOP", str(pid)], check=True)
    w.tell(OPEN, API)
    until(lambda: "starting pipelock anew" in w.log)
    subprocess.run(["kill", "-CONT", str(pid)], check=True)
    assert w.answer()["state"] == "ready"
    assert w.program() != pid
    assert w.client(program).ask("/", host="api.example")[0] == 200


def test_without_routes_nothing_runs(w: Wrapper, program: Path) -> None:
    assert w.configure() == "ready"
    assert w.answer()["detail"] == "no routes: not running"
    assert free()
    assert w.configure(OPEN) == "ready"
    assert w.client(program).ask("/")[0] == 200
    assert w.configure() == "ready"
    assert w.program() == 0
    assert free()


def test_new_secrets_are_known_at_once_and_stand_in_no_wrong_place(w: Wrapper, program: Path) -> None:
    assert w.configure(OPEN, secrets=[KNOWN]) == "ready"
    pid, client = w.program(), w.client(program)
    assert client.ask("/", FRESH.encode())[0] == 200
    assert w.configure(OPEN, secrets=[KNOWN, FRESH]) == "ready"
    assert client.ask("/", FRESH.encode())[0] == 403
    assert w.program() == pid
    assert client.ask(f"/{KNOWN}?q={FRESH}")[0] == 403
    log = w.state / layout.ACTIVITY_FILE
    until(lambda: log.exists() and len(log.read_text().splitlines()) == 2)
    # The folder for temporary files stands in for the bundle's /tmp, which is memory.
    memory = list(w.state.glob("pipelock-*/*"))
    assert {path.name: path.stat().st_mode & 0o777 for path in memory} == {"known-secrets": 0o600, "audit.jsonl": 0o600}
    known = [path for path in memory if path.name == "known-secrets"]
    files = [p for p in w.state.rglob("*") if p.is_file() and p not in memory]
    assert len(files) >= 5
    assert secret_holders([KNOWN, FRESH], [w.process.pid, pid], files) == []
    assert secret_holders([KNOWN], [], known) != []
    for part in ("environ", "cmdline"):
        assert b"BOT_BOTTLE" not in Path(f"/proc/{pid}/{part}").read_bytes()
    w.process.terminate()
    assert w.process.wait(10) == 0
    assert list(w.state.glob("pipelock-*")) == []


def test_verdicts_become_activity(w: Wrapper, program: Path) -> None:
    assert w.configure(OPEN, secrets=[KNOWN]) == "ready"
    client = w.client(program)
    assert client.ask("/fine?q=1")[0] == 200
    assert client.ask(f"/{GITHUB}")[0] == 403
    assert client.ask("/post", f"x {KNOWN}".encode())[0] == 403
    log = w.state / layout.ACTIVITY_FILE
    lines = until(lambda: log.exists() and len(found := log.read_text().splitlines()) >= 2 and found)
    found = [json.loads(line) for line in lines]
    assert {one["source"] for one in found} == {"pipelock"}
    assert [(one["verdict"], one["host"], one["status"]) for one in found] == [("refuse", "open.example", 403)] * 2
    assert "core DLP match: GitHub Token" in found[0]["reason"]
    assert "Known Secret Leak" in found[1]["reason"]
    assert GITHUB not in log.read_text()
    assert KNOWN not in log.read_text()


def test_it_waits_for_the_ca_of_egress(python: str, program: Path, pki: Path, web: tuple[Upstream, ...]) -> None:
    with wrapper(python, program, pki / "ca.pem", ca=False) as w:
        w.tell(OPEN)
        config = w.state / "pipelock" / "pipelock.yaml"
        assert free()
        assert not config.exists()
        put_ca(w.state)
        assert w.answer()["state"] == "ready"
        assert w.client(program).ask("/")[0] == 200


def test_a_killed_program_ends_the_daemon_with_its_code(w: Wrapper) -> None:
    assert w.configure(OPEN) == "ready"
    subprocess.run(["kill", "-KILL", str(w.program())], check=True)
    assert w.process.wait(10) == 128 + signal.SIGKILL
    assert free()


def test_a_program_that_hangs_is_ended(w: Wrapper) -> None:
    assert w.configure(OPEN) == "ready"
    pid = w.program()
    subprocess.run(["kill", "-STOP", str(pid)], check=True)
    assert w.process.wait(30) == 1
    assert "pipelock answers no more" in w.log
    assert gone(pid)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, None], ids=["term", "kill", "line"])
def test_the_program_never_outlives_the_daemon(w: Wrapper, how: signal.Signals | None) -> None:
    assert w.configure(OPEN) == "ready"
    pid = w.program()
    if how is None:
        w.channel.close()
    else:
        w.process.send_signal(how)
    assert w.process.wait(8) == (-how if how is signal.SIGKILL else 0)
    until(lambda: gone(pid) and free())


def test_a_sigterm_while_it_starts(python: str, program: Path, pki: Path) -> None:
    with wrapper(python, program, pki / "ca.pem", ca=False) as w:
        w.tell(OPEN)
        w.process.terminate()
        assert w.process.wait(8) == 0


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (
            "#!/bin/sh\necho no such thing >&2\nexit 1\n",
            "it ended with 1 at its start; the lines before this one say why",
        ),
        ("no program", "cannot start"),
    ],
    ids=["fails", "garbage"],
)
def test_a_program_that_does_not_start(python: str, pki: Path, tmp_path: Path, text: str, detail: str) -> None:
    bad = tmp_path / "bad"
    bad.write_text(text)
    bad.chmod(0o755)
    with wrapper(python, bad, pki / "ca.pem") as w:
        assert w.configure(OPEN) == "backoff"
        assert detail in w.answer()["detail"]
        assert w.process.wait(10) == 1
        assert "Traceback" not in w.log
        assert "pipelock does not run: " in w.log.splitlines()[-1]


def test_no_program_and_a_taken_port(python: str, program: Path, pki: Path) -> None:
    with wrapper(python, "/nowhere/pipelock", pki / "ca.pem") as w:
        assert w.configure(OPEN) == "backoff"
        assert w.answer()["detail"] == "no pipelock program: name it in BOT_BOTTLE_PIPELOCK"
        assert w.process.poll() is None
    with (
        socket.create_server(("127.0.0.1", layout.PIPELOCK_PORT)),
        wrapper(python, program, pki / "ca.pem") as w,
    ):
        assert w.configure(OPEN) == "backoff"
        assert w.answer()["detail"] == "something else listens on 127.0.0.1:8888"
