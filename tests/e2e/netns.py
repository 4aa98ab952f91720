"""Runs a script in a network and mount namespace of its own: loopback, TEST-NET addresses, a hosts file."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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


@contextlib.contextmanager
def _settings(addresses: Sequence[str], hosts: Mapping[str, str]) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="netns-") as folder:
        names = Path(folder, "hosts")
        names.write_text("127.0.0.1 localhost\n" + "".join(f"{a} {n}\n" for n, a in hosts.items()))
        resolv = Path(folder, "resolv.conf")
        resolv.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        for path in (names, resolv):
            path.chmod(0o644)
        Path(folder).chmod(0o755)
        yield {
            "NETNS_ADDRESSES": " ".join(a if "/" in a else f"{a}/{128 if ':' in a else 32}" for a in addresses),
            "NETNS_HOSTS": str(names),
            "NETNS_RESOLV": str(resolv),
            "PYTHONPATH": str(ROOT),
        }


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
    with _settings(addresses, hosts or {}) as settings:
        return subprocess.run(
            [*_unshare(), "sh", "-c", _SET_UP, "netns", *argv],
            env={**os.environ, **(env or {}), **settings},
            capture_output=True,
            text=True,
            timeout=timeout,
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """Namespaces that stand: network, mounts, and processes, whose first is `pid` as seen from outside."""

    pid: int

    def enter(self, argv: Sequence[str], uid: int = 0) -> list[str]:
        """`argv` in there: as `uid` when root made it, else as the user who made it."""
        into = ["nsenter", "-t", str(self.pid), "-n", "-m", "-p"]
        if os.geteuid():
            # Only root of the outer namespace may enter; inside it becomes the ordinary user again.
            own = [f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}"]
            return [*into, "-U", "--preserve-credentials", "--", "unshare", "-U", *own, "--", *argv]
        who = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--"] if uid else []
        return [*into, "--", *who, *argv]

    def processes(self) -> dict[int, str]:
        """Every process in there but its first and those that ended: number (as seen inside) and command line."""
        out = {}
        for entry in Path(f"/proc/{self.pid}/root/proc").iterdir():
            if entry.name.isdigit() and entry.name != "1":
                # One that is ending has no command line any more.
                with contextlib.suppress(OSError):
                    if line := (entry / "cmdline").read_text(errors="replace").replace("\0", " "):
                        out[int(entry.name)] = line
        return out

    def mounts(self) -> list[str]:
        """What is mounted in there."""
        lines = Path(f"/proc/{self.pid}/mountinfo").read_text().splitlines()
        return sorted(line.split()[4] for line in lines)


@contextlib.contextmanager
def standing(
    argv: Sequence[str],
    *,
    addresses: Sequence[str],
    hosts: Mapping[str, str],
) -> Iterator[Standing]:
    """As `run`, but `argv` stays as the first process there until the block ends, and everything ends with it.

    It says `ready` on its standard output first.
    """
    with _settings(addresses, hosts) as settings:
        unshare = [*_unshare(), "-p", "--fork", "--mount-proc", "--kill-child"]
        process = subprocess.Popen(
            [*unshare, "sh", "-c", _SET_UP, "netns", *argv],
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "the namespaces were not made"
            yield Standing(int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()))
        finally:
            process.kill()  # --kill-child: its only child, the first process, goes too, and the kernel ends the rest
            process.communicate(timeout=20)


def run_module(module: str, **options: object) -> dict[str, object]:
    """Runs `python -m module` in there; its last line on standard output is a JSON object, which is returned."""
    done = run([sys.executable, "-m", module], **options)  # type: ignore[arg-type]
    if done.returncode != 0:
        raise AssertionError(f"{module} ended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert isinstance(result, dict)
    return result
