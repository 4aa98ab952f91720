"""What the agent asks for by MCP, answered in the dashboard by keys: the very next request passes, other calls stay."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from sidecar_bundle.shared import layout
from tests.conftest import need
from tests.e2e.driving import until
from tests.e2e.supervise.conftest import Agent
from tests.e2e.whole.rig import Whole, of_world

URL = f"http://127.0.0.1:{layout.SUPERVISE_PORT}/mcp"


def granted(whole: Whole, agent: Agent, call: int, host: str) -> None:
    """The answer has come, and the very next request to the host passes."""
    assert agent.result(call)["value"]["status"] == "approved"
    status, said = whole.curl(f"https://{host}/after")
    assert status == 200, said


def test_a_route_is_granted_while_a_question_stays_open(whole: Whole) -> None:
    dash = whole.dash
    one, two = whole.mcp("legacy"), whole.mcp("2026-07-28")
    question = one.call("ask-operator", question="Which branch?", choices=["main", "next"])
    dash.wait(r"Proposals \(1\)")
    assert "host b.example is not allowed" in whole.curl("https://b.example/before")[1]
    route = two.call("egress-block", host="b.example", justification="the tests need it")
    dash.wait(r"Proposals \(2\)")
    dash.keys("w", "w", "Enter")
    dash.wait(r"\+route b\.example")
    assert "the tests need it" in dash.text()
    dash.keys("a")
    dash.wait("egress-block approved")
    granted(whole, two, route, "b.example")
    assert [r["path"] for r in whole.arrived("") if r["server"] == "b.example"] == ["/after"]
    assert not whole.arrived("/after")[0]["headers"].get("authorization")
    # The other call waited all the while, and is answered now.
    assert not one.heard("text", question)
    dash.wait(r"Proposals \(1\)")
    dash.keys("w", "Enter")
    dash.wait("> main")
    dash.keys("j")
    dash.wait("> next")
    dash.keys("Enter")
    dash.wait("ask-operator approved")
    assert one.result(question)["value"] == {"status": "approved", "notes": "", "answer": "next"}
    dash.wait(r"Proposals \(0\)")


def test_a_rejection_brings_its_reason_and_one_for_good_is_written(whole: Whole) -> None:
    dash, agent = whole.dash, whole.mcp()
    manifest = whole.person.state / "bottles" / "box.md"
    before = manifest.read_text()
    asked = agent.call("egress-block", host="other.example", justification="first try")
    dash.wait(r"Proposals \(1\)")
    dash.keys("w", "x")
    dash.wait("Why\\?")
    dash.tmux("send-keys", "-t", "%0", "-l", "use a.example instead")
    dash.keys("Enter")
    dash.wait("egress-block rejected")
    answer = agent.result(asked)["value"]
    assert answer == {"status": "rejected", "notes": "use a.example instead", "answer": ""}
    assert "is not allowed" in whole.curl("https://other.example/rejected")[1]
    assert not whole.arrived("/rejected") and manifest.read_text() == before

    asked = agent.call("egress-block", host="other.example", paths=["/after"], justification="it must be there")
    dash.wait(r"Proposals \(1\)")
    dash.keys("w", "Enter")
    dash.wait(r"\+route other\.example")
    dash.keys("A")
    dash.wait("written into the manifest")
    dash.wait(r"\+ +- host: other\.example")
    assert manifest.read_text() == before
    dash.keys("y")
    dash.wait("egress-block approved for good")
    granted(whole, agent, asked, "other.example")
    assert "is not allowed" in whole.curl("https://other.example/elsewhere")[1]
    added = manifest.read_text().replace(before.rstrip("-\n"), "")
    assert re.search(r"- host: other\.example\n +path_allowlist:\s+(\[|- )\"?/after", added), manifest.read_text()


def test_the_same_by_http_from_inside(whole: Whole) -> None:
    """No SDK: lines of HTTP by the bottle's own curl."""
    script = f"""
url={URL}; head='-H Content-Type:application/json -H Accept:application/json,text/event-stream'
test "$MCP_SUPERVISE_URL" = $url || echo another url
hello='{{"protocolVersion":"2025-06-18","capabilities":{{}},"clientInfo":{{"name":"x","version":"1"}}}}'
curl -sS -D /tmp/h -o /dev/null $head -d '{{"jsonrpc":"2.0","id":1,"method":"initialize","params":'"$hello"'}}' $url
session=$(tr -d '\\r' </tmp/h | sed -n 's/^mcp-session-id: //p')
curl -sS $head -H "Mcp-Session-Id: $session" -d '{{"jsonrpc":"2.0","id":2,"method":"tools/call",
 "params":{{"name":"list-egress-routes","arguments":{{}}}}}}' $url
"""
    said = whole.inside(script)
    (data,) = re.findall(r"^data: (\{.*)$", said, re.MULTILINE)
    routes = json.loads(data)["result"]["structuredContent"]["routes"]
    assert routes[0] == {"host": "a.example", "paths": [], "credential": True, "dlp": "block"}
    assert json.loads(whole.curl("http://_egress.local/allowlist")[1])


def test_claude_as_the_client(whole: Whole, tmp_path: Path) -> None:
    program = os.environ.get("BOT_BOTTLE_CLAUDE", "")
    if not program or not os.access(program, os.X_OK):
        need("claude", "BOT_BOTTLE_CLAUDE names no program")
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DISABLE_AUTOUPDATER": "1"}

    def claude(*words: str) -> str:
        enter = ["nsenter", "-t", str(whole.live.sandbox.pid), "-n", "--", program, "mcp", *words]
        argv = of_world(whole.person.world.space, enter)
        done = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    claude("add", "--transport", "http", "--scope", "user", "supervise", URL)
    assert re.search(rf"supervise: {re.escape(URL)} .*Connected", claude("list"))
    # The control: where nothing listens it says so.
    claude("add", "--transport", "http", "--scope", "user", "nobody", URL.replace("9100", "9199"))
    assert re.search(r"nobody: .*(Failed|failed)", claude("list"))


@pytest.fixture(scope="module")
def decided(whole: Whole) -> Path:
    """The audit's folder after three decisions at least."""
    agent = whole.mcp()
    for number in range(3):
        call = agent.call("ask-operator", question=f"Number {number}?")
        rows = until(lambda: whole.person.dash("proposals").stdout)
        words = (
            ("approve", rows.split()[0], "--yes", "--answer", "yes") if number else ("reject", rows.split()[0], "no")
        )
        done = whole.person.dash(*words)
        assert done.returncode == 0, done.stderr
        assert agent.result(call)["value"]["status"] == ("approved" if number else "rejected")
        until(lambda: not whole.person.dash("proposals").stdout)
    return whole.person.state / "audit"


@pytest.mark.parametrize("how", ["changed", "dropped", "last-dropped", "reordered", "added"])
def test_the_audit_finds_what_was_tampered_with(whole: Whole, decided: Path, how: str) -> None:
    good = whole.person.dash("audit", "--verify")
    assert good.returncode == 0 and "the chain is whole" in good.stdout
    other = whole.person.home / f"tampered-{how}"
    (other / "audit").mkdir(parents=True)
    for file in decided.iterdir():
        (other / "audit" / file.name).write_bytes(file.read_bytes())
    log = other / "audit" / "audit.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    assert (
        len(lines) >= 3 and whole.person.dash("audit", "--verify", env={"BOT_BOTTLE_HOME": str(other)}).returncode == 0
    )
    tampered = {
        "changed": [*lines[:-2], lines[-2].replace("approve", "reject", 1), lines[-1]],
        "dropped": [*lines[:-2], lines[-1]],
        "last-dropped": lines[:-1],
        "reordered": [*lines[:-2], lines[-1], lines[-2]],
        "added": [*lines, lines[-1]],
    }[how]
    assert tampered != lines
    log.write_text("".join(tampered))
    bad = whole.person.dash("audit", "--verify", env={"BOT_BOTTLE_HOME": str(other)})
    assert bad.returncode == 1 and "audit.jsonl: " in bad.stderr, bad
    words = {"changed": "was changed after it was written", "reordered": "moved before it", "added": "too many"}
    assert words.get(how, "missing") in bad.stderr, bad.stderr
