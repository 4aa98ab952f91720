"""The engine behind the CLI's current context: found, asked, and its failures told in one line each."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from backends import provision
from backends.api import BackendError, ExecResult, GeneratedFile

START = "start the Docker engine (systemctl start docker), or choose another: docker context use NAME"
TIMEOUT = 60  # seconds for one request
POLL_TIMEOUT = 4


_versions: dict[str, str] = {}  # of an engine's interface, by its address: asked for once


def endpoint() -> str:
    """The address of the engine: `DOCKER_HOST`, else that of the CLI's current context; never one in place of it."""
    if named := os.environ.get("DOCKER_HOST"):
        return named
    from docker.context import ContextAPI

    folder = Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser()
    try:
        name = os.environ.get("DOCKER_CONTEXT") or _configured(folder / "config.json")
        context = ContextAPI.get_context(name) if name else ContextAPI.get_current_context()
        address = context.Host if context is not None else ""
    except Exception as error:  # whatever a broken file in ~/.docker makes of it
        text = " ".join(str(error).split())[:200]
        raise BackendError(f"the Docker context cannot be read: {text}", f"docker context ls; see {folder}") from None
    if name and context is None:
        raise BackendError(f"there is no Docker context {name!r}", "docker context ls; docker context use NAME")
    return str(address or "unix:///var/run/docker.sock")


def _configured(path: Path) -> str:
    """The current context by the CLI's configuration, "" where none is named. The SDK would pass over a broken file."""
    if not path.exists():
        return ""
    try:
        raw = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: it is no JSON object")
    return str(raw.get("currentContext") or "")


@contextlib.contextmanager
def engine(doing: str, timeout: int = TIMEOUT) -> Iterator[Any]:
    """A client for one task; what goes wrong is a `BackendError` that says while doing what."""
    # Imported here: it costs a quarter of a second that no other backend needs.
    import docker
    import requests

    where = endpoint()
    if not where.startswith("unix://"):
        fix = "unset DOCKER_HOST" if os.environ.get("DOCKER_HOST") else "docker context use default"
        raise BackendError(f"the Docker engine at {where} is not on this machine", fix)
    client = None
    try:
        client = docker.APIClient(base_url=where, timeout=timeout, version=_versions.get(where))
        _versions[where] = client.api_version
        yield client
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        _versions.pop(where, None)
        raise _told(doing, where, error) from None
    finally:
        if client is not None:
            client.close()


# Words of a failure, what is said of it ("": its own words), and the way out.
_TOLD = (
    (
        ("filenotfounderror", "connection refused", "connectionrefused", "aborted"),
        "no Docker engine answers at {}",
        START,
    ),
    (("timed out", "timeout"), "the Docker engine does not answer in time", "systemctl status docker"),
    (("no space left",), "the engine's disk is full", "docker system df shows what fills it"),
    (("already in use", "already exists"), "", "start it again: it gets another name"),
    (("no such image",), "", "start it again: the image is built then"),
)


def _told(doing: str, where: str, error: Exception) -> BackendError:
    text = " ".join(str(getattr(error, "explanation", None) or error).split())
    lower = text.lower()
    if ("permission denied" in lower and "connect" in lower) or "permissionerror" in lower:
        return BackendError(f"{doing}: no permission on {where}", "join the group docker")
    for words, said, hint in _TOLD:
        if any(word in lower for word in words):
            return BackendError(f"{doing}: {said.format(where) or text[:300]}", hint)
    return BackendError(f"{doing}: {text[:300]}", "bottle-dash doctor")


def unproven(version: Mapping[str, Any], info: Mapping[str, Any]) -> str:
    """What is said of an engine of a kind that bottles have not been seen to be safe on; "" of others."""
    names = [str(one.get("Name", "")) for one in version.get("Components") or ()]
    kind = "Podman" if any("podman" in name.lower() for name in names) else ""
    if not kind and any("rootless" in str(option) for option in info.get("SecurityOptions") or ()):
        kind = "rootless Docker"
    return f"{kind} is not supported yet: the contract suite has not been seen green there" if kind else ""


def missing(error: Exception) -> bool:
    """Whether the engine says that there is no such thing."""
    import docker

    return isinstance(error, docker.errors.NotFound)


def run(
    api: Any,
    container: str,
    argv: Sequence[str],
    *,
    user: str,
    data: bytes | Iterable[bytes] = b"",
    timeout: float = TIMEOUT,
) -> ExecResult:
    """A command in a running container, `data` on its standard input, to its end."""
    ident = api.exec_create(container, list(argv), stdin=True, stdout=True, stderr=True, user=user)["Id"]
    stream = api.exec_start(ident, socket=True)
    raw: socket.socket = getattr(stream, "_sock", stream)
    raw.settimeout(timeout)
    out = {1: bytearray(), 2: bytearray()}
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for chunk in [data] if isinstance(data, bytes) else data:
                raw.sendall(chunk)
            raw.shutdown(socket.SHUT_WR)
        reader = raw.makefile("rb")
        while len(head := reader.read(8)) == 8:
            kind, size = struct.unpack(">BxxxL", head)
            out.setdefault(kind, bytearray()).extend(reader.read(size))
        reader.close()
    except TimeoutError:
        raise BackendError(f"{argv[0]} in {container} did not end within {timeout:g} s") from None
    finally:
        raw.close()
        stream.close()
    said = [bytes(out[kind]).decode(errors="replace") for kind in (1, 2)]
    return ExecResult(exit_status(api, ident), *said)


def exit_status(api: Any, ident: str) -> int:
    """That of an exec whose output has ended, which is not the same event."""
    deadline = time.monotonic() + 5
    while (state := api.exec_inspect(ident))["Running"] and time.monotonic() < deadline:
        time.sleep(0.01)
    return -1 if state["ExitCode"] is None else int(state["ExitCode"])


def copy(
    api: Any, container: str, files: Sequence[GeneratedFile], *, uid: int, folders: Sequence[tuple[str, Path]] = ()
) -> None:
    """Files, and whole host `folders` as (path inside, folder), into a running container: a tar that is unpacked there.

    The engine itself puts nothing into a tmpfs, nor anything below a read-only root.
    """
    data = provision.packed(files, folders)
    done = run(api, container, provision.UNPACK, user=f"{uid}:{uid}", data=data)
    if done.status:
        last = done.stderr.strip().splitlines()[-1:] or [f"tar ended with {done.status}"]
        raise BackendError(f"cannot copy into {container}: {last[0]}")
