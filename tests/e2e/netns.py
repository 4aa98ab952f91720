"""Runs a script in a network and mount namespace of its own: loopback, TEST-NET addresses, a hosts file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_SET_UP = """
set -e
mount --make-rprivate /
ip link set lo up
for address in $NETNS_ADDRESSES; do ip addr add "$address" dev lo; done
mount --bind "$NETNS_HOSTS" /etc/hosts
mount --bind "$NETNS_RESOLV" /etc/resolv.conf 2>/dev/null || true
exec "$@"
"""


def unavailable() -> str:
    """Why no namespace can be made here, or ""."""
    try:
        done = subprocess.run([*_unshare(), "true"], capture_output=True, text=True, timeout=20)
    except FileNotFoundError as error:
        return f"{error.filename} is missing"
    return "" if done.returncode == 0 else (done.stderr.strip() or "unshare failed").splitlines()[-1]


def _unshare() -> list[str]:
    # An ordinary user becomes root of a user namespace first; root keeps the real one.
    return ["unshare", "-n", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-n", "-m"]


def run(
    argv: Sequence[str],
    *,
    addresses: Sequence[str] = ("203.0.113.10",),
    hosts: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 120.0,
) -> subprocess.CompletedProcess[str]:
    """Runs `argv` in there and waits. `addresses` stand on its loopback, `hosts` maps names to addresses.

    No name outside `hosts` can be resolved. The end of `timeout` (seconds) raises `subprocess.TimeoutExpired`.
    """
    with tempfile.TemporaryDirectory(prefix="netns-") as folder:
        names = Path(folder, "hosts")
        names.write_text("127.0.0.1 localhost\n" + "".join(f"{a} {n}\n" for n, a in (hosts or {}).items()))
        resolv = Path(folder, "resolv.conf")
        resolv.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        Path(folder).chmod(0o755)
        settings = {
            "NETNS_ADDRESSES": " ".join(a if "/" in a else f"{a}/{128 if ':' in a else 32}" for a in addresses),
            "NETNS_HOSTS": str(names),
            "NETNS_RESOLV": str(resolv),
            "PYTHONPATH": str(ROOT),
        }
        return subprocess.run(
            [*_unshare(), "sh", "-c", _SET_UP, "netns", *argv],
            env={**os.environ, **(env or {}), **settings},
            capture_output=True,
            text=True,
            timeout=timeout,
        )


def run_module(module: str, **options: object) -> dict[str, object]:
    """Runs `python -m module` in there; its last line on standard output is a JSON object, which is returned."""
    done = run([sys.executable, "-m", module], **options)  # type: ignore[arg-type]
    if done.returncode != 0:
        raise AssertionError(f"{module} ended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert isinstance(result, dict)
    return result
