"""SSH agents that only the gate sees: one of its own for each key, and a filter before the operator's."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from sidecar_bundle.gitgate import agentproto
from sidecar_bundle.gitgate.run import Failed, run

_SIGN_SECONDS = 30.0


class OwnAgent:
    """An `ssh-agent` with one private key, which it gets on standard input and nowhere else. Ends with this process."""

    def __init__(self, folder: Path, key: str, env: Mapping[str, str]) -> None:
        self.path = str(folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.agent")
        Path(self.path).unlink(missing_ok=True)
        environment = {**env, "SSH_AUTH_SOCK": self.path, "SSH_ASKPASS_REQUIRE": "never"}
        try:
            # ssh-agent ends soon after the command that it runs, and `cat` ends with our end of its pipe, however this
            # process ends. A death signal would not do: ssh-agent is setgid in Debian, and exec clears it then.
            self._process = subprocess.Popen(
                ["ssh-agent", "-a", self.path, "sh", "-c", "echo $SSH_AGENT_PID; exec cat"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise Failed(f"cannot run ssh-agent: {error.strerror}") from None
        self._agent = 0
        try:
            assert self._process.stdout
            self._agent = int(self._process.stdout.readline() or b"0")
            if not self._agent:
                raise Failed("ssh-agent did not start")
            text = key.strip().replace("\r\n", "\n") + "\n"
            added = run(["ssh-add", "-q", "-"], env=environment, timeout=10, cwd=str(folder), stdin=text.encode())
            if added.status:
                raise Failed("the private key cannot be read (is it whole, and without a passphrase?)")
            listed = run(["ssh-add", "-L"], env=environment, timeout=10, cwd=str(folder))
            self.public_key = listed.out.decode("ascii", "replace").splitlines()[0]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the agent, and the key with it."""
        if self._agent:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._agent, signal.SIGTERM)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        self._process.kill()
        self._process.wait(5)
        Path(self.path).unlink(missing_ok=True)


class OperatorAgent:
    """The operator's SSH agent behind one connected socket: a request at a time, and what may be asked is filtered."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._line.settimeout(_SIGN_SECONDS)
        self._lock = threading.Lock()
        self.gone = False

    def ask(self, message: bytes) -> bytes:
        """The answer to one message, both without length; a failure once the agent is gone."""
        with self._lock:
            if self.gone:
                return agentproto.FAILURE
            try:
                agentproto.send(self._line, message)
                answer = agentproto.receive(self._line)
            except OSError:
                answer = b""
            if not answer:
                # Whatever comes late would be taken for the answer to another question.
                self.gone = True
                self._line.close()
            return answer or agentproto.FAILURE

    def close(self) -> None:
        """Gives the line back."""
        self.gone = True
        self._line.close()


class FilteredAgent:
    """A socket that behaves as an SSH agent with exactly one key of the operator's."""

    def __init__(self, folder: Path, name: str, public_key: str, operator: OperatorAgent) -> None:
        self.path = str(folder / f"{name}.filter")
        self.public_key = public_key
        try:
            self._blob = agentproto.blob(public_key.split()[1])
        except (IndexError, ValueError):
            raise Failed("its public key cannot be read") from None
        self._operator = operator
        Path(self.path).unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Answers nobody any more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        Path(self.path).unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.settimeout(_SIGN_SECONDS)
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while message := agentproto.receive(client):
                agentproto.send(client, self.answer(message))

    def answer(self, message: bytes) -> bytes:
        """What SSH is told: our key if the operator's agent has it, its signatures with that key, else a failure."""
        return agentproto.answer(message, {self._blob}, self._operator.ask)


def short_folder(parent: Path) -> Path:
    """A fresh folder (0700) for sockets, whose path leaves room for their names."""
    for place in (str(parent), "/tmp"):
        if len(os.fsencode(place)) < 50 and os.access(place, os.W_OK):
            return Path(tempfile.mkdtemp(prefix="gate-", dir=place))
    raise Failed("no folder for sockets: the state's path is too long and /tmp cannot be written")
