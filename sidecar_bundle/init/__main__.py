"""Process 1 of a bundle: starts its daemons, keeps them running, and answers the control socket."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sidecar_bundle.init.bundle import Bundle
from sidecar_bundle.init.children import say
from sidecar_bundle.init.supervisor import select
from sidecar_bundle.shared import layout

PACKAGES = Path(__file__).resolve().parents[1]
# In start order.
DAEMONS = {name: str(PACKAGES / name.replace("-", "") / "__main__.py") for name in layout.DAEMONS}
# What a daemon cannot run without: the variable that names it.
NEEDS = {layout.PIPELOCK: layout.PIPELOCK_ENV}


def commands(names: tuple[str, ...], env: Mapping[str, str]) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """The command of each daemon that can run, and a line for each that cannot."""
    found: dict[str, tuple[str, ...]] = {}
    missing: list[str] = []
    for name in names:
        variable = NEEDS.get(name)
        if variable and not os.access(env.get(variable, ""), os.X_OK):
            missing.append(f"{name} is not started: {variable} names no program")
            continue
        python = env.get(layout.SUPERVISE_PYTHON_ENV) if name == layout.SUPERVISE else None
        found[name] = (python or sys.executable, "-I", DAEMONS[name])
    return found, tuple(missing)


def main() -> int:
    """Runs until told to stop; the first nonzero exit code of a daemon, else 0."""
    names, unknown = select(os.environ.get(layout.DAEMONS_ENV), list(DAEMONS))
    for name in unknown:
        say(f"unknown daemon {name[:40]!r} ignored (known: {' '.join(DAEMONS)})")
    found, missing = commands(names, os.environ)
    for line in missing:
        say(line)
    text = os.environ.get(layout.LIFELINE_ENV)
    try:
        # A core of egress would hold every credential.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        lifeline = int(text) if text else None
        bundle = Bundle(found, dict(os.environ))
        for key in [k for k in os.environ if k.startswith(layout.TOKEN_PREFIX)]:
            del os.environ[key]
        return bundle.run(os.environ.get(layout.CONTROL_ENV), lifeline)
    except (OSError, ValueError) as error:
        say(f"cannot run: {error}; see {layout.CONTROL_ENV} and {layout.LIFELINE_ENV}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
