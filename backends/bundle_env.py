"""The bundle's own Python environments: built once from hashed locks, shared by every bottle, found by their keys."""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from backends.api import BackendError, Progress
from backends.process import Runner

LOCK = Path(__file__).resolve().parent.parent / "sidecar_bundle" / "requirements.lock"
IMPORTS = ("mitmproxy.addons.proxyserver", "cryptography.x509", "hyperscan")
SUPERVISE_LOCK = LOCK.parent / "supervise" / "requirements.lock"
SUPERVISE_IMPORTS = ("mcp.server.streamable_http_manager", "uvicorn")
NEEDS_BYTES = 400 * 1024 * 1024
KEEP = 4  # two of each kind
UNUSED_SECONDS = 30 * 86400
BUILD_SECONDS = 1800.0

_FULL_BYTES = 16 * 1024 * 1024
_STAMP = "complete"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")
_SYSTEM_CAS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class BundleEnv:
    """The environment below `cache` that belongs to this lock, this Python and this platform.

    `extra_ca` (PEM) is trusted besides the system's certificates when packages are fetched. `imports` is what a
    finished environment must be able to import; `needs` the free bytes without which a build does not begin; `name`
    what its lines of progress say.
    """

    def __init__(
        self,
        cache: Path,
        extra_ca: Path | None = None,
        *,
        lock: Path = LOCK,
        imports: Sequence[str] = IMPORTS,
        needs: int = NEEDS_BYTES,
        runner: Runner | None = None,
        name: str = "bundle environment",
    ) -> None:
        self._folder = cache / "bundle"
        self._extra_ca = extra_ca
        self._lock = lock
        self._imports = tuple(imports)
        self._needs = needs
        self._runner = runner or Runner()
        self._name = name

    def key(self) -> str:
        """16 hex digits that change with the lock, the Python and the platform."""
        try:
            text = self._lock.read_bytes()
        except OSError as e:
            raise BackendError(f"{self._lock}: {e.strerror}", "install bot-bottle again") from None
        facts = (sys.version, sys.platform, os.uname().machine, sys.base_prefix)
        return hashlib.sha256(text + "\0".join(facts).encode()).hexdigest()[:16]

    def path(self) -> Path:
        """Where the environment is, or will be."""
        return self._folder / self.key()

    def python(self) -> Path:
        """The environment's Python. `BackendError` when it is not built (or only half)."""
        path = self.path()
        python = path / "bin" / "python"
        if not (path / _STAMP).is_file() or not os.access(python, os.X_OK):
            raise BackendError("the bundle's environment is not built", "bottle-dash setup")
        with contextlib.suppress(OSError):
            os.utime(path / _STAMP)  # Pruning goes by the last use.
        return python

    def build(self, progress: Progress) -> Path:
        """Builds the environment unless it is there, and answers its Python; a line of progress for each step.

        Of several builders at once, one builds and the others wait and use it. A failed build leaves nothing.
        """
        with contextlib.suppress(BackendError):
            return self.python()
        path = self.path()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._folder.chmod(0o755)  # For the bundle's uid, whatever the umask.
            with _only_one(self._folder / "lock", progress):
                with contextlib.suppress(BackendError):
                    return self.python()
                self._sweep_half_built()
                free = shutil.disk_usage(self._folder).free
                if free < self._needs:
                    raise _disk_full(self._folder, self._needs)
                half = self._folder / f"{path.name}.half"
                try:
                    self._fill(half, progress)
                    half.rename(path)
                finally:
                    shutil.rmtree(half, ignore_errors=True)
                self._prune()
        except OSError as e:
            if e.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _disk_full(self._folder, self._needs) from None
            raise BackendError(f"cannot write {e.filename or self._folder}: {e.strerror}") from None
        return self.python()

    def _fill(self, half: Path, progress: Progress) -> None:
        progress(f"{self._name}: creating")
        self._step([sys.executable, "-I", "-m", "venv", str(half)], lambda _: None, os.environ)
        python = str(half / "bin" / "python")
        env = {k: v for k, v in os.environ.items() if k not in ("PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_ROOT")}
        env |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", "PIP_NO_INPUT": "1"}
        trust = half / "build-ca.pem"
        if self._extra_ca or "PIP_CERT" not in env:
            trust.write_text(upstream_ca(self._extra_ca))
            env["PIP_CERT"] = str(trust)

        def step(line: str) -> None:
            if match := re.match(r"\s*(Collecting|Installing collected) ([^ ,(]+)", line):
                what = "installing" if match[1] == "Installing collected" else f"fetching {match[2]}"
                progress(f"{self._name}: {what}")

        pip = [python, "-I", "-m", "pip", "install", "--progress-bar=off", "--require-hashes", "-r", str(self._lock)]
        self._step(pip, step, env)
        trust.unlink(missing_ok=True)
        for script in (half / "bin").iterdir():
            # Their first lines name the folder that is renamed below; nobody needs them.
            if not script.name.startswith("python"):
                script.unlink()
        progress(f"{self._name}: checking")
        self._step([python, "-I", "-c", "".join(f"import {name}\n" for name in self._imports)], lambda _: None, env)
        (half / _STAMP).write_text("")

    def _step(self, argv: list[str], on_line: Progress, env: Mapping[str, str]) -> None:
        # Another uid, the bundle's, reads what is made here.
        done = self._runner.stream(argv, on_line, timeout=BUILD_SECONDS, env=env, cwd=self._folder, umask=0o022)
        if not done.ok:
            raise self._explain(done.stdout)

    def _explain(self, output: str) -> BackendError:
        """The one line behind the output of a step that failed."""
        what = "the bundle's environment was not built: "
        full = shutil.disk_usage(self._folder).free < _FULL_BYTES
        if full or "No space left on device" in output or "Disk quota exceeded" in output:
            # Not this file system: then it is the one where pip unpacks.
            return _disk_full(self._folder if full else Path(tempfile.gettempdir()), self._needs)
        if (
            "ensurepip is not available" in output
            or "No module named venv" in output
            or "No module named ensurepip" in output
        ):
            return BackendError(what + "this Python has no venv module", "apt-get install python3-venv")
        if "CERTIFICATE_VERIFY_FAILED" in output:
            hint = "name the certificate of your network's proxy in BOT_BOTTLE_EXTRA_CA"
            return BackendError(what + "the package index's certificate is not trusted", hint)
        if "DO NOT MATCH THE HASHES" in output:
            return BackendError(
                what + "a package differs from the one that was locked", "check the package index in use"
            )
        if re.search(r"connection broken by|Max retries exceeded|Failed to establish a new connection", output):
            return BackendError(
                what + "the package index cannot be reached", "check the network, then: bottle-dash setup"
            )
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        errors = [line for line in lines if re.match(r"ERROR|\w*Error", line)]
        return BackendError(what + (errors or lines or ["no reason given"])[-1][:300], "bottle-dash setup")

    def _sweep_half_built(self) -> None:
        # The lock is held, so whatever is not finished belongs to nobody any more.
        for entry in self._folder.iterdir():
            if entry.is_dir() and not (entry / _STAMP).is_file():
                shutil.rmtree(entry)

    def _prune(self) -> None:
        """Removes environments of other keys that nobody started for 30 days, beyond the newest `KEEP`."""
        used = {entry.parent: entry.stat().st_mtime for entry in self._folder.glob(f"*/{_STAMP}")}
        for entry in sorted(used, key=lambda e: used[e], reverse=True)[KEEP:]:
            if time.time() - used[entry] > UNUSED_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)


def supervise_env(cache: Path, extra_ca: Path | None = None) -> BundleEnv:
    """The supervise daemon's environment, beside the bundle's: their packages exclude each other."""
    return BundleEnv(cache, extra_ca, lock=SUPERVISE_LOCK, imports=SUPERVISE_IMPORTS, name="supervise environment")


def upstream_ca(extra_ca: Path | None = None) -> str:
    """PEM text of the system's certificates (`SSL_CERT_FILE`, else the usual places) and `extra_ca`, each once."""
    system = os.environ.get("SSL_CERT_FILE") or next((p for p in _SYSTEM_CAS if Path(p).is_file()), "")
    if not system and extra_ca is None:
        raise BackendError("no file of trusted certificates was found", "apt-get install ca-certificates")
    found: dict[str, None] = {}
    for name, path in (("SSL_CERT_FILE", Path(system) if system else None), ("BOT_BOTTLE_EXTRA_CA", extra_ca)):
        if path is None:
            continue
        try:
            bodies = _PEM.findall(path.read_text(errors="replace"))
            ders = [base64.b64decode("".join(body.split()), validate=True) for body in bodies]
        except OSError as e:
            raise BackendError(f"{name}: {path}: {e.strerror}", f"set {name} to a readable PEM file") from None
        except ValueError:
            raise BackendError(f"{name}: {path} holds a damaged certificate", f"set {name} to a PEM file") from None
        if not ders:
            raise BackendError(f"{name}: {path} holds no certificate in PEM form", f"set {name} to a PEM file")
        found |= dict.fromkeys(base64.b64encode(der).decode() for der in ders)
    return "".join(_pem(body) for body in found)


def _pem(body: str) -> str:
    lines = [body[i : i + 64] for i in range(0, len(body), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def _disk_full(folder: Path, needs: int) -> BackendError:
    return BackendError(f"no space left in {folder}", f"free {needs // 2**20} MB there, then: bottle-dash setup")


@contextlib.contextmanager
def _only_one(path: Path, progress: Progress) -> Iterator[None]:
    deadline = time.monotonic() + BUILD_SECONDS
    with path.open("w") as file:
        waiting = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    progress("bundle environment: waiting for another setup")
                    waiting = True
            if time.monotonic() > deadline:
                raise BackendError("another setup has not ended", f"end it, or remove {path}")
            time.sleep(0.1)
        yield
