"""Clients that are no git: refs, modes and packs as git would never send them."""

from __future__ import annotations

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
        said = push(world, [(NONE, tip, ref)], pack.data)
        assert "not taken" in said or "is not the name of a ref" in said, (ref, said)
    assert not rig.refs(up(world))
    assert "forwarded to" in push(world, [(NONE, tip, "refs/heads/café".encode())], pack.data)
    assert rig.refs(up(world)) == {"refs/heads/café": tip}


def test_a_mode_that_git_does_not_have(world: World) -> None:
    pack = Pack()
    tip = pack.commit((b"100600", b"a", pack.add("blob", b"hi\n")))
    assert "badFilemode" in push(world, [(NONE, tip, b"refs/heads/main")], pack.data)
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
