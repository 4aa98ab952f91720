"""Every attack against an intact bottle: it is refused, and the fakes, which are there, hear nothing of it.

Run inside a namespace by `test_escape.py`, never collected by itself.
"""

from __future__ import annotations

import pytest

from tests.attacks.escape.attack import NETWORK, Attack
from tests.attacks.escape.attacks import ATTACKS
from tests.attacks.escape.bottles import Bottle, Ground


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_it_is_stopped(ground: Ground, bottle: Bottle, attack: Attack) -> None:
    free = ground.free(attack.script)
    assert attack.got_out(ground.log.take()), f"it works nowhere, so nothing was shown: {free}"
    done = bottle.run(attack.script)
    log = ground.log.take()
    assert not attack.got_out(log), (done, log)
    for word in attack.said:
        assert word in done.stdout, (done, log)
    if attack.quiet:
        assert [e for e in log if not (attack.looks_up and e[0].endswith("resolver"))] == [], done


@pytest.mark.parametrize("host", ["allowed.example", "pass.example", "docs.wild.example", "api.example"])
def test_what_is_allowed_passes_in_the_same_bottle(ground: Ground, bottle: Bottle, host: str) -> None:
    for words in (f"https://{host}/fine?q=hello", f"-d note=hello https://{host}/fine", f"--http2 https://{host}/fine"):
        done = bottle.run(f"curl -sS -m 10 -w ' %{{http_code}}' {words} 2>&1")
        assert done.stdout.endswith(" 200"), done
        assert any(where == "good" and b"/fine" in what for where, what in ground.log.take())


def test_each_attack_has_a_name_of_its_own() -> None:
    names = [attack.name for attack in ATTACKS]
    assert len(names) == len(set(names)) > 60 and any(NETWORK in attack.layers for attack in ATTACKS)
