"""What a bottle leaves behind, and how it goes: processes by proof, then groups, uids and folders."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from backends import uids
from backends.alive import boot_id, maker_alive
from backends.api import Fault, Leftover
from backends.bubblewrap import limits, proof
from backends.holder import client


def keeper_alive(run: Path) -> bool:
    """Whether the folder's keeper is proved alive."""
    live = proof.load(run)
    return live is not None and live.alive()


def ask_to_stop(run: Path) -> None:
    """The polite way; a keeper that does not hear it is killed by `clear`."""
    with contextlib.suppress(client.ClientError):
        client.request(str(run / proof.HOLDER_SOCKET), {"op": "stop"}, timeout=5.0)


def wait_gone(live: proof.Live | None, timeout: float = 9.0) -> None:
    """Until the processes of that record have ended, at most `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while live is not None and any(p.alive() for p in live.procs) and time.monotonic() < deadline:
        time.sleep(0.01)


def last_words(run: Path) -> str:
    """The last line that the keeper, else the bundle, the dialer or the sandbox, logged."""
    for name in ("keeper.log", "bundle.log", "dialer.log", "sandbox.log"):
        with contextlib.suppress(OSError):
            lines = (run / name).read_text(errors="replace").strip().splitlines()
            if lines:
                return lines[-1][:300]
    return "no reason given"


def clear(run: Path) -> list[str]:
    """Kills what still lives of this bottle, then removes all of it. Answers what could not be removed."""
    live = proof.load(run)
    if live is not None and live.boot_id == boot_id():
        for proc in live.procs:
            if proc.alive():
                with contextlib.suppress(OSError):
                    os.kill(proc.pid, signal.SIGKILL)
        wait_gone(live, 5.0)
    faults = [
        f"process {p.pid} does not end" for p in (live.procs if live else ()) if live and live.alive() and p.alive()
    ]
    deadline = time.monotonic() + 2
    while not limits.remove_groups(run.name):
        if time.monotonic() > deadline:
            faults.append(f"its control group {run.name} is busy")
            break
        time.sleep(0.02)
    for first, token in uids.claims().items() if os.geteuid() == 0 else ():
        if token == str(run):
            uids.release(first)
    shutil.rmtree(run, ignore_errors=True)
    if run.exists():
        faults.append(f"{run} cannot be removed")
    return faults


def find(root: Path) -> tuple[Leftover, ...]:
    """Leftovers below `root`, and groups and uid claims that no folder stands for."""
    out = []
    for run in proof.runs(root):
        live = proof.load(run)
        if live is None:
            if not maker_alive(run):
                out.append(Leftover("bubblewrap", "folder", run.name, "", "a launch that was cut off"))
        elif not live.alive():
            left = [p for p in live.procs if live.boot_id == boot_id() and p.alive()]
            detail = f"{len(left)} processes of a dead bottle" if left else "a dead bottle"
            out.append(Leftover("bubblewrap", "process" if left else "folder", run.name, live.slug, detail))
    if os.geteuid() == 0:
        claimed = uids.claims()
        known = {Path(token).name for token in claimed.values()}
        for group in limits.empty_groups() - known:
            out.append(Leftover("bubblewrap", "cgroup", group, "", "a control group that no bottle stands for"))
        for first, token in claimed.items():
            if not Path(token).exists():
                out.append(Leftover("bubblewrap", "uid", str(first), "", f"claimed by {token}, which is gone"))
    return tuple(out)


def sweep(root: Path, leftovers: Sequence[Leftover]) -> tuple[Fault, ...]:
    """Removes each that is still a leftover now."""
    still = set(find(root))
    faults = []
    for one in leftovers:
        if one not in still:
            continue
        if one.kind == "uid":
            _end_all_of(int(one.ident))
            uids.release(int(one.ident))
        elif one.kind == "cgroup":
            limits.remove_groups(one.ident)
        else:
            faults += [Fault("bubblewrap", message) for message in clear(root / one.ident)]
    return tuple(faults)


def _end_all_of(first: int) -> None:
    """Kills what runs under a claimed pair of uids: they are nobody's but a bottle's."""
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid in (first, first + 1):
                os.kill(int(entry.name), signal.SIGKILL)
