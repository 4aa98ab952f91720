"""Runs a pipelock, the stand-in or a real one, with our generated configuration, and speaks to it as egress does."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar_bundle.pipelock.config import Paths, settings
from sidecar_bundle.shared.config import BundleConfig, Pipelock
from sidecar_bundle.shared.routes import Route

STANDIN = Path(__file__).resolve().parents[1] / "fake_pipelock"
PORT = 8888
HOST = "open.example"
# Put together here, so that no scanner takes this file for a leak.
GITHUB = "ghp_" + "Zx9" * 12
KNOWN = "kNown-" + "secret-value-" + "0123456789"


def until(ready: Callable[[], Any], seconds: float = 10.0) -> Any:
    """What `ready` answers once it is true; `AssertionError` after `seconds`."""
    end = time.monotonic() + seconds
    while not (answer := ready()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
    return answer


def standin(folder: Path, python: str) -> Path:
    """A program in `folder` that is the stand-in, run by that Python (of the bundle's environment)."""
    path = folder / "pipelock"
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(python)} -I {shlex.quote(str(STANDIN))} "$@"\n')
    path.chmod(0o755)
    return path


def make_ca(folder: Path) -> tuple[Path, Path]:
    """A CA for pipelock: certificate, and SEC1 key with mode 0600."""
    key, certificate = folder / "ca-key.pem", folder / "ca-cert.pem"
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key))
    key.chmod(0o600)
    usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    _openssl("req", "-x509", "-key", str(key), "-days", "30", "-subj", "/CN=inner CA", *usage, "-out", str(certificate))
    return certificate, key


def _openssl(*argv: str) -> None:
    subprocess.run(["openssl", *argv], check=True, capture_output=True, timeout=30)


@dataclass
class Running:
    """A running pipelock with its folder; `env` is what it was started with."""

    program: Path
    folder: Path
    values: dict[str, Any]
    process: subprocess.Popen[bytes]

    @property
    def config(self) -> Path:
        return self.folder / "pipelock.yaml"

    def audit(self, event: str = "") -> list[dict[str, Any]]:
        path = self.folder / "audit.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if event in ("", line["event"])]

    def audit_lines(self) -> list[bytes]:
        return (self.folder / "audit.jsonl").read_bytes().splitlines()

    def health(self) -> dict[str, Any]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)) as plain:
            plain.request("GET", "/health")
            answer = plain.getresponse()
            assert answer.status == 200
            found = json.loads(answer.read())
            assert isinstance(found, dict)
            return found

    def tunnel(self, host: str = HOST, ca: Path | None = None) -> http.client.HTTPSConnection:
        """A connection to the host through it, not yet open; it trusts pipelock's CA alone, or `ca`."""
        context = ssl.create_default_context(cafile=str(ca or self.folder / "ca-cert.pem"))
        # Its leaf certificates are plain ones.
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        connection = http.client.HTTPSConnection("127.0.0.1", PORT, timeout=30, context=context)
        connection.set_tunnel(host, 443)
        return connection

    def ask(
        self, path: str = "/", body: bytes | None = None, host: str = HOST, **headers: str
    ) -> tuple[int, str, dict[str, str]]:
        """One request in a tunnel of its own: status, body, headers by lower-case name."""
        with contextlib.closing(self.tunnel(host)) as connection:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("POST" if body is not None else "GET", path, body, names)
            answer = connection.getresponse()
            found = {k.lower(): v for k, v in answer.getheaders()}
            return answer.status, answer.read().decode("utf-8", "replace"), found

    def raw(self, data: bytes) -> bytes:
        """What comes back for these bytes, until it says no more for a second."""
        with socket.create_connection(("127.0.0.1", PORT), 10) as sock:
            sock.sendall(data)
            sock.settimeout(1)
            out = b""
            with contextlib.suppress(OSError):
                while part := sock.recv(65536):
                    out += part
            return out

    def connect(self, target: str) -> bytes:
        """The raw answer to a CONNECT."""
        return self.raw(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())

    def rewrite(self, values: Mapping[str, Any], serial: int = 2) -> None:
        """Puts another configuration in place and asks for a reload."""
        fresh = self.config.with_suffix(".new")
        fresh.write_text(f"# {serial}\n{json.dumps(values)}\n")
        fresh.replace(self.config)
        self.process.send_signal(signal.SIGHUP)


def changed(values: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy where `section__key=value` (or `section__part__key`) is set; `None` takes the key away."""
    out: dict[str, Any] = json.loads(json.dumps(values))
    for name, value in changes.items():
        *parts, key = name.split("__")
        at = out
        for part in parts:
            at = at.setdefault(part, {})
        if value is None:
            at.pop(key, None)
        else:
            at[key] = value
    return out


def generated(
    folder: Path, hosts: Sequence[str | Route] = (HOST,), seed_phrases: bool = False, direct: bool = True
) -> dict[str, Any]:
    """Our configuration for these hosts, with files in `folder`."""
    routes = tuple(host if isinstance(host, Route) else Route(host) for host in hosts)
    names = ("ca-cert.pem", "ca-key.pem", "known-secrets", "audit.jsonl", "KILL")
    config = BundleConfig("b-1", routes, pipelock=Pipelock(seed_phrases=seed_phrases))
    return settings(config, Paths(*(str(folder / name) for name in names)), direct)


def prepare(folder: Path, values: Mapping[str, Any], secrets: Sequence[str] = (KNOWN,)) -> Path:
    """Writes the files that a start needs; the configuration's path."""
    if not (folder / "ca-key.pem").exists():
        make_ca(folder)
    known = folder / "known-secrets"
    known.write_text("".join(f"{secret}\n" for secret in secrets))
    known.chmod(0o600)
    (folder / "pipelock.yaml").write_text(f"# 1\n{json.dumps(values)}\n")
    return folder / "pipelock.yaml"


@contextlib.contextmanager
def running(
    program: Path, folder: Path, values: Mapping[str, Any], upstream_ca: Path | None, **env: str
) -> Iterator[Running]:
    """A pipelock that answers, and is gone afterwards."""
    config = prepare(folder, values)
    settings_ = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **env}
    if upstream_ca:
        settings_["SSL_CERT_FILE"] = str(upstream_ca)
    with (folder / "said").open("wb") as said:
        argv = [str(program), "run", "--config", str(config)]
        process = subprocess.Popen(argv, env=settings_, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        found = Running(program, folder, dict(values), process)

        def up() -> bool:
            assert process.poll() is None, (folder / "said").read_text()
            with contextlib.suppress(OSError):
                return bool(found.health())
            return False

        until(up)
        yield found
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()
        # Shown by pytest when the test fails.
        print((folder / "said").read_text(errors="replace"))
        print((folder / "audit.jsonl").read_text(errors="replace")[-3000:] if (folder / "audit.jsonl").exists() else "")


def refused_start(program: Path, folder: Path, values: Mapping[str, Any]) -> tuple[int, str]:
    """Exit code and standard error of a start that is to fail."""
    config = prepare(folder, values)
    argv = [str(program), "run", "--config", str(config)]
    done = subprocess.run(argv, env={"PATH": os.defpath}, capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stderr


def check(program: Path, folder: Path, values: Mapping[str, Any]) -> int:
    """Exit code of `check` of that configuration."""
    argv = [str(program), "check", "--config", str(prepare(folder, values))]
    return subprocess.run(argv, env={"PATH": os.defpath}, capture_output=True, timeout=20, check=False).returncode
