"""Both links of the chain, egress and pipelock's stand-in, as a bundle that is configured."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.e2e.bundle.rig import API, OPEN, TOKEN, Bundle, bundle
from tests.fake_upstream import Upstream
from tests.pipelock.running import standin

Web = tuple[Upstream, ...]


@contextlib.contextmanager
def chain(python: str, pki: Path, memory: Path) -> Iterator[Bundle]:
    """A bundle with both links; its folder for temporary files is `memory`."""
    program = standin(memory, python)
    env = {"BOT_BOTTLE_UPSTREAM_CA": str(pki / "ca.pem"), "BOT_BOTTLE_PIPELOCK": str(program), "TMPDIR": str(memory)}
    with bundle(python, env, daemons="egress,pipelock") as running:
        assert running.ask(op="secrets", values={"EGRESS_TOKEN_0": TOKEN}) == {"ok": True}
        configure(running, OPEN, API, with_listener=True)
        yield running


def configure(
    running: Bundle, *routes: Mapping[str, Any], pipelock: Mapping[str, bool] | None = None, **more: Any
) -> None:
    """Configures both, and waits until both say that it is in force."""
    config = {"slug": "b-1", "routes": list(routes), "daemons": ["egress", "pipelock"], "pipelock": pipelock or {}}
    assert running.ask(op="configure", config=config, **more) == {"ok": True}
    health = running.ask(op="wait", timeout=15)["daemons"]
    assert {name: one["state"] for name, one in health.items()} == {"egress": "ready", "pipelock": "ready"}, running.log


def program_of(running: Bundle) -> int:
    """The pid of the program that the pipelock daemon runs."""
    own = running.pid_of("pipelock")
    return int(Path(f"/proc/{own}/task/{own}/children").read_text().split()[0])


def events(memory: Path, name: str) -> list[dict[str, Any]]:
    """The lines of that event in pipelock's audit log."""
    path = next(memory.glob("pipelock-*/audit.jsonl"))
    return [line for text in path.read_text().splitlines() if (line := json.loads(text))["event"] == name]
