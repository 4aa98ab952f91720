"""What a backend with real bundles promises of them: live rules, health, exchange, and no way but the dialer."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from tests.conftest import need
from tests.e2e import netns

HOSTS = {"pypi.org": "203.0.113.10", "other.example": "203.0.113.10"}


def inside(case: str) -> Any:
    if reason := netns.unavailable():
        need("netns", reason)
    argv = [sys.executable, "-m", "tests.contract.inside_bundle", case]
    if os.geteuid():
        # Root of a namespace is not the machine's: the backend runs as the ordinary user who it is.
        own = f"unshare -U --map-user={os.geteuid()} --map-group={os.getegid()}"
        argv = ["sh", "-c", f'echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start; exec {own} "$@"', "sh", *argv]
    done = netns.run(argv, hosts=HOSTS, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_new_rules_hold_when_configure_returns() -> None:
    found = inside("configure_live")
    for refused in ("before", "other", "removed"):
        assert "is not allowed" in found[refused], found
    assert found["added"].endswith("200"), found
    assert "pipelock does not run here" in found["refused"] and found["kept"].endswith("200"), found


def test_credentials_come_and_change_while_it_runs() -> None:
    found = inside("supply")
    assert found["state"] == "needs-credentials" and "200" not in found["without"][-3:], found
    assert found["value 1"] is True and found["value 2"] is True
    assert found["agent"] == "the SSH agent at /no/such/agent does not answer: No such file or directory"


def test_proposals_come_out_and_answers_go_in() -> None:
    found = inside("exchange")
    assert found["look"] == "True Read-only file system" and found["put"] == "put" and found["arrived"], found
    assert found["modes"] == ["0o700", "0o755"] and found["gone"]


def test_a_killed_dialer_comes_back_and_without_one_nothing_passes() -> None:
    found = inside("dialer_killed")
    assert found["first"].endswith("200") and found["again"].endswith("200"), found
    assert found["dead"].endswith("502") and found["state"] == "error" and "dialer is gone" in found["detail"], found


def test_the_bundle_reaches_nothing_of_the_host_and_adds_no_listener() -> None:
    found = inside("nothing_of_the_host")
    assert set(found["control"].values()) == {"reached"}, found
    assert all(said.startswith("no: ") for said in found["inside"].values()), found
    assert found["new listeners"] == []


def test_every_daemon_has_a_health_row_and_a_hung_bundle_has_one_too() -> None:
    found = inside("health")
    assert found["services"] == found["daemons"] == found["after"] == ["egress", "supervise"], found
    assert found["hung"] == [["bundle", "no answer"]] and found["took"] < 1.0, found


def test_pipelock_gets_out_through_egress_alone_and_nobody_else_gets_in() -> None:
    found = inside("pipelock")
    assert found["names"]["nobody.example"] == "gaierror" and found["names"]["pypi.org"] != HOSTS["pypi.org"], found
    assert found["outlet"].endswith("200 OK") and found["fetch"].endswith("200"), found
    assert found["health"]["pipelock"] == "ready"
    assert found["port"][0] == "reached" and found["port"][1].startswith("no: "), found
