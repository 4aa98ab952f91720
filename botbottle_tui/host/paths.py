"""Where things are for this user, from the environment."""

from __future__ import annotations

import os
from pathlib import Path

from backends.api import BackendError, HostPaths


def host_paths() -> HostPaths:
    """`BOT_BOTTLE_HOME` (default `~/.bot-bottle`), the XDG cache, `BOT_BOTTLE_EXTRA_CA`."""
    try:
        user = Path.home()
    except RuntimeError:
        raise BackendError("no home folder: HOME is not set", "set HOME or BOT_BOTTLE_HOME") from None
    home = os.environ.get("BOT_BOTTLE_HOME")
    cache = os.environ.get("XDG_CACHE_HOME")
    extra = os.environ.get("BOT_BOTTLE_EXTRA_CA")
    base = Path(cache) if cache and Path(cache).is_absolute() else user / ".cache"
    return HostPaths(
        home=Path(home).expanduser().absolute() if home else user / ".bot-bottle",
        cache=base / "bot-bottle",
        extra_ca=Path(extra).expanduser().absolute() if extra else None,
    )


def is_private(folder: Path) -> bool:
    """Whether `folder` is `/`, the operator's home, or above it: no bottle ever gets that."""
    real, user = folder.resolve(), Path.home().resolve()
    return real == Path("/") or real == user or real in user.parents


def work_folder() -> Path:
    """The operator's current folder, by the name they came by (`$PWD` keeps links). `BackendError` when it is gone."""
    named = os.environ.get("PWD", "")
    try:
        if named and Path(named).is_absolute() and Path(named).samefile("."):
            return Path(named)
        return Path.cwd()
    except OSError:
        raise BackendError("the current folder is gone", "cd to one that exists") from None
