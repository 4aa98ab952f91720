"""Clients that are no git: refs, modes and packs as git would never send them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.e2e.gitgate import rig
from tests.e2e.gitgate.rawclient import NONE, Pack, push
from tests.e2e.gitgate.rig import World


def up(world: World) -> Path:
    return world.base / "up" / "app.git"


def test_names_of_refs(world: World) -> None:
    pack = Pack()
    tip = pack.commit((b"100644", b"a", pack.add("blob", b"hi\n")))
    more = f"\n{NONE} {tip}".encode()
    for ref in (
        b"refs/heads/caf\xe9",
        b"refs/heads/a:refs/heads/b",
        b"refs/heads/x" + more + b" refs/heads/y z",
        b"refs/heads/x" + more,
        b"refs/heads/x.lock",
    ):
        said = push(world.gate.port, [(NONE, tip, ref)], pack.data)
        assert "not taken" in said or "is not the name of a ref" in said, (ref, said)
    assert not rig.refs(up(world))
    assert "forwarded to" in push(world.gate.port, [(NONE, tip, "refs/heads/café".encode())], pack.data)
    assert rig.refs(up(world)) == {"refs/heads/café": tip}


def test_a_mode_that_git_does_not_have(world: World) -> None:
    pack = Pack()
    tip = pack.commit((b"100600", b"a", pack.add("blob", b"hi\n")))
    assert "badFilemode" in push(world.gate.port, [(NONE, tip, b"refs/heads/main")], pack.data)
    assert not rig.refs(up(world))


def test_objects_that_no_ref_leads_to(world: World) -> None:
    pack = Pack()
    tip = pack.commit((b"100644", b"a", pack.add("blob", b"hi\n")))
    pack.add("blob", os.urandom(3_000_000))
    assert "objects that no pushed ref leads to" in push(world.gate.port, [(NONE, tip, b"refs/heads/main")], pack.data)
    assert not rig.refs(up(world))
    # What git sends is none of that, also where it completes a pack with what the mirror has.
    big = os.urandom(3_000_000)
    world.commit("big.bin", big)
    world.ok("push", "origin", "main")
    world.commit("big.bin", big + b"more")
    world.ok("tag", "-a", "v1", "-m", "one")
    world.ok("push", "origin", "main", "v1")


def test_a_small_pack_that_says_its_objects_are_huge(world: World) -> None:
    pack = Pack()
    tip = pack.commit((b"100644", b"a", pack.add("blob", b"hi\n")))
    base = bytes(0xFFFFF0)
    pack.add("blob", base)
    pack.swell(base, 100)
    assert "over limit" in push(world.gate.port, [(NONE, tip, b"refs/heads/main")], pack.data)
    assert not rig.refs(up(world))


def test_a_lock_that_a_killed_git_left(world: World) -> None:
    world.commit()
    world.ok("push", "origin", "main")
    mirror = world.gate.folder / "state" / "git" / "app.git"
    for left in ("packed-refs.lock", "refs/heads/main.lock", "objects/pack/tmp_pack_abcdef"):
        (mirror / left).touch()
    subprocess.run(["git", "update-ref", "-d", "refs/heads/main"], cwd=up(world), check=True)
    assert "refs/heads/main" not in world.ok("ls-remote", "origin")
    assert not list((mirror / "objects" / "pack").glob("tmp_*"))
