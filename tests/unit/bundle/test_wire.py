"""The wire between host and bundle, the control requests, and the activity file: real sockets, real files."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from backends.holder import socketpath
from sidecar_bundle.init import control
from sidecar_bundle.shared import wire
from sidecar_bundle.shared.activity import parse_activity
from sidecar_bundle.shared.activity_log import ActivityLog
from sidecar_bundle.shared.config import BundleConfig, dump_config


def test_a_message_survives_any_cut() -> None:
    data = wire.encode({"op": "hello", "text": "é\n"}) + wire.encode({"n": 2})
    for cut in range(len(data)):
        decoder = wire.Decoder()
        assert decoder.feed(data[:cut]) + decoder.feed(data[cut:]) == [{"op": "hello", "text": "é\n"}, {"n": 2}]


@pytest.mark.parametrize("data", [b"nonsense\n", b"[1]\n", b"[" * 100_000 + b"\n", b"x" * (wire.MAX_LINE + 1)])
def test_what_is_no_message_is_an_error(data: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.Decoder().feed(data)


def test_descriptors_travel() -> None:
    one, two = socket.socketpair()
    with one, two, socket.create_server(("127.0.0.1", 0)) as listener:
        wire.send(one, {"op": "x"}, [listener.fileno()])
        data, fds = wire.receive(two)
        assert data == wire.encode({"op": "x"})
        with socket.socket(fileno=fds[0]) as copy:
            assert copy.getsockname() == listener.getsockname()
            assert not copy.get_inheritable()


def test_long_paths_work_and_the_socket_is_private(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100)
    folder.mkdir()
    path = folder / "control.sock"
    assert len(str(path)) > 107
    for _ in range(2):
        with wire.listen(str(path)) as server, socketpath.connect(str(path)) as client:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            peer, _ = server.accept()
            client.sendall(b"x")
            assert peer.recv(1) == b"x"
            peer.close()


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ({}, "unknown op"),
        ({"op": "explode"}, "unknown op"),
        ({"op": ["hello"]}, "unknown op"),
        ({"op": "configure"}, "config must be"),
        ({"op": "configure", "config": {"slug": "x"}}, "routes"),
        ({"op": "configure", "config": {"routes": [{"host": "1.2.3.4"}]}}, "routes name hosts"),
        ({"op": "configure", "config": {"routes": [], "more": 1}}, "more is unknown"),
        ({"op": "configure", "config": {"routes": []}, "listen": "udp"}, "listen must be"),
        ({"op": "secrets"}, "must be given"),
        ({"op": "secrets", "values": ["x"]}, "values must be"),
        ({"op": "secrets", "keys": {"../up": "x"}}, "not a remote's"),
        ({"op": "secrets", "protect": {"NAME": "s3cret\0"}}, "protect: a value"),
        ({"op": "configure", "config": {"routes": []}, "listeners": ["nowhere"]}, "listeners must be"),
        ({"op": "configure", "config": {"routes": []}, "listeners": ["egress"]}, "0 file descriptors"),
        ({"op": "wait", "daemons": ["nothing"]}, "daemons must be"),
        ({"op": "secrets", "values": {"PATH": "x"}}, "EGRESS_TOKEN_<n>"),
        ({"op": "secrets", "values": {"EGRESS_TOKEN_0": "line\nbreak-s3cret"}}, "one line"),
        ({"op": "secrets", "values": {"EGRESS_TOKEN_0": 7}}, "not text"),
        ({"op": "wait", "timeout": -1}, "timeout"),
        ({"op": "wait", "timeout": True}, "timeout"),
        ({"op": "wait", "timeout": float("nan")}, "timeout"),
    ],
)
def test_requests_that_are_refused(message: dict[str, object], word: str) -> None:
    with pytest.raises(control.Refused, match=word) as error:
        control.parse(message, ())
    assert "\n" not in str(error.value)
    assert "s3cret" not in str(error.value)


def test_only_listening_sockets_are_taken() -> None:
    message = {"op": "configure", "config": {"routes": []}}
    read, write = os.pipe()
    with socket.socket() as plain, socket.create_server(("127.0.0.1", 0)) as listener:
        for fd in (read, plain.fileno()):
            with pytest.raises(control.Refused, match="not a"):
                control.parse(message, (fd,))
        request = control.parse(message, (listener.fileno(),))
        config = dump_config(BundleConfig(""))
        assert request == control.Configure(config, {"egress": listener.fileno()}, False)
    os.close(read)
    os.close(write)


def test_the_activity_file_is_private_bounded_and_parses(tmp_path: Path) -> None:
    log = ActivityLog(str(tmp_path), limit=2000)
    for i in range(30):
        log.write("refuse", "GET", "evil.example", f"/{i}", "no route", 403)
    log.close()
    current, older = tmp_path / "activity.jsonl", tmp_path / "activity.jsonl.1"
    assert stat.S_IMODE(current.stat().st_mode) == 0o600
    assert current.stat().st_size <= 2000
    assert older.stat().st_size <= 2000
    lines = [parse_activity(line) for line in current.read_text().splitlines()]
    assert lines[-1] is not None
    assert (lines[-1].target, lines[-1].status, lines[-1].source) == ("/29", 403, "egress")


def test_the_activity_file_follows_no_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "activity.jsonl").symlink_to(tmp_path / "elsewhere")
    ActivityLog(str(tmp_path)).write("allow", "GET", "a.example", "/")
    assert not (tmp_path / "elsewhere").exists()
    assert "cannot write" in capsys.readouterr().err
