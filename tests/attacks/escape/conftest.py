"""The ground and an intact bottle, for the tests that run inside the namespace."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.escape import bottles, fakes


@pytest.fixture(scope="session")
def bare() -> Iterator[bottles.Ground]:
    """Fakes and a backend, without git remotes."""
    with tempfile.TemporaryDirectory(prefix="attack-") as name:
        base = Path(name)
        base.chmod(0o755)
        rig = bottles.rig(os.environ["BOT_BOTTLE_ATTACKED"])
        with rig.engine(), fakes.fakes(base / "pki") as log:
            yield bottles.Ground(base, rig, log)


@pytest.fixture(scope="module")
def bottle(bare: bottles.Ground) -> Iterator[bottles.Bottle]:
    """An intact bottle."""
    with bare.bottle() as made:
        yield made


@pytest.fixture
def ground(bare: bottles.Ground) -> bottles.Ground:
    """With an empty log."""
    bare.log.take()
    return bare
