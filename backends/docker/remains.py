"""What bottles leave on an engine and in the state folder, and how it goes: by this state folder's labels alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backends import uids
from backends.alive import maker_alive
from backends.api import BackendError, Fault, Leftover
from backends.docker import engine, proof, spec


def _filter(root: Path, slug: str = "") -> dict[str, list[str]]:
    labels = [f"{spec.PREFIX}home={proof.owner(root).home}"]
    return {"label": [*labels, f"{spec.PREFIX}slug={slug}"] if slug else labels}


def states(root: Path) -> dict[str, dict[str, str]]:
    """Slug to role to the state of its container, for every bottle of this state folder: one request."""
    with engine.engine("listing bottles", engine.POLL_TIMEOUT) as api:
        return spec.containers(api.containers(all=True, filters=_filter(root)))


def clear(root: Path, slug: str) -> list[str]:
    """Ends and removes all of one bottle. Answers what could not be removed."""
    run = root / slug
    bottle = proof.load(run)
    faults: list[str] = []
    if bottle is not None and bottle.holder.alive():
        with contextlib.suppress(OSError):
            os.kill(bottle.holder.pid, signal.SIGTERM)
    try:
        with engine.engine(f"removing {slug}") as api:
            faults += _clear_engine(api, root, slug)
    except BackendError as error:
        faults.append(error.message)
    if bottle is not None:
        deadline = time.monotonic() + 3
        while bottle.holder.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        if bottle.holder.alive():
            with contextlib.suppress(OSError):
                os.kill(bottle.holder.pid, signal.SIGKILL)
    if not faults:
        for first, token in uids.claims().items() if os.geteuid() == 0 else ():
            if token == str(run):
                uids.release(first)
        shutil.rmtree(run, ignore_errors=True)
        if run.exists():
            faults.append(f"{run} cannot be removed")
    return faults


def _clear_engine(api: Any, root: Path, slug: str) -> list[str]:
    import docker

    found = api.containers(all=True, filters=_filter(root, slug))
    faults = []
    for one in found:
        try:
            api.remove_container(one["Id"], force=True, v=True)
        except docker.errors.NotFound:
            continue
        except docker.errors.APIError as error:
            if "already in progress" not in str(error):
                faults.append(f"container {one['Names'][0]}: {error.explanation}")
    for one in api.networks(filters=_filter(root, slug)):
        try:
            api.remove_network(one["Id"])
        except docker.errors.NotFound:
            continue
        except docker.errors.APIError as error:
            faults.append(f"network {one['Name']}: {error.explanation}")
    return faults


def find(root: Path) -> tuple[Leftover, ...]:
    """Leftovers of this state folder. An engine that does not answer hides nothing: what stands in folders is told."""
    runs = {run.name: run for run in proof.runs(root)}
    try:
        with engine.engine("looking for leftovers", engine.POLL_TIMEOUT) as api:
            known = spec.containers(api.containers(all=True, filters=_filter(root)))
            nets = {
                (one.get("Labels") or {}).get(spec.PREFIX + "slug", "") for one in api.networks(filters=_filter(root))
            }
    except BackendError:
        return ()
    out = []
    for slug in sorted({*runs, *known, *nets} - {""}):
        run = runs.get(slug)
        if run is not None and (maker_alive(run) and proof.load(run) is None):
            continue
        state = known.get(slug, {})
        if run is not None and proof.load(run) is not None and state.get("agent") == state.get("sidecars") == "running":
            continue
        kind = "container" if state else "network" if slug in nets else "folder"
        detail = "a launch that was cut off" if run is None or proof.load(run) is None else "a dead bottle"
        out.append(Leftover("docker", kind, slug, slug, detail))  # type: ignore[arg-type]
    return tuple(out)


def sweep(root: Path, leftovers: Sequence[Leftover]) -> tuple[Fault, ...]:
    """Removes each that is still a leftover now."""
    still = set(find(root))
    faults = []
    for one in leftovers:
        if one in still:
            faults += [Fault("docker", message) for message in clear(root, one.ident)]
    return tuple(faults)
