"""The private keys of git remotes on the host: what a launch must know of them beforehand, and what the gate gets."""

from __future__ import annotations

import base64
import os
import re
import socket
import stat
import struct
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from backends.api import BackendError, Check, Identity, LaunchPlan
from backends.holder import socketpath
from backends.process import Runner

MAX_KEY = 64 * 1024
_PUBLIC = re.compile(r"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/]{16,}={0,2}")
_LIST, _IDENTITIES = 11, 12
_AGENT_SECONDS = 3.0
_LENDERS = Runner()


@dataclass(frozen=True, slots=True)
class Key:
    """An identity file as read. `public` is its public line if it could be found out, `text` empty if it is locked."""

    text: str
    public: str = ""

    @property
    def locked(self) -> bool:
        """Whether it has a passphrase."""
        return not self.text

    def __repr__(self) -> str:
        return f"Key(locked={self.locked})"


def checks(plan: LaunchPlan, environ: Mapping[str, str]) -> tuple[Check, ...]:
    """Preflight lines about the plan's remotes: keys that cannot be used, host keys that are not pinned."""
    out = []
    offered: tuple[str, ...] | None = None
    for identity in plan.identities:
        name = f"git remote {identity.remote}"
        try:
            key = read_key(identity)
        except BackendError as error:
            out.append(Check(name, False, error.message, error.hint))
            continue
        if key.locked:
            offered = _offered(environ.get("SSH_AUTH_SOCK", "")) if offered is None else offered
            if key.public.split()[1] not in offered:
                detail = f"{identity.file} has a passphrase, and no SSH agent that is reached here has the key"
                out.append(Check(name, False, detail, f"ssh-add {identity.file}"))
    for remote in plan.remotes:
        if not remote.known_host_key:
            pin = f"bottle-dash pin {plan.bottles[0]} {remote.name}"
            detail = f"no KnownHostKey: nothing is fetched or forwarded until {pin}"
            out.append(Check(f"git remote {remote.name}", True, detail, pin, warn=True))
    return tuple(out)


def load(plan: LaunchPlan, environ: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """For the git-gate: by remote a private key, or the public line of one with a passphrase; and the agent for those.

    The second is the socket of the operator's SSH agent, "" when no key needs it. Raises `BackendError`.
    """
    keys: dict[str, str] = {}
    agent = ""
    for identity in plan.identities:
        key = read_key(identity)
        keys[identity.remote] = key.text or key.public
        if key.locked:
            agent = environ.get("SSH_AUTH_SOCK", "")
            if not agent:
                raise BackendError(
                    f"{identity.file} has a passphrase, and there is no SSH agent", f"ssh-add {identity.file}"
                )
    return keys, agent


def lend(agent: str, keys: Iterable[str]) -> socket.socket:
    """A line to the SSH agent at `agent` on which only those of `keys` that are public lines can be seen and used.

    Behind it is a process of the host's, which ends when the line's other holders have. Raises `BackendError`.
    """
    public = sorted({key.split()[1] for key in keys if _PUBLIC.match(key)})
    try:
        socketpath.connect(agent).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise BackendError(
            f"the SSH agent at {agent} does not answer: {reason}", "start it, or name a key file"
        ) from None
    line, theirs = socket.socketpair()
    _LENDERS.reap()
    try:
        with theirs:
            argv = (sys.executable, "-I", "-m", "sidecar_bundle.gitgate.lender", agent, *public)
            _LENDERS.spawn_detached(argv, stdin_socket=theirs, log=Path(os.devnull))
    except BackendError:
        line.close()
        raise
    return line


def read_key(identity: Identity) -> Key:
    """The key in an identity file. `BackendError` for one that the gate could not use."""
    path = Path(identity.file).expanduser()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            data = file.read(MAX_KEY + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        hint = f"make it, or correct IdentityFile of {identity.remote} in the bottle's manifest"
        raise BackendError(f"IdentityFile {identity.file}: {error.strerror}", hint) from None
    if status.st_mode & 0o077:
        raise BackendError(f"{identity.file} can be read by others", f"chmod 600 {identity.file}")
    text = data.decode("utf-8", "replace")
    kind = re.search(r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----", text)
    if not kind or len(data) > MAX_KEY:
        hint = "name the private key, not the .pub file" if _PUBLIC.match(text) else "ssh-keygen makes one"
        raise BackendError(f"{identity.file} holds no private key", hint)
    if kind[1] == "OPENSSH ":
        locked, public = _openssh(text, identity)
    else:
        locked, public = kind[1] == "ENCRYPTED " or "Proc-Type: 4,ENCRYPTED" in text, ""
    if not locked:
        return Key(text)
    public = public or _public_file(path)
    if not public:
        hint = f"ssh-keygen -y -f {identity.file} > {identity.file}.pub"
        raise BackendError(f"{identity.file} has a passphrase, and its public key {identity.file}.pub is missing", hint)
    return Key("", public)


def _openssh(text: str, identity: Identity) -> tuple[bool, str]:
    """Whether a key in OpenSSH's format is encrypted, and its public line, which never is."""
    body = text.split("-----BEGIN OPENSSH PRIVATE KEY-----", 1)[1].split("-----END", 1)[0]
    try:
        data = base64.b64decode("".join(body.split()), validate=True)
        if not data.startswith(b"openssh-key-v1\0"):
            raise ValueError
        cipher, rest = _string(data[15:])
        _kdf, rest = _string(rest)
        _options, rest = _string(rest)
        public, _ = _string(rest[4:])
        kind, _ = _string(public)
        return cipher != b"none", f"{kind.decode('ascii')} {base64.b64encode(public).decode()}"
    except (ValueError, struct.error):
        raise BackendError(
            f"{identity.file} is damaged: no whole OpenSSH key", "restore it, or make a new one"
        ) from None


def _string(data: bytes) -> tuple[bytes, bytes]:
    (size,) = struct.unpack_from(">I", data)
    if size > len(data) - 4:
        raise ValueError("cut off")
    return data[4 : 4 + size], data[4 + size :]


def _public_file(path: Path) -> str:
    try:
        with path.with_name(path.name + ".pub").open(encoding="ascii", errors="replace") as file:
            found = _PUBLIC.match(file.read(MAX_KEY))
    except OSError:
        return ""
    return found[0] if found else ""


def _offered(path: str) -> tuple[str, ...]:
    """The public keys (base64) that the SSH agent at `path` has; none when it does not answer."""
    if not path:
        return ()
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_AGENT_SECONDS)
            line.connect(path)
            line.sendall(struct.pack(">IB", 1, _LIST))
            with line.makefile("rb") as answer:
                (size,) = struct.unpack(">I", answer.read(4))
                data = answer.read(min(size, 1 << 20))
        if data[:1] != bytes([_IDENTITIES]):
            return ()
        (count,), rest, out = struct.unpack_from(">I", data, 1), data[5:], []
        for _ in range(min(count, 1000)):
            blob, rest = _string(rest)
            _comment, rest = _string(rest)
            out.append(base64.b64encode(blob).decode())
        return tuple(out)
    except (OSError, ValueError, struct.error):
        return ()
