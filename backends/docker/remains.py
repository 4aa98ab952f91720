"""What bottles leave on an engine and in the state folder, and how it goes: by this state folder's labels alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
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
    if bottle is not None and bottle.held():
        with contextlib.suppress(OSError):
            os.kill(bottle.holder.pid, signal.SIGTERM)
    try:
        with engine.engine(f"removing {slug}") as api:
            faults += _clear_engine(api, _filter(root, slug))
    except BackendError as error:
        faults.append(error.message)
    if bottle is not None:
        deadline = time.monotonic() + 3
        while bottle.held() and time.monotonic() < deadline:
            time.sleep(0.01)
        if bottle.held():
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


def _clear_engine(api: Any, ours: dict[str, list[str]]) -> list[str]:
    faults = []
    for one in api.containers(all=True, filters=ours):
        gone = _gone(lambda ident=one["Id"]: api.remove_container(ident, force=True, v=True))  # type: ignore[misc]
        faults += [f"container {one['Names'][0]}: {why}" for why in gone]
    for one in api.networks(filters=ours):
        gone = _gone(lambda ident=one["Id"]: api.remove_network(ident))  # type: ignore[misc]
        faults += [f"network {one['Name']}: {why}" for why in gone]
    for one in api.volumes(filters=ours)["Volumes"] or ():
        gone = _gone(lambda ident=one["Name"]: api.remove_volume(ident))  # type: ignore[misc]
        faults += [f"volume {one['Name']}: {why}" for why in gone]
    return faults


def _gone(remove: Callable[[], object]) -> list[str]:
    """Nothing when it is removed, by whomever; else why it is not."""
    import docker

    try:
        remove()
    except docker.errors.NotFound:
        return []
    except docker.errors.APIError as error:
        why = " ".join(str(error.explanation).split())
        return [] if "already in progress" in why else [why]
    return []


def find(root: Path) -> tuple[Leftover, ...]:
    """Leftovers of this state folder. `BackendError` when a bottle has a folder here and no engine answers for it."""
    runs = {run.name: run for run in proof.runs(root)}
    ours = _filter(root)
    try:
        with engine.engine("looking for leftovers", engine.POLL_TIMEOUT) as api:
            known = spec.containers(api.containers(all=True, filters=ours))
            nets = _slugs(api.networks(filters=ours))
            volumes = _slugs(api.volumes(filters=ours)["Volumes"] or ())
    except BackendError:
        if runs:
            raise
        return ()
    out = []
    for slug in sorted({*runs, *known, *nets, *volumes} - {""}):
        run = runs.get(slug)
        launched = run is not None and proof.load(run) is not None
        if run is not None and not launched and maker_alive(run):
            continue
        state = known.get(slug, {})
        if launched and state.get("agent") == state.get("sidecars") == "running":
            continue
        kind = "container" if state else "network" if slug in nets else "volume" if slug in volumes else "folder"
        detail = "a dead bottle" if launched else "a launch that was cut off"
        out.append(Leftover("docker", kind, slug, slug, detail))  # type: ignore[arg-type]
    return tuple(out)


def _slugs(raw: Sequence[Any]) -> set[str]:
    return {(one.get("Labels") or {}).get(spec.PREFIX + "slug", "") for one in raw}


def foreign(root: Path) -> tuple[Leftover, ...]:
    """What the engine has of bottles that are not this state folder's; none where no engine answers."""
    me, anybodys = proof.owner(root), {"label": [f"{spec.PREFIX}slug"]}
    found: dict[tuple[str, str], Leftover] = {}
    try:
        where = engine.endpoint()
        if where.startswith("unix://") and not Path(where.removeprefix("unix://")).exists():
            return ()
        with engine.engine("looking for bottles", engine.POLL_TIMEOUT) as api:
            for kind, raw in (
                ("container", api.containers(all=True, filters=anybodys)),
                ("network", api.networks(filters=anybodys)),
                ("volume", api.volumes(filters=anybodys)["Volumes"] or ()),
            ):
                for one in raw:
                    tags = {key.removeprefix(spec.PREFIX): value for key, value in (one.get("Labels") or {}).items()}
                    home, slug = tags.get("home", ""), tags["slug"]
                    if home != me.home:
                        why = spec.whose(tags, me)
                        left = Leftover("docker", kind, slug, slug, str(one.get("State", "")), why)  # type: ignore[arg-type]
                        found.setdefault((home, slug), left)
    except BackendError:
        return ()
    return tuple(found.values())


def images(root: Path) -> tuple[Leftover, ...]:
    """Images of bottles that this user built on this host, and that no container is made of."""
    out = []
    ours = {"label": [f"{key}={value}" for key, value in spec.image_labels(proof.owner(root)).items()]}
    with engine.engine("looking for images") as api:
        used = {one["ImageID"] for one in api.containers(all=True)}
        for one in api.images(filters=ours):
            if one["Id"] not in used:
                names = [tag for tag in one.get("RepoTags") or () if tag.startswith("bot-bottle-")]
                out += [Leftover("docker", "image", name, "", "of bottles") for name in names or [one["Id"]]]
    return tuple(out)


def sweep(root: Path, leftovers: Sequence[Leftover]) -> tuple[Fault, ...]:
    """Removes each that is still a leftover now."""
    chosen = [one for one in leftovers if one.kind != "image"]
    still = set(find(root)) if chosen else set()
    faults = [message for one in chosen if one in still for message in clear(root, one.ident)]
    if names := [one.ident for one in leftovers if one.kind == "image"]:
        with engine.engine("removing images") as api:
            faults += _remove_images(api, names)
    return tuple(Fault("docker", message) for message in faults)


def _remove_images(api: Any, names: Sequence[str]) -> list[str]:
    # One that others stand on goes only after them.
    while names:
        why = {name: gone[0] for name in names if (gone := _gone(lambda n=name: api.remove_image(n)))}  # type: ignore[misc]
        if len(why) == len(names):
            return [f"image {name}: {reason}" for name, reason in why.items()]
        names = list(why)
    return []
