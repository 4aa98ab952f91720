"""Bad input from an agent to every service of its bottle: refused in a clear line, within bounds, and nothing is lost.

Header smuggling, WebSocket frames and broken TLS of upstreams are tried one by one in `e2e/bundle`, the MCP server's
own bounds in `e2e/supervise`; here the whole bottle stands behind them.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

from sidecar_bundle.shared.queue import MAX_PENDING
from tests.e2e.driving import until
from tests.e2e.whole.rig import Whole

FLOOD = Path(__file__).with_name("flood.py").read_text()
MCP = "http://127.0.0.1:9100/mcp"
BOUND = {"egress": 400, "pipelock": 120, "git-gate": 120, "supervise": 160}  # MiB, the most ever


def bounded(whole: Whole) -> None:
    """No daemon ever took more than its bound, and all still serve."""
    used = {daemon: whole.rss(daemon) for daemon in BOUND}
    print(used)
    assert all(used[daemon] <= most for daemon, most in BOUND.items()), used
    until(lambda: whole.serves({}), what=whole.health)


def test_bodies_that_cannot_be_scanned(whole: Whole) -> None:
    before = {daemon: health.restarts for daemon, health in whole.health().items()}
    whole.inside(
        "head -c 68000000 /dev/zero > /tmp/large;"
        " head -c 300000000 /dev/zero | gzip > /tmp/bomb.gz; gzip -c /tmp/bomb.gz > /tmp/bomb2.gz"
    )
    status, said = whole.curl("https://a.example/large", "-T", "/tmp/large")
    assert status in (403, 413) and said.startswith("egress: ") and "64 MB" in said, (status, said)
    for path, coding in (("/bomb", "gzip"), ("/bomb2", "gzip, gzip")):
        gzip = ("-H", f"Content-Encoding: {coding}", "--data-binary", f"@/tmp{path}.gz")
        status, said = whole.curl(f"https://a.example{path}", *gzip)
        assert status in (403, 413) and said.startswith("egress: "), (status, said)
        assert "expands beyond 64 MB" in said
    assert not [path for path in ("/large", "/bomb", "/bomb2") if whole.arrived(path)]
    assert len([a for a in whole.activity() if "64 MB" in a["reason"]]) >= 3
    whole.inside("rm /tmp/large /tmp/bomb*.gz")
    assert {d: h.restarts for d, h in whole.health().items()} == before
    bounded(whole)


BROKEN = r"""
import os, socket, ssl
def say(port, *parts):
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.settimeout(4)
        out = b""
        try:
            for part in parts:
                sock.sendall(part)
                out += sock.recv(4096)
        except OSError as error:
            out += repr(error).encode()
        print(port, out[:200])
tunnel = b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n"
say(9099, tunnel, b"GET /broken HTTP/1.1\r\nHost: a.example\r\n\r\n")
say(9099, tunnel, b"\x16\x03\x01\xff\xff" + os.urandom(4000))
say(9099, tunnel, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")
say(9099, b"\x00" * 5000 + b"\r\n\r\n")
say(9099, b"GET http://a.example/broken HTTP/9.9\r\n\r\n")
say(9418, b"ffff" + b"x" * 1000)
say(9418, b"0033git-upload-pack /../../etc\0host=x\0")
say(9100, b"\x16\x03\x01\xff\xff" + os.urandom(4000))
"""


def test_no_protocol_at_all(whole: Whole) -> None:
    before = {daemon: health.restarts for daemon, health in whole.health().items()}
    done = whole.start("/usr/bin/python3", "-c", BROKEN)
    said, errors = done.communicate(timeout=120)
    assert done.returncode == 0 and len(said.splitlines()) == 8, errors
    assert not whole.arrived("/broken"), said
    assert "Traceback" not in (whole.run / "bundle.log").read_text()
    assert {d: h.restarts for d, h in whole.health().items()} == before
    assert whole.curl("https://a.example/sound")[0] == 200
    bounded(whole)


def test_malformed_and_oversized_calls(whole: Whole) -> None:
    head = ("-H", "Content-Type: application/json", "-H", "Accept: application/json, text/event-stream")
    for body in ("{", "[]", "7", '{"jsonrpc":"2.0","id":1}'):
        status, said = whole.curl(MCP, *head, "-d", body)
        assert status == 400 and "error" in said, (body, status, said)
    whole.inside("head -c 1100000 /dev/zero | tr '\\0' x > /tmp/body")
    assert whole.curl(MCP, *head, "-d", "@/tmp/body")[0] == 413
    assert whole.person.dash("proposals").stdout == ""
    bounded(whole)


def test_ten_thousand_proposals_and_one_from_before(whole: Whole) -> None:
    """The operator still sees, and answers, what was asked before; the agent hears that so many wait."""
    agent = whole.mcp()
    call = agent.call("ask-operator", question="Asked before the flood?")
    whole.dash.wait(r"Proposals \(1\)")
    flood = whole.start("/usr/bin/python3", "-c", FLOOD, "10000")
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(flood.communicate(timeout=150)))
    reader.start()
    most = 0
    while flood.poll() is None:
        most = max(most, len(list((whole.run / "bundle" / "queue").glob("*.proposal.json"))))
        until(lambda: whole.health()["supervise"].state == "ready", 10)
    reader.join(20)
    assert flood.returncode == 0, said
    told = json.loads(said[0])
    assert told["sent"] >= 10_000 and set(told["said"]) == {"full"} and most == MAX_PENDING, (told, most)
    # Those who asked are gone, and so is what they asked.
    whole.dash.wait(r"Proposals \(1\)")
    assert not agent.heard("text", call)
    whole.dash.keys("w", "Enter")
    whole.dash.wait("Question of")
    whole.dash.keys("Enter")
    whole.dash.wait("Your answer")
    whole.dash.tmux("send-keys", "-t", "%0", "-l", "yes, before")
    whole.dash.keys("Enter")
    whole.dash.wait("ask-operator approved")
    assert agent.result(call)["value"]["answer"] == "yes, before"
    bounded(whole)
