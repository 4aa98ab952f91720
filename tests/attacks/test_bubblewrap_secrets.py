"""Where a credential that only egress uses could be found: in processes, in files, inside the bottle."""

from __future__ import annotations

import os
from pathlib import Path

from backends import bundle
from backends.api import Values
from backends.bubblewrap import proof
from backends.bubblewrap.driver import BubblewrapBackend
from tests.contract.conftest import bubblewrap as bubblewrap
from tests.contract.plans import plan
from tests.contract.test_contract import quiet, until

BOTTLE = """---
agent_provider:
  template: shell
env:
  SPOKEN: {spoken}
egress:
  routes:
    - host: api.example.org
      auth:
        scheme: Bearer
        token_ref: NOT_SET_ANYWHERE
---
"""


def holders(word: str, home: Path) -> list[str]:
    """Files below `home` and the command lines and environments of all processes that hold `word`."""
    files = [p for p in home.rglob("*") if p.is_file()]
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and process.name != str(os.getpid()):
            files += [process / "environ", process / "cmdline"]
    out = []
    for file in files:
        try:
            if word.encode() in file.read_bytes():
                out.append(str(file))
        except OSError:
            continue
    return out


def test_a_token_is_nowhere_to_be_read(bubblewrap: BubblewrapBackend, own_state: Path) -> None:
    token, spoken = (f"{kind}-{os.urandom(8).hex()}" for kind in ("token", "spoken"))
    chosen = plan("bubblewrap", bottle=BOTTLE.format(spoken=spoken))
    agent = bubblewrap.launch(chosen, Values({}, {"EGRESS_TOKEN_0": token}), None, quiet).agent
    found = proof.find(bubblewrap.root, agent.slug)
    assert found is not None
    # Egress has it, else it would ask for it.
    health = bundle.request(found[0] / proof.BUNDLE / "control.sock", {"op": "health"})
    assert health["daemons"]["egress"]["state"] == "ready"
    assert holders(token, own_state) == []
    assert any(name.endswith("environ") for name in holders(spoken, own_state)), "the search finds nothing at all"
    script = "cat /proc/*/environ /proc/*/cmdline 2>/dev/null; env; find / -xdev -type f -size -100k "
    script += "-not -path '/usr/*' -not -path '/proc/*' -exec cat {} + 2>/dev/null"
    search = f"({script}) | tr -c '[:alnum:]-' '\\n' | grep -xE '(spoken|token)-[0-9a-f]{{16}}' | sort -u"
    until(lambda: spoken in bubblewrap.exec(agent.slug, search).stdout)  # the agent may only just be starting
    seen = bubblewrap.exec(agent.slug, search)
    assert seen.stdout.split() == [spoken]


def test_the_folder_is_closed_to_others(bubblewrap: BubblewrapBackend) -> None:
    """The bundle's state and every socket are their owner's alone, and no other way leads there."""
    slug = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    found = proof.find(bubblewrap.root, slug)
    assert found is not None
    modes = {p.relative_to(found[0]).as_posix(): p.lstat().st_mode & 0o077 for p in found[0].rglob("*")}
    for name in ("bundle", "bundle/control.sock", "holder.sock", "bundle/ca", "bundle/ca/mitmproxy-ca.pem"):
        assert modes[name] == 0, name
    assert bubblewrap.root.stat().st_mode & 0o077 == 0
