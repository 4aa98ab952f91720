"""A request's whole way: the upstream has the token, and nothing that the agent can reach ever does."""

from __future__ import annotations

from tests.e2e.driving import until
from tests.e2e.whole import rig
from tests.e2e.whole.rig import Whole

# Holds an answer of the upstream and a word of its own in memory until its standard input ends.
HOLD = """
import sys, urllib.request
kept = [urllib.request.urlopen("https://a.example/held").read(), "control-" + "in-memory"]
print("holds", flush=True)
sys.stdin.read()
"""


def test_the_upstream_sees_the_token_and_the_agent_never_does(whole: Whole) -> None:
    status, body = whole.curl("https://a.example/v1?x=1", "-d", "some text")
    assert status == 200, body
    (seen,) = whole.arrived("/v1")
    assert seen["headers"]["authorization"] == f"Bearer {rig.TOKEN}"
    # An upstream that gives it back: the answer is cut before it reaches the agent.
    answer = "\n".join([body, *whole.curl("https://a.example/mirror", "-i")[1:]])
    assert whole.arrived("/mirror")[-1]["headers"]["authorization"] == f"Bearer {rig.TOKEN}"
    assert rig.TOKEN not in answer and f"Bearer {rig.TOKEN[:12]}" not in answer

    holder = whole.start("/usr/bin/python3", "-c", HOLD)
    try:
        assert holder.stdout and holder.stdin
        assert holder.stdout.readline() == "holds\n", holder.communicate(timeout=10)
        whole.inside("echo control-''in-file >/tmp/control")
        found = whole.looks(rig.TOKEN, "control-in-memory", "control-in-file", rig.OWN)
    finally:
        holder.communicate(timeout=10)
    # What the look does see: the agent's own values, in the environment, memory and a file.
    places = {i: [place for place, which in found.items() if i in which] for i in range(4)}
    assert any(p.startswith(("memory [heap]", "memory  of")) for p in places[1]), found
    assert places[2] == ["file control"] and "environ of python3" in places[3], found
    assert places[0] == [], found


def test_it_stands_in_no_file_log_or_command_line_of_the_host(whole: Whole) -> None:
    assert whole.curl("https://a.example/logged")[0] == 200
    until(lambda: [a for a in whole.activity() if a["target"] == "/logged"])
    files = {str(p): p.read_bytes() for p in whole.person.home.rglob("*") if p.is_file() and not p.is_symlink()}
    assert any("/bundle.log" in name for name in files) and any("activity.jsonl" in name for name in files)
    assert [name for name, data in files.items() if b"a.example" in data]
    for value in (rig.TOKEN, rig.OWN):
        assert not [name for name, data in files.items() if value.encode() in data]
        assert not [line for line in whole.lines if value in line]
    assert [line for line in whole.lines if "backends.bubblewrap.keeper" in line]


def test_what_carries_a_secret_is_refused_by_the_layer_that_knows_it(whole: Whole) -> None:
    status, said = whole.curl("https://a.example/own", "-d", f"text {rig.OWN}")
    assert status == 403 and said.startswith("egress: ") and rig.OWN not in said, said
    status, said = whole.curl("https://a.example/seed", "-d", rig.SEED)
    assert status == 403 and "pipelock: " in said, said
    status, said = whole.curl("https://pypi.org/nowhere")
    assert "host pypi.org is not allowed" in said
    assert not whole.arrived("/own") and not whole.arrived("/seed") and not whole.arrived("/nowhere")
