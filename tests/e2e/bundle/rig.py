"""A real bundle for tests: init and egress as processes, a control connection, and requests as an agent makes them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[3]
INIT = ROOT / "sidecar_bundle" / "init" / "__main__.py"


def until(ready: Callable[[], Any], seconds: float = 15.0) -> Any:
    """What `ready` answers once it is true; `AssertionError` after `seconds`."""
    end = time.monotonic() + seconds
    while not (answer := ready()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
    return answer


@dataclass
class Answer:
    """A response as the agent sees it."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def seen(self, name: str) -> str:
        """A header as the upstream saw it, by its lower-case name."""
        return str({k.lower(): v for k, v in self.json["headers"].items()}[name])


@dataclass
class Bundle:
    """A running bundle. `log` is what init wrote to its standard error."""

    process: subprocess.Popen[bytes]
    folder: Path
    lifeline: int
    port: int = 0
    listener: socket.socket | None = None
    ca: Path = field(default_factory=Path)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def ask(self, **message: Any) -> dict[str, Any]:
        """One request on the control socket."""
        fds = [self.listener.fileno()] if message.pop("with_listener", False) and self.listener else []
        fds += [sock.fileno() for sock in message.pop("sockets", ())]
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(str(self.folder / "control"))
            data = json.dumps(message).encode() + b"\n"
            sock.sendall(data[socket.send_fds(sock, [data], fds) :])
            answer = json.loads(sock.makefile().readline())
        assert isinstance(answer, dict)
        return answer

    def configure(self, *routes: Mapping[str, Any], secrets: Mapping[str, str] | None = None, **more: Any) -> str:
        """Configures and waits; the state of egress."""
        more = more or {"with_listener": True}
        assert self.ask(op="configure", config={"slug": "b-1", "routes": list(routes)}, **more) == {"ok": True}
        if secrets is not None:
            assert self.ask(op="secrets", values=secrets) == {"ok": True}
        return self.settle()

    def settle(self) -> str:
        state = self.ask(op="wait", timeout=15)["daemons"]["egress"]["state"]
        assert isinstance(state, str)
        return state

    @property
    def egress_pid(self) -> int:
        return self.pid_of("egress")

    def pid_of(self, daemon: str) -> int:
        """The daemon's process, found by its script; 0 while there is none."""
        own = self.process.pid
        part = f"/sidecar_bundle/{daemon.replace('-', '')}/__main__.py".encode()
        for pid in Path(f"/proc/{own}/task/{own}/children").read_text().split():
            with contextlib.suppress(OSError):
                argv = Path(f"/proc/{pid}/cmdline").read_bytes()
                if part in argv or b"/broken_rules.py" in argv:
                    return int(pid)
        return 0

    def peak_rss(self) -> int:
        """The highest memory of egress so far, in MiB."""
        status = Path(f"/proc/{self.egress_pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) // 1024

    def activity(self) -> list[dict[str, Any]]:
        path = self.folder / "activity.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def curl(self, url: str, *args: str, timeout: int = 30, stdin: IO[str] | None = None) -> Answer:
        """One request by curl through egress, trusting the bottle's CA and nothing else."""
        proxy = ["-x", f"http://127.0.0.1:{self.port}", "--cacert", str(self.ca), "--suppress-connect-headers"]
        argv = ["curl", "-sS", "-i", "-m", str(timeout), *proxy, *args, url]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout + 5, stdin=stdin)
        assert done.returncode == 0, done.stderr
        text = done.stdout
        while True:
            head, _, body = text.partition("\n\n")
            first, *lines = head.splitlines()
            if not first.split()[1].startswith("1") or first.split()[1] == "101":
                break
            text = body
        pairs = (line.partition(":") for line in lines)
        return Answer(int(first.split()[1]), {k.lower(): v.strip() for k, _, v in pairs}, body)

    def raw(self, data: bytes, tunnel: str = "", sni: str = "") -> str:
        """Bytes as they are, in clear or inside a TLS tunnel to `tunnel`; all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as sock:
            stream: socket.socket = sock
            if tunnel:
                sock.sendall(f"CONNECT {tunnel}:443 HTTP/1.1\r\nHost: {tunnel}:443\r\n\r\n".encode())
                assert b" 200 " in sock.recv(4096)
                context = ssl.create_default_context(cafile=str(self.ca))
                context.check_hostname = False
                stream = context.wrap_socket(sock, server_hostname=sni or tunnel)
            stream.sendall(data)
            out = b""
            with contextlib.suppress(OSError):
                stream.settimeout(1)
                while part := stream.recv(65536):
                    out += part
            return out.decode("latin-1")


@contextlib.contextmanager
def bundle(
    python: str, env: Mapping[str, str] | None = None, script: Path = INIT, listen: bool = True, daemons: str = "egress"
) -> Iterator[Bundle]:
    """A bundle of those daemons (a list with commas) that has answered `hello`; all of it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bundle-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        read, write = os.pipe()
        stack.callback(os.close, write)
        settings = {
            "PATH": "/usr/bin:/bin",
            "BOT_BOTTLE_STATE": name,
            "BOT_BOTTLE_CONTROL": f"{name}/control",
            "BOT_BOTTLE_LIFELINE_FD": str(read),
            "BOT_BOTTLE_SIDECAR_DAEMONS": daemons,
            **(env or {}),
        }
        log = stack.enter_context((folder / "log").open("wb"))
        argv = [python, "-I", str(script)]
        process = subprocess.Popen(argv, env=settings, pass_fds=(read,), stderr=log, start_new_session=True)
        os.close(read)
        stack.callback(_end, process)
        running = Bundle(process, folder, write)
        if listen:
            running.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
            running.port = running.listener.getsockname()[1]
        hello = until(lambda: _greet(running))
        assert hello["ok"], (hello, running.log)
        running.ca = folder / "agent-ca.pem"
        running.ca.write_text(hello["ca"])
        yield running


def _greet(running: Bundle) -> dict[str, Any] | None:
    assert running.process.poll() is None, running.log
    # Its socket is there a moment before it listens.
    with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
        return running.ask(op="hello")
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


def secret_holders(values: Sequence[str], pids: Sequence[int], files: Sequence[Path]) -> list[str]:
    """Where one of `values` stands: argv and environment of `pids`, and `files`."""
    places = [Path(f"/proc/{pid}/{part}") for pid in pids for part in ("cmdline", "environ")]
    return [str(p) for p in (*places, *files) if p.is_file() and any(v.encode() in p.read_bytes() for v in values)]


TOKEN = "sk-injected-0123456789"
AGENT = "sk-of-the-agent-9876543210"
OPEN = {"host": "open.example"}
API = {"host": "api.example", "path_allowlist": ["/v1"], "auth": {"scheme": "Bearer", "slot": "EGRESS_TOKEN_0"}}


def headers(request: Any) -> dict[str, str]:
    """The headers that an upstream saw, by lower-case name."""
    return {k.lower(): v for k, v in request["headers"]}
