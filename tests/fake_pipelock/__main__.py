"""A stand-in for pipelock v2.3.0, for tests where the real one is not to be had: `python tests/fake_pipelock run ...`.

It imitates what our bundle relies on and the traps that were seen on the real program. It protects nobody: few rules,
HTTP/1.1 only, no receipts, no metrics. The fidelity tests run against it and against a real binary alike.
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import ipaddress
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from config import Config, ConfigFault, check_ca_key
from proxy import Proxy

VERSION = "2.3.0-stand-in"


class Audit:
    """Appends JSON lines to the configured file, mode 0600."""

    def __init__(self, config: Config) -> None:
        self._fd = 1
        if config.get("logging", "output") in ("file", "both"):
            self._fd = os.open(config.get("logging", "file"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, event: str, level: str = "info", **fields: Any) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat()
        line = {"level": level, "component": "pipelock", "event": event, "time": now, "message": event, **fields}
        os.write(self._fd, json.dumps(line).encode() + b"\n")


class State:
    """The configuration in force, the kill switch, and the log."""

    version = VERSION

    def __init__(self, path: Path) -> None:
        self._path = path
        self.config = Config(path)
        check_ca_key(self.config.ca[1])
        self.audit = Audit(self.config)
        self._killed = False

    def killed(self) -> bool:
        sentinel = self.config.get("kill_switch", "sentinel_file")
        return (
            self._killed
            or bool(self.config.get("kill_switch", "enabled"))
            or bool(sentinel and Path(sentinel).exists())
        )

    def toggle(self, *_: Any) -> None:
        self._killed = not self._killed

    def reload(self, *_: Any) -> None:
        try:
            new = Config(self._path)
        except ConfigFault as fault:
            self._refuse(str(fault))
            return
        if faults := self.config.downgrades(new) if self.config.top("mode") == "strict" else []:
            self._refuse(f"config reload rejected in strict mode: {'; '.join(faults)}")
            return
        self.config = new
        self.audit.write("config_reload", status="success", config_hash=new.hash)

    def _refuse(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        self.audit.write("error", "error", error=text)

    def may_dial(self, host: str, address: str) -> bool:
        """SSRF: public addresses, and what the configuration names."""
        ip = ipaddress.ip_address(address)
        nets = [ipaddress.ip_network(n) for n in self.config.get("ssrf", "ip_allowlist")]
        # The documentation networks are public in its eyes, unlike in Python's.
        test = any(ip in ipaddress.ip_network(n) for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"))
        return ip.is_global or test or host in self.config.top("trusted_domains") or any(ip in net for net in nets)


def run(options: argparse.Namespace) -> int:
    state = State(Path(options.config))
    host, _, port = str(options.listen or state.config.get("fetch_proxy", "listen")).rpartition(":")
    server = Proxy((host, int(port)), state)
    signal.signal(signal.SIGHUP, state.reload)
    signal.signal(signal.SIGUSR1, state.toggle)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    state.audit.write("startup", mode=state.config.top("mode"))
    print("pipelock stand-in: no protection, for tests only")
    server.serve_forever(poll_interval=0.05)
    state.audit.write("shutdown")
    return 0


def healthcheck(options: argparse.Namespace) -> int:
    try:
        connection = http.client.HTTPConnection(options.addr, timeout=3)
        connection.request("GET", "/health")
        return 0 if connection.getresponse().status == 200 else 1
    except OSError:
        return 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="pipelock")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("run", "check"):
        command = commands.add_parser(name)
        command.add_argument("--config", required=True)
        command.add_argument("--listen")
    commands.add_parser("healthcheck").add_argument("--addr", default="127.0.0.1:8888")
    commands.add_parser("version")
    options = parser.parse_args()
    try:
        if options.command == "version":
            print(f"pipelock version {VERSION}")
            return 0
        if options.command == "check":
            Config(Path(options.config))
            return 0
        return run(options) if options.command == "run" else healthcheck(options)
    except (ConfigFault, OSError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Threads of open tunnels are not waited for.
    os._exit(code)
