"""The operator's folders as a bottle gets them: what stays read-only, and who owns a copy."""

from __future__ import annotations

import os
from pathlib import Path

from backends.api import BackendError


def protected(workspace: Path) -> list[str]:
    """What of a bound folder stays read-only: its `.git`, whole, since the host's git obeys much of what stands there.

    A link in its place is refused: nobody knows where it leads tomorrow.
    """
    git = workspace / ".git"
    if git.is_symlink():
        raise BackendError(f"{git} is a link, which a bound workspace must not have", "use a copy, or make it a folder")
    return [str(git)] if git.exists() else []


def give_tree(folder: Path, uid: int) -> None:
    """The whole tree to `uid`, links themselves and not what they point at."""
    os.lchown(folder, uid, uid)
    for base, folders, names in os.walk(folder):
        for name in (*folders, *names):
            os.lchown(os.path.join(base, name), uid, uid)  # noqa: PTH118 - a hot loop over many files
