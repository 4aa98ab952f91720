"""Proposals from an agent that never waits for its turn, sent inside the bottle as fast as they are refused.

    python3 -c "$(cat this file)" COUNT

The first that are taken stay open to the end; writes a JSON object: how many were sent, and how often what was heard.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
from collections import Counter

PORT = 9100
KEEP = 110
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


def session() -> str:
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
    connection.request("POST", "/mcp", body, HEADERS)
    return connection.getresponse().headers["mcp-session-id"]


def send(name: str, number: int) -> socket.socket:
    head = "".join(f"{key}: {value}\r\n" for key, value in {**HEADERS, "Mcp-Session-Id": name}.items())
    params = {"name": "ask-operator", "arguments": {"question": f"flood {number}"}}
    body = json.dumps({"jsonrpc": "2.0", "id": number + 2, "method": "tools/call", "params": params})
    sock = socket.create_connection(("127.0.0.1", PORT), 20)
    start = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\n{head}Content-Length: {len(body)}\r\n\r\n"
    sock.sendall((start + body).encode())
    return sock


def heard(sock: socket.socket) -> str:
    """`full`: so many wait already; else what came."""
    answer = b""
    try:
        while b"wait already" not in answer and (data := sock.recv(65536)):
            answer += data
    except OSError as error:
        return f"{error!r} after {answer[:40]!r}"
    return "full" if b"wait already" in answer else ascii(answer[:80])


def main(count: int) -> None:
    name = session()
    kept = [send(name, number) for number in range(KEEP)]
    end = time.monotonic() + 100
    said: Counter[str] = Counter()
    number = KEEP
    while number < count and time.monotonic() < end:
        batch = [send(name, number + i) for i in range(50)]
        number += len(batch)
        for sock in batch:
            said[heard(sock)] += 1
            sock.close()
    print(json.dumps({"sent": number, "kept": len(kept), "said": said}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
