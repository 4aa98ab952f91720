"""A bundle whose rules raise: the real init and egress, with `decide` replaced by a bug. Run by the tests only."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

if __name__ == "__main__":
    import os

    if os.environ.get("BOT_BOTTLE_BROKEN_CHILD"):
        import sidecar_bundle.egress.decide as rules

        def bug(*args: object) -> NoReturn:
            raise RuntimeError("a bug that holds s3cret-value")

        rules.decide = bug
        runpy.run_path(str(ROOT / "sidecar_bundle" / "egress" / "__main__.py"), run_name="__main__")
    else:
        from sidecar_bundle.init import __main__ as init

        os.environ["BOT_BOTTLE_BROKEN_CHILD"] = "1"
        init.DAEMONS["egress"] = str(Path(__file__).resolve())
        sys.exit(init.main())
