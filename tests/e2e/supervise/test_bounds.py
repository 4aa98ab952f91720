"""What a hostile client sends to the supervise daemon: refused in one clear line, and the load stays bounded."""

from __future__ import annotations

import http.client
import json
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sidecar_bundle.shared.queue import MAX_PENDING
from tests.e2e.bundle.rig import until
from tests.e2e.supervise.conftest import Agent, Desk

HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}


def message(method: str, params: Any, ident: int = 1) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": ident, "method": method, "params": params}).encode()


def post(desk: Desk, body: Any, method: str = "POST", path: str = "/mcp", **headers: str) -> tuple[int, str, str]:
    """Status, text and session of one request; headers with `_` for `-`."""
    with closing(http.client.HTTPConnection("127.0.0.1", desk.bundle.port, timeout=20)) as connection:
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {**HEADERS, **more})
        answer = connection.getresponse()
        return answer.status, answer.read(4096).decode(), answer.headers.get("mcp-session-id", "")


@pytest.fixture
def session(desk: Desk) -> Iterator[str]:
    status, _, name = post(desk, message("initialize", HELLO))
    assert status == 200
    yield name
    # Whatever was tried, it still serves.
    until(lambda: post(desk, message("tools/list", {}), mcp_session_id=name)[0] == 200)
    assert "Traceback" not in desk.bundle.log


def test_malformed_requests_are_refused(desk: Desk, session: str) -> None:
    for body in (b"", b"{", b"null", b"[]", b"7", b"\xff\xfe", b"[" * 100_000, b'{"jsonrpc":"2.0","id":1}'):
        status, text, _ = post(desk, body, mcp_session_id=session)
        assert (status, "jsonrpc" in text) == (400, True), (body[:20], status, text)
    assert post(desk, message("tools/nothing", {}), mcp_session_id=session)[1].count('"code":-32601') == 1
    unknown = post(desk, message("tools/call", {"name": "rm", "arguments": {}}), mcp_session_id=session)[1]
    assert "no tool 'rm' (there are: egress-block" in unknown
    assert post(desk, message("tools/list", {}), mcp_session_id="f" * 32)[0] == 404
    assert post(desk, b"x", method="PUT", mcp_session_id=session)[0] == 405
    assert post(desk, b"", path="/other")[:2] == (404, "supervise: nothing here; MCP is at /mcp\n")
    assert post(desk, message("initialize", HELLO), Content_Type="text/plain")[0] == 400


def test_only_its_own_names_and_no_web_page(desk: Desk, session: str) -> None:
    port = desk.bundle.port
    assert post(desk, message("initialize", HELLO), Host=f"localhost:{port}")[0] == 200
    assert post(desk, message("initialize", HELLO), Host="evil.example")[0] == 421
    assert post(desk, message("initialize", HELLO), Host=f"127.0.0.1:{port + 1}")[0] == 421
    assert post(desk, message("initialize", HELLO), Origin="http://evil.example")[0] == 403


@pytest.mark.parametrize(
    ("tool", "arguments", "text"),
    [
        ("egress-block", {"host": "a.example"}, "justification: must be a text"),
        ("egress-block", {"host": "1.2.3.4", "justification": "x"}, "host: "),
        ("egress-block", {"host": "a.example", "justification": "x", "auth": "y"}, "auth: is not a parameter"),
        ("egress-block", {"host": "a.example", "justification": "x" * 5000}, "justification: is longer than 4000"),
        ("pipelock-block", {"url": "ftp://a", "justification": "x"}, "url: "),
        ("capability-block", {"dockerfile": "RUN x", "justification": "x"}, "dockerfile: must be a whole Dockerfile"),
        ("ask-operator", {"question": "q", "choices": ["a", "a"]}, "choices: must differ"),
        ("ask-operator", {"question": ["q"]}, "question: must be a text"),
        ("list-egress-routes", {"x": 1}, "it takes no arguments"),
    ],
)
def test_arguments_that_cannot_be_used(desk: Desk, session: str, tool: str, arguments: Any, text: str) -> None:
    said = post(desk, message("tools/call", {"name": tool, "arguments": arguments}), mcp_session_id=session)[1]
    assert f'"text":"supervise: {text}' in said
    assert '"isError":true' in said
    assert desk.waiting() == ()


def test_large_and_slow_requests_end(desk: Desk, session: str) -> None:
    status, text, _ = post(desk, b"x" * (1024 * 1024 + 1), mcp_session_id=session)
    assert (status, text) == (413, "Request body too large")
    address = ("127.0.0.1", desk.bundle.port)
    with socket.create_connection(address, 25) as silent, socket.create_connection(address, 25) as slow:
        head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        slow.sendall(f"POST /mcp HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 9\r\n\r\n1".encode())
        with socket.create_connection(address, 25) as partial:
            partial.sendall(b"POST /mcp HTTP/1.1\r\nHost: ")
            assert b"408" in slow.recv(4096)
            for sock in (silent, partial):
                assert sock.recv(1) == b""
    with socket.create_connection(address, 25) as wide:
        wide.sendall(b"POST /mcp HTTP/1.1\r\nHost: " + b"x" * 200_000)
        assert b"400" in wide.recv(4096)


def ask(desk: Desk, session: str, number: int) -> socket.socket:
    """A call as bytes; its answer is left unread."""
    params = {"name": "ask-operator", "arguments": {"question": f"number {number}"}, "_meta": {"progressToken": number}}
    body = message("tools/call", params, number + 2)
    more = {"Host": f"127.0.0.1:{desk.bundle.port}", "Mcp-Session-Id": session, "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in {**HEADERS, **more}.items())
    sock = socket.create_connection(("127.0.0.1", desk.bundle.port), 20)
    sock.sendall(f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + body)
    return sock


def first(sock: socket.socket) -> bytes:
    """What came until the first event, or the end."""
    data = b""
    while b"data:" not in data and (part := sock.recv(65536)):
        data += part
    return data


def test_a_flood_of_requests_is_bounded(desk: Desk, session: str) -> None:
    """10,000 proposals of clients that do not wait for answers: never more stand than the queue takes."""
    most = full = queued = 0
    waiting: deque[socket.socket] = deque()
    for number in range(10_000):
        waiting.append(ask(desk, session, number))
        if len(waiting) >= 150:
            with waiting.popleft() as oldest:
                data = first(oldest)
                full += b"wait already" in data
                queued += b"waiting for the operator" in data
        if number % 100 == 0:
            most = max(most, len(list(desk.queue.iterdir())))
    assert full
    assert queued
    assert most in (MAX_PENDING, MAX_PENDING + 1)  # with the one that is being written
    for sock in waiting:
        sock.close()
    until(lambda: desk.waiting() == (), 30)
    status = Path(f"/proc/{desk.pid}/status").read_text()
    assert int(status.split("VmHWM:")[1].split()[0]) // 1024 < 160


def test_beyond_the_queue_s_bound_a_call_is_told(desk: Desk, connect: Callable[..., Agent]) -> None:
    one, two = connect(), connect()
    for i in range(MAX_PENDING):
        (one if i % 2 else two).call("ask-operator", question=f"number {i}")
    until(lambda: len(desk.waiting()) == MAX_PENDING, 30)
    full = one.result(one.call("ask-operator", question="one more"))
    assert full["error"]
    assert full["text"] == "supervise: 100 proposals wait already; wait for the operator's answers"
