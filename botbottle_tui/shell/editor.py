"""The operator's editor on a text: in a private file that is gone afterwards."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from backends.api import BackendError

MOST = 1 << 20


def edited(text: str, suffix: str, env: Mapping[str, str], run: Callable[[Sequence[str]], int]) -> str:
    """What was saved. `VISUAL`, else `EDITOR`, else vi; `BackendError` when it ends with anything but 0."""
    command = env.get("VISUAL") or env.get("EDITOR") or "vi"
    try:
        argv = shlex.split(command)
    except ValueError:
        raise BackendError(f"EDITOR cannot be read as a command: {command}", "export EDITOR=vi") from None
    try:
        with tempfile.TemporaryDirectory(prefix="bottle-edit-") as folder:
            path = Path(folder) / f"edit{suffix}"
            path.write_text(text, encoding="utf-8")
            status = run((*argv, str(path)))
            if status:
                raise BackendError(f"{command} ended with status {status}", "nothing was changed")
            saved = path.read_bytes()
    except OSError as error:
        raise BackendError(f"the text cannot be edited: {error.strerror}", "check TMPDIR") from None
    if len(saved) > MOST:
        raise BackendError("what was saved is larger than 1 MiB", "nothing was changed")
    return saved.decode("utf-8", "replace")
