"""The file with a container's rules: read whole, checked, or refused in one line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sidecar_bundle.init.control import Refused, check_config


def read(path: str, slug: str, daemons: Sequence[str]) -> dict[str, Any] | None:
    """The configuration in the file, with `daemons` unless it names others; None without a file; raises `Refused`."""
    try:
        raw = json.loads(Path(path).read_bytes())
        return check_config({"daemons": list(daemons), **raw, "slug": slug})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, Refused) as error:
        text = str(error).splitlines()
        raise Refused(f"cannot use {path}: {text[0] if text else type(error).__name__}") from None
