"""The host's side of a sidecar bundle: requests on its control socket, and what they answer as values."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backends import gitkeys
from backends.api import BackendError, Health, Values
from backends.holder import socketpath
from sidecar_bundle.shared import layout, wire
from sidecar_bundle.shared.config import BundleConfig, dump_config

READY_TIMEOUT = 20.0  # seconds for a cold start on a slow machine
HEALTH_TIMEOUT = 0.3  # seconds; a row must not wait for a bundle that hangs
# Without these nothing gets out; the others' sockets keep callers waiting until they are up.
AWAITED = (layout.EGRESS, layout.PIPELOCK)


def request(path: Path, message: Mapping[str, Any], fds: Sequence[int] = (), timeout: float = 10.0) -> dict[str, Any]:
    """One request to the bundle behind `path`. Raises `OSError` when nobody answers, `BackendError` on a refusal."""
    deadline = time.monotonic() + timeout
    decoder, answers = wire.Decoder(), list[dict[str, Any]]()
    with socketpath.connect(str(path), timeout) as sock:
        wire.send(sock, message, fds)
        while not answers:
            # For the whole answer: a bundle that is not sound may send it one byte at a time, or without an end.
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            data = sock.recv(65536)
            if not data:
                raise ConnectionResetError("the bundle closed the connection")
            try:
                answers = decoder.feed(data)
            except wire.WireError as error:
                raise ConnectionAbortedError(f"the bundle's answer cannot be read: {error}") from None
    answer = answers[0]
    if not answer.get("ok"):
        raise BackendError(f"the sidecar bundle refused: {answer.get('error', 'no reason given')}")
    return answer


def ca_of(path: Path) -> str:
    """The certificate (PEM) of the bottle's own CA."""
    return str(request(path, {"op": "hello"})["ca"])


def configure(path: Path, config: BundleConfig) -> None:
    """New rules for a running bundle; returns when the daemons that decide have taken them."""
    request(path, {"op": "configure", "config": dump_config(config)})
    wait_ready(path, config.daemons)


def supply(path: Path, values: Values) -> None:
    """Hands secrets to a running bundle, over its private socket only, and a line to some keys of the SSH agent."""
    message = {"values": dict(values.tokens), "protect": dict(values.protect), "keys": dict(values.keys)}
    message = {key: given for key, given in message.items() if given}
    if not message and not values.agent:
        return
    with contextlib.ExitStack() as stack:
        fds = [stack.enter_context(gitkeys.lend(values.agent, values.keys.values())).fileno()] if values.agent else []
        request(path, {"op": "secrets", **message}, fds)


def wait_ready(path: Path, daemons: Sequence[str], timeout: float = READY_TIMEOUT) -> None:
    """Returns when those of `daemons` that let anything out are ready; `BackendError` names the one that is not."""
    names = [name for name in AWAITED if name in daemons]
    answer = request(path, {"op": "wait", "timeout": timeout, "daemons": names}, timeout=timeout + 5)
    for one in _health(answer):
        if one.daemon in names and one.state not in ("ready", "needs-credentials"):
            raise BackendError(
                f"{one.daemon} is not ready after {timeout:.0f} s: {one.state} {one.detail}".rstrip(),
                "bottle-dash doctor",
            )


def health(path: Path, timeout: float = HEALTH_TIMEOUT) -> tuple[Health, ...]:
    """Each daemon's health; a row `bundle` that says so when nobody answers in time. Never raises."""
    try:
        return _health(request(path, {"op": "health"}, timeout=timeout))
    except (OSError, BackendError):
        return (Health("bundle", "dead", "no answer"),)


def _health(answer: Mapping[str, Any]) -> tuple[Health, ...]:
    """From an answer that is not to be trusted: of the known daemons only, each of its words bounded."""
    daemons = answer.get("daemons")
    if not isinstance(daemons, Mapping):
        return ()
    out = []
    for name in layout.DAEMONS:
        raw = daemons.get(name)
        if isinstance(raw, Mapping):
            restarts = raw.get("restarts")
            count = restarts if isinstance(restarts, int) else 0
            out.append(Health(name, str(raw.get("state", ""))[:40], str(raw.get("detail", ""))[:300], count))
    return tuple(out)
