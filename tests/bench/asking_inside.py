"""What the agent runs in its bottle: asks for a host until it is let through, or sends it a file once. Stdlib only."""

from __future__ import annotations

import pathlib
import socket
import sys
import time


def ask(host: str, body: bytes) -> bool:
    """Whether one request, by the proxy, was answered with 200."""
    with socket.create_connection(("127.0.0.1", 9099), 30) as sock:
        head = (
            f"POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nConnection: close\r\n"
        )
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return sock.recv(65536).startswith(b"HTTP/1.1 200 ")


def main(host: str, body: bytes) -> None:
    """Says when it is refused first, and the clock's nanoseconds when it passes; gives up after a minute."""
    end = time.monotonic() + 60
    told = False
    while not ask(host, body):
        if not told:
            print("refused", host, flush=True)
        told = True
        if time.monotonic() > end:
            sys.exit("it did not pass")
        time.sleep(0.005)
    print("passed", time.monotonic_ns(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]).read_bytes() if len(sys.argv) > 2 else b"")
