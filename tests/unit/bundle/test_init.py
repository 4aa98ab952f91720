"""Init with four daemons: who is told what, who is kept, who comes back. Real processes, real sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar_bundle.init.__main__ import commands
from tests.e2e.bundle.rig import Bundle, bundle, until

SCRIPT = Path(__file__).with_name("fake_daemons.py")
ALL = ["egress", "pipelock", "git-gate", "supervise"]
CONFIG: dict[str, Any] = {"slug": "b-1", "routes": [{"host": "a.example"}], "daemons": ALL}
TOKEN, VALUE, KEY = "t-" + "token", "v-" + "value", "k-" + "key\nlines\n"


def told(running: Bundle, name: str) -> list[dict[str, Any]]:
    file = running.folder / f"{name}.told"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def health(running: Bundle, **more: Any) -> dict[str, str]:
    answer = running.ask(op="wait", timeout=15, **more)
    return {name: daemon["state"] for name, daemon in answer["daemons"].items()}


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


@pytest.fixture
def four() -> Iterator[Bundle]:
    env = {"BOT_BOTTLE_PIPELOCK": "/bin/true", "EGRESS_TOKEN_1": "from-env"}
    with bundle(sys.executable, env, SCRIPT, daemons=" egress,pipelock, git-gate ,supervise") as running:
        yield running


def configure(running: Bundle, config: Any = CONFIG, **sockets: socket.socket) -> None:
    listeners = [name.replace("_", "-") for name in sockets]
    message = {"op": "configure", "config": config, "listeners": listeners, "sockets": list(sockets.values())}
    assert running.ask(**message) == {"ok": True}


def test_each_daemon_is_told_its_own_part(four: Bundle) -> None:
    assert four.listener
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(type=socket.SOCK_DGRAM) as dns, socket.create_server(("127.0.0.1", 0)) as git:
        dns.bind(("127.0.0.1", 0))
        configure(four, egress=four.listener, outlet_dns=dns, git_gate=git)
        secrets = {"values": {"EGRESS_TOKEN_0": TOKEN}, "protect": {"NAME": VALUE}, "keys": {"origin": KEY}}
        assert four.ask(op="secrets", **secrets, sockets=[theirs]) == {"ok": True}
        assert health(four) == dict.fromkeys(ALL, "ready")
        last = {name: told(four, name)[-1] for name in ALL}
        got = {name: [n for m in told(four, name) for n in m["listeners"]] for name in ALL}
        assert got == {
            "egress": ["egress", "outlet-dns"],
            "pipelock": [],
            "git-gate": ["git-gate", "ssh-agent"],
            "supervise": [],
        }
        inodes = [n for m in told(four, "git-gate") for n in m["inodes"]]
        assert inodes == [inode(git), inode(theirs)]
    both = {"EGRESS_TOKEN_0": TOKEN, "EGRESS_TOKEN_1": "from-env"}
    assert (last["egress"]["values"], last["egress"]["protect"]) == (both, {"NAME": VALUE})
    assert last["pipelock"]["secrets"] == sorted([TOKEN, VALUE, "from-env"])
    assert (last["git-gate"]["keys"], last["git-gate"]["protect"]) == ({"origin": KEY}, {"NAME": VALUE})
    assert all(message["config"]["slug"] == "b-1" for message in last.values())
    for name, allowed in {"egress": {TOKEN, VALUE}, "git-gate": {"k-key", VALUE}, "supervise": set()}.items():
        text = json.dumps(told(four, name))
        assert {secret for secret in (TOKEN, VALUE, "k-key") if secret in text} == allowed, name
    assert not any("EGRESS_TOKEN_1" in message["env"] for message in last.values())


def test_a_killed_daemon_gets_all_of_it_again_and_others_live_on(four: Bundle) -> None:
    with socket.create_server(("127.0.0.1", 0)) as git:
        configure(four, git_gate=git)
        assert four.ask(op="secrets", keys={"origin": KEY}) == {"ok": True}
        assert health(four)["git-gate"] == "ready"
        pids = {name: told(four, name)[-1]["pid"] for name in ALL}
        os.kill(pids["git-gate"], signal.SIGKILL)
        new = until(lambda: [m for m in told(four, "git-gate") if m["pid"] != pids["git-gate"]])
        assert (new[0]["listeners"], new[0]["inodes"], new[0]["keys"]) == (["git-gate"], [inode(git)], {"origin": KEY})
    daemons = until(lambda: health(four)["git-gate"] == "ready" and four.ask(op="health"))["daemons"]
    assert {name: daemon["restarts"] for name, daemon in daemons.items()} == {n: int(n == "git-gate") for n in ALL}
    assert {n: told(four, n)[-1]["pid"] for n in ALL if n != "git-gate"} == {n: pids[n] for n in ALL if n != "git-gate"}


def test_signals_restart_pipelock_alone_and_push_egress_again(four: Bundle) -> None:
    assert four.listener
    configure(four, egress=four.listener)
    health(four)
    before = {name: told(four, name)[-1] for name in ALL}
    four.process.send_signal(signal.SIGUSR1)
    until(lambda: told(four, "pipelock")[-1]["pid"] != before["pipelock"]["pid"])
    four.process.send_signal(signal.SIGHUP)
    until(lambda: told(four, "egress")[-1]["serial"] > before["egress"]["serial"])
    assert [told(four, name)[-1] for name in ("git-gate", "supervise")] == [before["git-gate"], before["supervise"]]
    assert told(four, "egress")[-1]["listeners"] == []  # it has them
    serial = told(four, "egress")[-1]["serial"]
    configure(four, egress=four.listener)
    until(lambda: told(four, "egress")[-1]["serial"] > serial)
    assert told(four, "egress")[-1]["listeners"] == []  # the same once more
    for name in ("egress", "git-gate", "supervise"):
        assert told(four, name)[-1]["pid"] == before[name]["pid"]


def test_only_what_the_configuration_names_is_kept(four: Bundle) -> None:
    assert four.listener
    configure(four, {**CONFIG, "daemons": ["egress", "supervise"]}, egress=four.listener)
    assert health(four) == {"egress": "ready", "supervise": "ready"}
    until(lambda: len(Path(f"/proc/{four.process.pid}/task/{four.process.pid}/children").read_text().split()) == 2)
    assert told(four, "git-gate") == []
    assert "pipelock does not run here (running: egress supervise)" in four.ask(op="configure", config=CONFIG)["error"]
    assert "no daemon 'pipelock'" in four.ask(op="restart", daemon="pipelock")["error"]
    four.process.send_signal(signal.SIGTERM)
    assert four.process.wait(10) == 0


def test_waiting_for_some_does_not_wait_for_others(four: Bundle) -> None:
    assert four.listener
    (four.folder / "slow-supervise").touch()
    assert four.ask(op="restart", daemon="supervise") == {"ok": True}
    configure(four, egress=four.listener)
    began = time.monotonic()
    assert health(four, daemons=["egress", "pipelock"])["egress"] == "ready"
    assert time.monotonic() - began < 1.5
    assert health(four)["supervise"] == "ready"


def test_a_daemon_that_does_not_read_holds_up_nobody_and_gets_the_latest(four: Bundle) -> None:
    assert four.listener
    configure(four, egress=four.listener)
    health(four)
    (four.folder / "slow-git-gate").touch()
    assert four.ask(op="restart", daemon="git-gate") == {"ok": True}
    until(lambda: four.ask(op="health")["daemons"]["git-gate"]["restarts"] == 1)
    for i in range(20):
        began = time.monotonic()
        assert four.ask(op="secrets", protect={f"N{j}": f"{i}-" + "x" * 60_000 for j in range(5)}) == {"ok": True}
        assert time.monotonic() - began < 1.0
    assert health(four) == dict.fromkeys(ALL, "ready")
    values = [m["protect"].get("N0", "")[:3] for m in told(four, "git-gate")]
    assert values[-1] == "19-"
    assert len(values) < 20


def test_a_program_that_is_not_there_is_said_and_a_script_that_is_not_is_no_crash(tmp_path: Path) -> None:
    found, missing = commands(("egress", "pipelock", "supervise"), {"BOT_BOTTLE_SUPERVISE_PYTHON": "/x/python"})
    assert found["supervise"][0] == "/x/python"
    assert found["egress"][0] == sys.executable
    assert missing == ("pipelock is not started: BOT_BOTTLE_PIPELOCK names no program",)
    env = {"BOT_BOTTLE_SUPERVISE_PYTHON": str(tmp_path / "none")}
    with bundle(sys.executable, env, SCRIPT, daemons="egress,supervise,pipelock") as running:
        assert "pipelock is not started" in running.log
        until(lambda: running.ask(op="health")["daemons"]["supervise"]["state"] == "backoff")
        assert running.ask(op="wait", timeout=0)["daemons"].keys() == {"egress", "supervise"}
        assert "cannot start supervise: No such file" in running.log


def test_the_file_of_a_container_keeps_every_daemon(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(json.dumps({"routes": [{"host": "a.example"}]}))
    env = {"BOT_BOTTLE_ROUTES": str(file), "BOT_BOTTLE_SLUG": "c-1", "EGRESS_LISTEN_HOST": "127.0.0.1"}
    with bundle(sys.executable, env, SCRIPT, daemons="egress,git-gate,supervise") as running:
        assert health(running) == dict.fromkeys(["egress", "git-gate", "supervise"], "ready")
        tcp = {name: told(running, name)[-1]["tcp"] for name in ("egress", "git-gate", "supervise")}
        assert tcp == {n: ["127.0.0.1", p] for n, p in {"egress": 9099, "git-gate": 9418, "supervise": 9100}.items()}
        assert told(running, "supervise")[-1]["config"]["slug"] == "c-1"
