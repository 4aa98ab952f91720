"""The optional programs of a bundle, as the operator has them: named by a variable, else found on PATH."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from backends.api import BackendError
from sidecar_bundle.shared import layout

VARIABLES = {"pipelock": layout.PIPELOCK_ENV, "gitleaks": layout.GITLEAKS_ENV}


def find() -> dict[str, str]:
    """Name to absolute path, without those that are not there; a variable that names no program is `BackendError`."""
    out = {}
    for name, variable in VARIABLES.items():
        named = os.environ.get(variable, "")
        found = shutil.which(str(Path(named).expanduser().absolute()) if named else name)
        if found:
            out[name] = str(Path(found).resolve())
        elif named:
            raise BackendError(f"{variable} names no program: {named}", "name an executable file, or unset it")
    return out
