"""The gate where it has no network: SSH gets its connections from a dialer, and nowhere else."""

from __future__ import annotations

import dataclasses
import socket
import threading
from pathlib import Path

from sidecar_bundle.shared import layout, wire
from tests.e2e.gitgate import rig
from tests.e2e.gitgate.rig import World


class Dialer:
    """Answers as the bundle's dialer does; `refuse` is its reason to pass nothing."""

    def __init__(self, path: Path, port: int) -> None:
        self.asked: list[dict[str, object]] = []
        self.refuse = ""
        self._port = port
        self._listener = wire.listen(str(path))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            line, _ = self._listener.accept()
            with line:
                decoder = wire.Decoder()
                (question,) = decoder.feed(wire.receive(line)[0])
                self.asked.append(question)
                if self.refuse:
                    wire.send(line, {"ok": False, "error": self.refuse, "kind": "refused"})
                    continue
                with socket.create_connection(("127.0.0.1", self._port)) as there:
                    wire.send(line, {"ok": True, "address": "192.0.2.9"}, [there.fileno()])


def test_every_connection_comes_from_the_dialer(bare: World) -> None:
    path = bare.upstream()
    # A name and an address that lead nowhere: only the dialer knows the way.
    bare.remotes["app"] = dataclasses.replace(
        bare.remotes["app"],
        host="git.invalid",
        upstream=f"ssh://{bare.remotes['app'].user}@git.invalid:2222{path}",
        port=2222,
        extra_hosts=(("git.invalid", "192.0.2.9"),),
    )
    dialer = Dialer(bare.base / "dial.sock", bare.sshd.port)
    bare.gate.close()
    (bare.base / "second").mkdir()
    bare.gate = rig.Gate(bare.base / "second", bare.gate.gitleaks)
    bare.gate.process.kill()
    bare.gate.start(**{layout.DIALER_ENV: str(bare.base / "dial.sock")})
    assert bare.configure() == "ready"
    bare.start_work()
    tip = bare.commit()
    bare.ok("push", "origin", "main")
    assert rig.has(path, tip)
    assert dialer.asked[0] == {"host": "git.invalid", "port": 2222, "nets": [], "who": "git-gate"}
    dialer.refuse = "192.0.2.9 is not a declared upstream's address"
    assert dialer.refuse in bare.fails("fetch", "origin")
