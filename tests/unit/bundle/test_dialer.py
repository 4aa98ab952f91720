"""The dialer: what its policy lets through, and the process itself on sockets of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sidecar_bundle.dialer import __main__ as dialer
from sidecar_bundle.dialer import policy
from sidecar_bundle.shared.config import BundleConfig, Remote, dump_config
from sidecar_bundle.shared.dialer_client import DialError, dial
from sidecar_bundle.shared.routes import Route

ROUTES = (
    Route("api.test"),
    Route("*.wide.test"),
    Route("inner.test", ssrf_ip_allowlist=("10.1.0.0/16",)),
)
REMOTES = (
    Remote("one", "git.test", "git", 2222, "a/b", "ssh://git@git.test:2222/a/b"),
    Remote("two", "named.test", "git", 22, "c", "", extra_hosts=(("Named.test", "127.0.0.9"),)),
    Remote("three", "10.9.9.9", "git", 22, "d", ""),
)
CONFIG = BundleConfig("box", ROUTES, remotes=REMOTES)


def ask(host: Any, port: Any, nets: Any = (), who: Any = "egress") -> policy.Place:
    nets = list(nets) if isinstance(nets, tuple) else nets
    return policy.place({"host": host, "port": port, "nets": nets, "who": who}, CONFIG)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (("other.test", 443), "no route names other.test"),
        (("wide.test", 443), "no route names"),
        (("api.test", 22), "neither 80 nor 443"),
        (("api.test", 0), "no host and port"),
        (("api.test", True), "no host and port"),
        (("", 443), "no host and port"),
        ((None, 443), "no host and port"),
        (("a" * 300, 443), "no host and port"),
        (("api.test", 443, "x"), "list of networks"),
        (("api.test", 443, ("x",)), "list of networks"),
        (("api.test", 443, (), "pipelock"), "no daemon"),
        (("git.test", 443), "no route names"),
        (("git.test", 22, (), "git-gate"), "no git remote is at git.test:22"),
        (("api.test", 443, (), "git-gate"), "no git remote"),
        (("x\n\x1b[2J.test", 443), "no route names x\\n\\x1b[2j.test"),
    ],
)
def test_what_nobody_declared_is_refused(request_: tuple[Any, ...], reason: str) -> None:
    with pytest.raises(policy.Refused) as raised:
        ask(*request_)
    assert reason in str(raised.value) and "\n" not in str(raised.value)


def test_without_rules_nothing_passes() -> None:
    with pytest.raises(policy.Refused, match="no rules yet"):
        policy.place({"host": "api.test", "port": 443, "nets": [], "who": "egress"}, None)


def test_a_request_narrows_what_the_host_wrote_and_never_widens_it() -> None:
    assert ask("API.test.", 443).refusal("203.0.113.7") == ""
    assert ask("sub.wide.test", 80).refusal("203.0.113.7") == ""
    everything = ("0.0.0.0/0", "::/0")
    for address in ("127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fe80::1", "100.100.100.200"):
        assert ask("api.test", 443, everything).refusal(address) != ""
    inner = ask("inner.test", 443, everything)
    assert inner.refusal("10.1.2.3") == "" and inner.refusal("10.2.2.3") != "" and inner.refusal("127.0.0.1") != ""
    assert ask("inner.test", 443).refusal("10.1.2.3") != ""
    assert ask("inner.test", 443, ("10.1.2.0/24",)).refusal("10.1.3.3") != ""


def test_git_servers_are_where_the_manifest_says() -> None:
    plain = ask("git.test", 2222, (), "git-gate")
    assert plain.address == "" and plain.refusal("10.3.3.3") == "" and plain.refusal("203.0.113.7") == ""
    for address in ("127.0.0.1", "169.254.169.254", "fd00:ec2::254", "100.100.100.200", "::ffff:127.0.0.1"):
        assert plain.refusal(address) != "", address
    assert ask("named.test", 22, (), "git-gate").address == "127.0.0.9"
    assert ask("10.9.9.9", 22, (), "git-gate").address == "10.9.9.9"


class Rig:
    """A dialer with its socket, its policy file, and a listener that stands for a git server."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "dial.sock")
        self.policy = folder / "policy.json"
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.server.getsockname()[1])
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(64)
        read, self.lifeline = os.pipe()
        argv = [sys.executable, "-I", "-S", dialer.__file__, str(self.policy), str(listener.fileno()), str(read)]
        self.process = subprocess.Popen(argv, pass_fds=(listener.fileno(), read))
        listener.close()
        os.close(read)

    def allow(self, *hosts: str) -> None:
        remotes = tuple(
            Remote(f"r{i}", host, "git", self.port, "p", "", extra_hosts=(("git.test", "127.0.0.1"),))
            for i, host in enumerate(hosts)
        )
        fresh = self.policy.with_suffix(".new")
        fresh.write_text(json.dumps(dump_config(BundleConfig("box", remotes=remotes))))
        fresh.rename(self.policy)

    def dial(self, host: str = "git.test") -> socket.socket:
        return dial(self.path, host, self.port, [], "git-gate")[0]

    def worker(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def close(self) -> None:
        with suppress(OSError):
            os.close(self.lifeline)
        self.process.wait(10)
        self.server.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.close()


def test_the_socket_that_comes_back_leads_to_the_server(rig: Rig) -> None:
    with pytest.raises(DialError, match="no rules yet") as raised:
        rig.dial()
    assert raised.value.kind == "refused"
    rig.allow("git.test")
    with rig.dial() as ours:
        theirs, _ = rig.server.accept()
        ours.sendall(b"ping")
        assert theirs.recv(10) == b"ping" and ours.gettimeout() is None
        theirs.close()
    rig.allow("other.test")
    with pytest.raises(DialError, match="no git remote"):
        rig.dial()


def test_failures_have_their_kind(rig: Rig) -> None:
    rig.allow("git.test", "localhost", "name.invalid")
    for host, kind, reason in (
        ("localhost", "refused", "127.0.0.1 \\(loopback\\)"),
        ("name.invalid", "unresolved", "cannot be resolved"),
    ):
        with pytest.raises(DialError, match=reason) as raised:
            rig.dial(host)
        assert raised.value.kind == kind
    rig.server.close()
    with pytest.raises(DialError, match="refused") as raised:
        rig.dial()
    assert raised.value.kind == "unreachable"


def test_nonsense_is_answered_and_does_no_harm(rig: Rig) -> None:
    rig.allow("git.test")
    for text in (b"nonsense\n", b"[]\n", b"{}\n", b'{"host": {}}\n', b"[" * 100000 + b"\n"):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            line.connect(rig.path)
            line.sendall(text)
            assert b'"ok":false' in line.recv(4096)
    silent = [socket.socket(socket.AF_UNIX) for _ in range(40)]
    for line in silent:
        line.connect(rig.path)
    rig.dial().close()
    for line in silent:
        line.close()


def test_a_killed_worker_comes_back_and_the_lifeline_ends_it(rig: Rig) -> None:
    rig.allow("git.test")
    rig.dial().close()
    worker = rig.worker()
    for _ in range(3):
        os.kill(rig.worker(), signal.SIGKILL)
        rig.dial().close()  # the socket is never gone: the request waits in its backlog
    assert rig.worker() not in (0, worker)
    os.close(rig.lifeline)
    assert rig.process.wait(5) == 0


def test_a_policy_that_cannot_be_read_allows_nothing(rig: Rig) -> None:
    rig.allow("git.test")
    rig.dial().close()
    good = rig.policy.read_text()
    for bad in ("", "{", '{"routes": 1}'):
        rig.policy.write_text(bad)
        with pytest.raises(DialError, match="no rules yet"):
            rig.dial()
    time.sleep(0.01)  # another time stamp, should the size be the same
    rig.policy.write_text(good)
    rig.dial().close()
