"""Finds backends by entry point; one that cannot be imported is a fault with its reason, not an end."""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint, entry_points

from backends.api import Backend, BackendError, Fault, HostPaths

GROUP = "botbottle.backends"
VARIABLE = "BOT_BOTTLE_BACKEND"
DEFAULT = "bubblewrap"


def load(
    paths: HostPaths, points: tuple[EntryPoint, ...] | None = None
) -> tuple[tuple[Backend, ...], tuple[Fault, ...]]:
    """All registered backends, the default first, then by name."""
    backends: list[Backend] = []
    faults: list[Fault] = []
    for point in tuple(entry_points(group=GROUP)) if points is None else points:
        try:
            backends.append(point.load()(paths))
        except Exception as error:  # a plug-in may fail in any way
            faults.append(Fault(point.name, f"cannot be loaded: {error}", "reinstall or remove it"))
    return tuple(sorted(backends, key=lambda b: (b.name != DEFAULT, b.name))), tuple(faults)


def choose(backends: tuple[Backend, ...], name: str = "") -> Backend:
    """Argument, else `$BOT_BOTTLE_BACKEND`, else the default. Never falls back to another one than was asked for."""
    wanted = name or os.environ.get(VARIABLE, "")
    for backend in backends:
        if backend.name == (wanted or DEFAULT):
            return backend
    names = ", ".join(b.name for b in backends) or "none"
    source = f" (from ${VARIABLE})" if wanted and not name else ""
    raise BackendError(f"no backend {wanted or DEFAULT!r}{source}", f"backends: {names}")
