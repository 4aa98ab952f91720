"""Every attack against a bottle without the layers that stop it: now it works, so those are what stops it.

Run inside a namespace by `test_escape.py`, never collected by itself. What the sandbox's network stops has its proof in
`inside_attacks.py`: the same script outside of the sandbox.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.escape.attack import NETWORK
from tests.attacks.escape.attacks import ATTACKS
from tests.attacks.escape.bottles import Bottle, Ground
from tests.attacks.escape.layers import without

SETS = sorted({attack.layers for attack in ATTACKS if NETWORK not in attack.layers})


@pytest.fixture(scope="module", params=SETS, ids="+".join)
def weak(bare: Ground, request: pytest.FixtureRequest) -> Iterator[tuple[tuple[str, ...], Bottle]]:
    """A bottle whose bundle is without some layers."""
    with bare.bottle(without(request.param)) as made:
        yield request.param, made


def test_without_its_layers_each_attack_works(ground: Ground, weak: tuple[tuple[str, ...], Bottle]) -> None:
    layers, bottle = weak
    stopped = {}
    for attack in ATTACKS:
        if attack.layers == layers:
            done = bottle.run(attack.script)
            log = ground.log.take()
            if attack.got_out(log) == (attack.name in ground.rig.also_stops):
                stopped[attack.name] = (done, log)
    assert stopped == {}
