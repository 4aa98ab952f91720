"""Ways to this host's own services: directly, by an abstract socket, and through egress in every spelling."""

from __future__ import annotations

import os
import socket
import threading

from backends.api import Values
from backends.bubblewrap.driver import BubblewrapBackend
from tests.contract.conftest import bubblewrap as bubblewrap
from tests.contract.plans import plan
from tests.contract.test_contract import quiet, until

BOTTLE = """---
agent_provider:
  template: shell
egress:
  routes:
    - host: localhost
---
"""
SPELLINGS = (
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "0", "[::1]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[::]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "localhost", "LOCALHOST", "localhost.",
)  # fmt: skip


class Listener:
    """A service of the host that counts its callers."""

    def __init__(self, family: int, address: object) -> None:
        self.calls = 0
        self.sock = socket.socket(family)
        self.sock.bind(address)  # type: ignore[arg-type]
        self.sock.listen()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                self.sock.accept()[0].close()
            except OSError:
                return
            self.calls += 1


def test_the_host_s_own_services_are_out_of_reach(bubblewrap: BubblewrapBackend) -> None:
    slug = bubblewrap.launch(plan("bubblewrap", bottle=BOTTLE), Values(), None, quiet).agent.slug
    name = "\0attack-" + os.urandom(6).hex()
    tcp, abstract = Listener(socket.AF_INET, ("127.0.0.1", 0)), Listener(socket.AF_UNIX, name)
    port = tcp.sock.getsockname()[1]
    try:
        urls = [f"http://{s}{p}/" for s in SPELLINGS for p in ("", f":{port}")]
        urls += [f"https://{s}/" for s in ("localhost", "127.0.0.1", "[::1]")]
        script = f"curl -s -m 3 http://127.0.0.1:{port}/; curl -s -m 3 --noproxy '*' http://127.0.0.1:{port}/; "
        script += f"curl -s -m 3 --abstract-unix-socket '{name[1:]}' http://x/; "
        script += "".join(
            f"curl -s -m 5 --noproxy '' -o /dev/null -w '%{{http_code}}%{{http_connect}}\\n' '{u}'; " for u in urls
        )
        script += f"curl -s -m 5 --noproxy '' -p -o /dev/null -w '%{{http_connect}}\\n' http://localhost:{port}/; true"
        answers = bubblewrap.exec(slug, script, 120).stdout.split()
        assert len(answers) == len(urls) + 1
        assert {a for a in answers if "403" not in a and "400" not in a} == set()
        assert (tcp.calls, abstract.calls) == (0, 0)
        for family, address in ((socket.AF_INET, ("127.0.0.1", port)), (socket.AF_UNIX, name)):
            with socket.socket(family) as caller:
                caller.connect(address)
        until(lambda: (tcp.calls, abstract.calls) == (1, 1))
    finally:
        tcp.sock.close()
        abstract.sock.close()
    # The one thing that is answered, so that the refusals are not just silence.
    assert '"routes"' in bubblewrap.exec(slug, "curl -s -m 5 http://_egress.local/allowlist").stdout
