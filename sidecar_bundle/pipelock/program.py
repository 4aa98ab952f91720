"""The pipelock program as a child: started without any secret in sight, asked for its health, reloaded, ended."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

_PR_SET_PDEATHSIG = 1
END_SECONDS = 4.0
HEALTH_SECONDS = 2.0


class Program:
    """One run of `path` with the configuration `config`, listening on `port` of loopback. It dies with this process."""

    def __init__(self, path: str, config: Path, port: int, env: Mapping[str, str]) -> None:
        libc = ctypes.CDLL(None)
        parent = os.getpid()

        def tie() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        self._port = port
        self.process = subprocess.Popen(
            [path, "run", "--config", str(config)],
            env=dict(env),
            cwd=config.parent,
            stdin=subprocess.DEVNULL,
            stdout=2,
            preexec_fn=tie,
        )

    def code(self) -> int | None:
        """The exit code once it has ended: 128+n for signal n."""
        code = self.process.poll()
        return code if code is None or code >= 0 else 128 - code

    def version(self) -> str:
        """The version that its health says; "" while it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=HEALTH_SECONDS)
        try:
            connection.request("GET", "/health")
            answer = connection.getresponse()
            body = json.loads(answer.read(65536))
            return str(body["version"])[:40] if answer.status == 200 and body.get("status") else ""
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError):
            return ""
        finally:
            connection.close()

    def reload(self) -> None:
        """Makes it read its files again. (SIGUSR1 would be its kill switch.)"""
        self.process.send_signal(signal.SIGHUP)

    def end(self) -> None:
        """SIGTERM, then SIGKILL; it is gone when this returns."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(END_SECONDS)
        self.process.kill()
        self.process.wait()


def taken(port: int) -> bool:
    """Whether something accepts on that port of loopback."""
    with socket.socket() as sock:
        sock.settimeout(1.0)
        return sock.connect_ex(("127.0.0.1", port)) == 0
