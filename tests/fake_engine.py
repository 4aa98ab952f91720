"""A Docker engine that is only a socket: it answers what a test gave it, or never, and counts what it was asked."""

from __future__ import annotations

import contextlib
import json
import queue
import select
import socketserver
import tempfile
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


class FakeEngine(socketserver.ThreadingUnixStreamServer):
    """`answers` are JSON values by the end of a request's path; `hangs` makes it accept and never answer."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, path: str, answers: Mapping[str, Any]) -> None:
        self.answers = {"/version": {"Version": "1.2.3", "ApiVersion": "1.41"}, "/info": {}, **answers}
        self.asked: list[str] = []
        self.hangs = False
        self.open = 0  # connections
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        super().__init__(path, _Handler)

    @property
    def address(self) -> str:
        """For `DOCKER_HOST`."""
        return f"unix://{self.server_address!s}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeEngine

    def handle(self) -> None:
        self.server.open += 1
        try:
            super().handle()
        except OSError:
            pass
        finally:
            self.server.open -= 1

    def do_GET(self) -> None:
        if self.server.hangs:
            # Until the client is gone.
            self.connection.recv(1)
            self.close_connection = True
            return
        path = "/" + self.path.partition("?")[0].rpartition("/")[2]
        path = "/containers/json" if "/containers/json" in self.path else path
        self.server.asked.append(path)
        if path == "/events":
            self._stream()
            return
        known = path in self.server.answers
        body = json.dumps(self.server.answers.get(path, {"message": f"no {path} here"})).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        while not select.select([self.connection], [], [], 0.01)[0]:
            with contextlib.suppress(queue.Empty):
                self.wfile.write(json.dumps(self.server.events.get_nowait()).encode() + b"\n")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


@contextlib.contextmanager
def fake_engine(**answers: Any) -> Iterator[FakeEngine]:
    """One that runs; a name in `answers` has `_` for `/`."""
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        named = {"/" + name.replace("_", "/"): value for name, value in answers.items()}
        with FakeEngine(str(Path(folder, "sock")), named) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
