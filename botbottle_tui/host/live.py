"""The live rules of each bottle on disk: what its bundle was told last, read and replaced under one lock."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from backends.api import BackendError
from botbottle_tui.host import files
from sidecar_bundle.shared.config import BundleConfig, ConfigError, dump_config, parse_config

LIVE = "live-config.json"
LOCK = "decisions.lock"


def save(folder: Path, config: BundleConfig) -> None:
    """Writes the configuration into a bottle's state folder."""
    files.write(folder / LIVE, json.dumps(dump_config(config), indent=1) + "\n")


def load(folder: Path) -> BundleConfig:
    """The configuration that the bottle's bundle has; `BackendError` when nobody knows."""
    try:
        return parse_config(json.loads((folder / LIVE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BackendError(
            f"the live rules of {folder.name} are not known", "it is gone, or an older version started it"
        ) from None
    except (OSError, ValueError) as error:
        why = str(error) if isinstance(error, ConfigError) else "cannot be read"
        raise BackendError(f"{folder / LIVE}: {why}", "stop the bottle and start it anew") from None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One decision about a bottle at a time, whichever process makes it."""
    try:
        fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise BackendError(f"cannot lock {folder.name}: {error.strerror}", "bottle-dash list active") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
