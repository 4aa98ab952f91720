"""The host's side of a sidecar bundle: what it is configured with, and requests on its control socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backends.api import BackendError, LaunchPlan
from backends.holder import socketpath
from sidecar_bundle.shared.routes import dump_routes

READY_TIMEOUT = 20.0  # seconds for a cold start on a slow machine


def config(plan: LaunchPlan) -> dict[str, Any]:
    """What egress is told of a bottle; names of secrets only."""
    return {"slug": plan.slug, **dump_routes(plan.routes)}


def request(path: Path, message: Mapping[str, Any], fds: Sequence[int] = (), timeout: float = 10.0) -> dict[str, Any]:
    """One request to the bundle behind `path`. Raises `OSError` when nobody answers, `BackendError` on a refusal."""
    with socketpath.connect(str(path)) as sock:
        sock.settimeout(timeout)
        socket.send_fds(sock, [json.dumps(message).encode() + b"\n"], list(fds))
        with sock.makefile("r", encoding="utf-8") as reader:
            line = reader.readline()
    if not line:
        raise ConnectionResetError("the bundle closed the connection")
    answer: dict[str, Any] = json.loads(line)
    if not answer.get("ok"):
        raise BackendError(f"the sidecar bundle refused: {answer.get('error', 'no reason given')}")
    return answer


def ca_of(path: Path) -> str:
    """The certificate (PEM) of the bottle's own CA."""
    return str(request(path, {"op": "hello"})["ca"])


def supply(path: Path, tokens: Mapping[str, str]) -> None:
    """Hands credentials to a running bundle: slot -> value, over its private socket only."""
    if tokens:
        request(path, {"op": "secrets", "values": dict(tokens)})


def wait_ready(path: Path, timeout: float = READY_TIMEOUT) -> None:
    """Returns when every configured daemon is ready; `BackendError` names the one that is not."""
    answer = request(path, {"op": "wait", "timeout": timeout}, timeout=timeout + 5)
    for name, health in answer["daemons"].items():
        if health["state"] not in ("ready", "needs-credentials"):
            raise BackendError(
                f"{name} is not ready after {timeout:.0f} s: {health['state']} {health.get('detail', '')}".rstrip(),
                "bottle-dash doctor",
            )
