"""The host's requests to a bundle: what is sent, and answers that nobody should believe."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backends import bundle
from backends.api import BackendError, Health, Values

Serve = Callable[[socket.socket], None]


class Fake:
    """A control socket that hands each connection to `serve`, and keeps what it was sent."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "control.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(4)
        self.answer: bytes = b'{"ok": true}\n'
        self.messages: list[dict[str, object]] = []
        self.fds: list[int] = []
        self.serve: Serve = self.plain
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            try:
                line, _ = self.listener.accept()
            except OSError:
                return
            with line:
                self.serve(line)

    def plain(self, line: socket.socket) -> None:
        data, fds, _, _ = socket.recv_fds(line, 65536, 4)
        while not data.endswith(b"\n"):
            data += line.recv(1 << 20)
        self.fds += fds
        self.messages.append(json.loads(data))
        line.sendall(self.answer)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    made = Fake(tmp_path)
    yield made
    made.listener.close()


def test_secrets_go_with_the_agents_line_and_nothing_is_sent_for_nothing(fake: Fake, tmp_path: Path) -> None:
    bundle.supply(fake.path, Values(env={"A": "not-for-it"}))
    assert fake.messages == []
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(str(tmp_path / "agent"))
    agent.listen()
    values = Values(tokens={"EGRESS_TOKEN_0": "t"}, protect={"P": "p"}, keys={"r": "k" * 500_000})
    bundle.supply(fake.path, values)
    bundle.supply(fake.path, Values(agent=str(tmp_path / "agent")))
    first, second = fake.messages
    assert first["values"] == {"EGRESS_TOKEN_0": "t"} and first["protect"] == {"P": "p"}
    assert first["keys"] == values.keys and second == {"op": "secrets"} and len(fake.fds) == 1
    for _ in ("whether it answers", "the line"):
        theirs, _address = agent.accept()
    with socket.socket(fileno=fake.fds[0]) as ours:
        ours.settimeout(10)
        # Not the agent's own: signing with a key that is no remote's fails before it.
        ours.sendall(b"\0\0\0\x05\x0d\0\0\0\0")
        assert ours.recv(5) == b"\0\0\0\x01\x05"
    assert theirs.recv(1) == b""


def test_a_refusal_and_a_missing_agent_are_one_line(fake: Fake) -> None:
    fake.answer = b'{"ok": false, "error": "no"}\n'
    with pytest.raises(BackendError, match="the sidecar bundle refused: no"):
        bundle.supply(fake.path, Values(tokens={"EGRESS_TOKEN_0": "t"}))
    with pytest.raises(BackendError, match="the SSH agent at /none does not answer: No such file"):
        bundle.supply(fake.path, Values(agent="/none"))


def test_only_what_lets_anything_out_is_waited_for(fake: Fake) -> None:
    state = {"egress": {"state": "ready"}, "supervise": {"state": "backoff"}, "pipelock": {"state": "backoff"}}
    fake.answer = json.dumps({"ok": True, "daemons": state}).encode() + b"\n"
    bundle.wait_ready(fake.path, ("egress", "supervise"))
    assert fake.messages[-1]["daemons"] == ["egress"]
    with pytest.raises(BackendError, match="pipelock is not ready after 1 s: backoff"):
        bundle.wait_ready(fake.path, ("egress", "pipelock"), 1.0)


def test_health_is_bounded_and_of_known_daemons_only(fake: Fake) -> None:
    rows = {
        "egress": {"state": "ready" * 99, "detail": "d" * 9999, "restarts": "many"},
        "evil": {"state": "x"},
        "supervise": 3,
    }
    fake.answer = json.dumps({"ok": True, "daemons": rows}).encode() + b"\n"
    (one,) = bundle.health(fake.path)
    assert one.daemon == "egress" and len(one.state) == 40 and len(one.detail) == 300 and one.restarts == 0


def drip(line: socket.socket) -> None:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            line.sendall(b" ")
        except OSError:
            return
        time.sleep(0.05)


def flood(line: socket.socket) -> None:
    try:
        while True:
            line.sendall(b"x" * 65536)
    except OSError:
        return


@pytest.mark.parametrize("answer", [b"", b"nonsense\n", b"[]\n", b'{"ok": false}\n', drip, flood])
def test_a_bundle_that_does_not_answer_soundly_has_one_row(fake: Fake, answer: bytes | Serve) -> None:
    if isinstance(answer, bytes):
        fake.answer = answer
    else:
        fake.serve = answer
    started = time.monotonic()
    assert bundle.health(fake.path) == (Health("bundle", "dead", "no answer"),)
    assert time.monotonic() - started < 2.0


def test_nobody_there_and_a_full_backlog_are_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    assert bundle.health(path)[0].detail == "no answer"
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(str(path))
        started = time.monotonic()
        assert bundle.health(path)[0].detail == "no answer" and time.monotonic() - started < 2.0
        for one in waiting:
            one.close()
