"""The engine behind the CLI's current context: found, asked, and its failures told in one line each."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import struct
import tarfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from backends.api import BackendError, ExecResult, GeneratedFile

START = "start the Docker engine (systemctl start docker), or choose another: docker context use NAME"
TIMEOUT = 60  # seconds for one request
POLL_TIMEOUT = 4


def endpoint() -> str:
    """The address of the engine: `DOCKER_HOST`, else that of the CLI's current context."""
    if named := os.environ.get("DOCKER_HOST"):
        return named
    from docker.context import ContextAPI

    try:
        context = ContextAPI.get_current_context()
    except Exception as error:  # whatever a broken file in ~/.docker makes of it
        raise BackendError(f"the Docker context cannot be read: {error}", "docker context ls") from None
    return str(context.Host) if context is not None and context.Host else "unix:///var/run/docker.sock"


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
        client = docker.APIClient(base_url=where, timeout=timeout)
        yield client
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise _told(doing, where, error) from None
    finally:
        if client is not None:
            client.close()


def _told(doing: str, where: str, error: Exception) -> BackendError:
    text = " ".join(str(getattr(error, "explanation", None) or error).split())
    lower = text.lower()
    if ("permission denied" in lower and "connect" in lower) or "permissionerror" in lower:
        return BackendError(f"{doing}: no permission on {where}", "join the group docker, or use rootless Docker")
    if any(word in lower for word in ("filenotfounderror", "connection refused", "connectionrefused", "aborted")):
        return BackendError(f"{doing}: no Docker engine answers at {where}", START)
    if "timed out" in lower or "timeout" in lower:
        return BackendError(f"{doing}: the Docker engine does not answer in time", "systemctl status docker")
    if "no space left" in lower:
        return BackendError(f"{doing}: the engine's disk is full", "docker system df shows what fills it")
    return BackendError(f"{doing}: {text[:300]}", "bottle-dash doctor")


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
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in files:
            info = tarfile.TarInfo(file.path.lstrip("/"))
            info.size, info.mode, info.mtime, info.uid, info.gid = (
                len(file.content),
                file.mode,
                int(time.time()),
                uid,
                uid,
            )
            tar.addfile(info, io.BytesIO(file.content))
        for inside, folder in folders:
            tar.add(folder, inside.lstrip("/"))
    argv = ["tar", "-xpf", "-", "-C", "/", "--no-same-owner", "--no-overwrite-dir"]
    done = run(api, container, argv, user=f"{uid}:{uid}", data=buffer.getvalue())
    if done.status:
        last = done.stderr.strip().splitlines()[-1:] or [f"tar ended with {done.status}"]
        raise BackendError(f"cannot copy into {container}: {last[0]}")
