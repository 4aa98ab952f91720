"""Process 1 of a bundle: starts its daemons, keeps them running, and answers the control socket."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sidecar_bundle.init.bundle import Bundle
from sidecar_bundle.init.children import say
from sidecar_bundle.init.supervisor import select
from sidecar_bundle.shared import layout

# In start order: a later daemon is one more row.
DAEMONS = {"egress": str(Path(__file__).resolve().parents[1] / "egress" / "__main__.py")}


def main() -> int:
    """Runs until told to stop; the first nonzero exit code of a daemon, else 0."""
    names, unknown = select(os.environ.get(layout.DAEMONS_ENV), list(DAEMONS))
    for name in unknown:
        say(f"unknown daemon {name[:40]!r} ignored (known: {' '.join(DAEMONS)})")
    text = os.environ.get(layout.LIFELINE_ENV)
    try:
        # A core of egress would hold every credential.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        lifeline = int(text) if text else None
        bundle = Bundle(DAEMONS, names, dict(os.environ))
        for key in [k for k in os.environ if k.startswith(layout.TOKEN_PREFIX)]:
            del os.environ[key]
        return bundle.run(os.environ.get(layout.CONTROL_ENV), lifeline)
    except (OSError, ValueError) as error:
        say(f"cannot run: {error}; see {layout.CONTROL_ENV} and {layout.LIFELINE_ENV}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
