"""The live rules of each bottle: what its bundle was told last, on disk, changed whole or not at all under one lock."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backends.api import Backend, BackendError, Preview
from botbottle_tui.host import files
from botbottle_tui.host.lasting import Edit
from sidecar_bundle.shared.config import BundleConfig, ConfigError, dump_config, parse_config

LIVE = "live-config.json"
PENDING = "live-pending.json"
LOCK = "decisions.lock"


@dataclass(frozen=True, slots=True)
class Intent:
    """A change that was begun: the rules before it, the manifest's edit, and of which proposal (or of none) it is."""

    before: BundleConfig
    keep: Edit | None
    id: str
    kind: str


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


@contextlib.contextmanager
def applied(
    folder: Path, backend: Backend, before: BundleConfig, after: BundleConfig, keep: Edit | None, ident: str, kind: str
) -> Iterator[None]:
    """`after` in force, and the manifest written, while the rest is done; whatever fails, all is as it was.

    Meanwhile a file tells of it, so that after a crash somebody else can put back what nobody else knows of.
    """
    if before == after and keep is None:
        yield
        return
    _begin(folder, before, keep, ident, kind)
    written: Edit | None = None
    try:
        if before != after:
            backend.configure(folder.name, after)
            save(folder, after)
        if keep:
            keep.write()
            written = keep
        yield
    except BaseException as error:
        said = error.message if isinstance(error, BackendError) else type(error).__name__
        try:
            left = restore(folder, backend, before, written)
        except BackendError as again:
            text = f"{said}; and the rules that were could not be restored: {again.message}"
            raise BackendError(text, f"stop {folder.name}: its rules are not known") from None
        finish(folder)
        if left:
            raise BackendError(f"{said}; and {left}", "look at the manifest") from None
        raise
    finish(folder)


def unfinished(folder: Path) -> Intent | None:
    """What was begun and not finished; to be asked under the lock. `BackendError` when that cannot be read."""
    try:
        raw = json.loads((folder / PENDING).read_text(encoding="utf-8"))
        keep = raw["keep"] and Edit(Preview(), Path(raw["keep"][0]), raw["keep"][1].encode(), raw["keep"][2].encode())
        return Intent(parse_config(raw["before"]), keep, str(raw["id"]), str(raw["kind"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        text = f"{folder / PENDING} cannot be read: the rules of {folder.name} are not known"
        raise BackendError(text, "stop the bottle and start it anew") from None


def restore(folder: Path, backend: Backend, before: BundleConfig, keep: Edit | None) -> str:
    """The earlier rules in force again, and the manifest as it was; answers what must be looked at by hand.

    `BackendError` when the bundle does not take them.
    """
    backend.configure(folder.name, before)
    save(folder, before)
    try:
        if keep:
            keep.undo()
    except BackendError as error:
        return f"what was to be allowed for good may still be there: {error.message}"
    return ""


def finish(folder: Path) -> None:
    """What was begun is done, or undone."""
    try:
        (folder / PENDING).unlink(missing_ok=True)
    except OSError as error:
        raise BackendError(f"cannot remove {folder / PENDING}: {error.strerror}", "check who owns the folder") from None


def _begin(folder: Path, before: BundleConfig, keep: Edit | None, ident: str, kind: str) -> None:
    kept = [str(keep.path), keep.before.decode(), keep.after.decode()] if keep else None
    intent = {"before": dump_config(before), "keep": kept, "id": ident, "kind": kind}
    files.write(folder / PENDING, json.dumps(intent) + "\n")
