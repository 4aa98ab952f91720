"""`stop` where the bottle's backend does not answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from backends.api import BackendError, Fault
from botbottle_tui.cli.bottles import _stop


@pytest.mark.parametrize(("recorded", "says"), [("docker", "cannot be stopped now: no engine"), ("", "no bottle a-1")])
def test_a_backend_that_is_down_hides_no_bottle(recorded: str, says: str) -> None:
    record = SimpleNamespace(backend=recorded) if recorded else None
    host: Any = SimpleNamespace(
        enumerate=lambda: ((), (Fault("docker", "no engine", "start it"),)),
        records=SimpleNamespace(load=lambda slug: record),
    )
    with pytest.raises(BackendError, match=says):
        _stop(host, "a-1", yes=True, drop=False)
