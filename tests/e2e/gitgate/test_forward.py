"""Between gate and upstream: forced pushes, deletes, refusals, keys, host keys, and upstreams that do not answer."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from backends import gitkeys
from sidecar_bundle.gitgate.brought import MAX_FILE
from tests.e2e.gitgate import rig
from tests.e2e.gitgate.rig import World


def up(world: World) -> Path:
    return world.base / "up" / "app.git"


def test_force_delete_and_many_refs(world: World) -> None:
    first = world.commit("a.txt", "1\n")
    second = world.commit("a.txt", "2\n")
    world.ok("push", "origin", "main", "main:other")
    assert set(rig.refs(up(world)).values()) == {second}
    world.ok("reset", "-q", "--hard", first)
    third = world.commit("a.txt", "3\n")
    assert "non-fast-forward" in world.fails("push", "origin", "main")
    world.ok("push", "--force", "origin", "main")
    assert rig.refs(up(world)) == {"refs/heads/main": third, "refs/heads/other": second}
    world.ok("push", "origin", ":other")
    assert rig.refs(up(world)) == {"refs/heads/main": third}


def test_what_the_upstream_says_reaches_the_client_and_nothing_changes(world: World) -> None:
    first = world.commit("a.txt", "1\n")
    world.ok("push", "origin", "main")
    hook = up(world) / "hooks" / "update"
    hook.write_text('#!/bin/sh\ncase $1 in */locked) echo "branch locked is protected" >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    world.commit("a.txt", "2\n")
    said = world.fails("push", "origin", "main", "main:locked")
    assert "branch locked is protected" in said and "nothing changed" in said
    assert world.decided()[-1][:2] == ("error", "git push") and "not forwarded: " in world.decided()[-1][3]
    assert rig.refs(up(world)) == {"refs/heads/main": first}
    assert world.ok("ls-remote", "origin", "refs/heads/*").split() == [first, "refs/heads/main"]


def test_another_pushed_meanwhile(world: World) -> None:
    world.commit("a.txt", "1\n")
    world.ok("push", "origin", "main")
    other = world.seed(up(world), {"theirs.txt": "x\n"})
    world.commit("a.txt", "2\n")
    assert "rejected" in world.fails("push", "origin", "main")
    assert rig.refs(up(world)) == {"refs/heads/main": other}


def test_a_wrong_host_key_and_none(bare: World) -> None:
    path = bare.upstream()
    wrong = " ".join(rig.make_key(bare.base / "wrong").split()[:2])
    right = bare.remotes["app"]
    bare.remotes["app"] = dataclasses.replace(right, known_host_key=wrong)
    assert bare.configure() == "ready"
    bare.start_work()
    tip = bare.commit()
    assert "is not the one that KnownHostKey" in bare.fails("push", "origin", "main")
    assert "is not the one that KnownHostKey" in bare.fails("fetch", "origin")
    bare.remotes["app"] = dataclasses.replace(right, known_host_key="")
    assert bare.configure() == "needs-credentials"
    assert "bottle-dash pin" in bare.fails("push", "origin", "main")
    assert not rig.has(path, tip)
    bare.remotes["app"] = right
    assert bare.configure() == "ready"
    bare.ok("push", "origin", "main")
    assert rig.has(path, tip)


def test_a_dead_upstream_is_told_and_the_gate_still_serves(bare: World) -> None:
    bare.upstream()
    bare.upstream("gone", port=rig.free_port())
    assert bare.configure() == "ready"
    bare.start_work("app")
    bare.commit()
    said = bare.fails("push", bare.remotes["gone"].upstream, "main")
    assert "Connection refused" in said and "nothing changed" in said
    said = bare.fails("fetch", bare.remotes["gone"].upstream)
    assert "nothing older is served" in said
    assert [row[:2] for row in bare.decided()] == [("error", "git push"), ("error", "git fetch")]
    bare.commit("b.txt", rig.GITHUB)
    said = bare.fails("push", bare.remotes["gone"].upstream, "main")
    assert "github-pat" in said and "refused" not in said
    bare.ok("push", "origin", "main~1:refs/heads/main")


def test_a_black_hole(bare: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        bare.upstream("hole", port=hole.getsockname()[1])
        bare.upstream()
        assert bare.configure() == "ready"
        bare.start_work("app")
        bare.commit()
        began = time.monotonic()
        waiting = threading.Thread(target=lambda: bare.fails("fetch", bare.remotes["hole"].upstream))
        waiting.start()
        bare.ok("push", "origin", "main")
        assert waiting.is_alive()
        waiting.join(40)
        assert not waiting.is_alive() and time.monotonic() - began < 40


def test_a_killed_client_wedges_nothing(world: World) -> None:
    world.commit("big.bin", os.urandom(20_000_000))
    for _ in range(3):
        client = subprocess.Popen(["git", "push", "origin", "main"], cwd=world.base / "work", env=world.env,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip
        time.sleep(0.4)
        os.killpg(client.pid, 9)
        client.communicate(timeout=10)
    idle = [socket.create_connection(("127.0.0.1", world.gate.port)) for _ in range(3)]
    world.ok("checkout", "-q", "--orphan", "small")
    world.ok("rm", "-q", "-r", "--cached", ".")
    (world.base / "work" / "big.bin").unlink()
    tip = world.commit("s.txt", "s\n")
    world.ok("push", "origin", "small")
    assert rig.refs(up(world))["refs/heads/small"] == tip
    for one in idle:
        one.close()


def test_two_pushes_at_once(world: World) -> None:
    world.commit("a.txt", "1\n")
    world.ok("push", "origin", "main")
    tips = []
    for name in ("one", "two"):
        world.ok("checkout", "-q", "-b", name, "main")
        tips.append(world.commit(f"{name}.txt", name))
    both = [threading.Thread(target=lambda n=n: world.git("push", "origin", n)) for n in ("one", "two")]  # type: ignore[misc]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    assert [rig.refs(up(world)).get(f"refs/heads/{n}") for n in ("one", "two")] == tips


def test_what_cannot_be_scanned_is_not_taken(world: World) -> None:
    tip = world.commit("zeros.bin", bytes(MAX_FILE + 1))
    assert "MB cannot be scanned" in world.fails("push", "origin", "main")
    assert not rig.has(up(world), tip)


def test_undeclared_upstreams_and_near_misses(world: World) -> None:
    remote = world.remotes["app"]
    near = remote.upstream.removesuffix(".git") + "2.git"
    assert "not a declared upstream" in world.fails("fetch", near)
    for url in ("git@elsewhere.example:a/b.git", "ssh://git@elsewhere.example:2222/a/b"):
        said = world.fails("fetch", url)
        assert "git-gate: elsewhere.example is not a declared upstream" in said and "git.remotes" in said
    for url in (
        f"{remote.user}@LOCALHOST:{remote.path}",
        f"localhost.:{remote.path}",
        f"ssh://localhost/{remote.path}",
    ):
        assert f"(declared are, spelled just so: {remote.upstream})" in world.fails("fetch", url)
    gate = f"git://127.0.0.1:{world.gate.port}"
    for path in ("/../app.git", "/app.git/objects", "/nothing.git", "//app.git"):
        assert "not a declared upstream" in world.fails("ls-remote", gate + path)
    told = world.decided()
    assert {row[:2] for row in told} == {("refuse", "git request")} and "not a declared upstream" in told[-1][3]
    assert "only fetch and push" in world.fails("archive", f"--remote={gate}/app.git", "HEAD")
    world.ok("ls-remote", gate + "/app.git")


@pytest.mark.parametrize("suffix", ["", ".git", "/"])
def test_every_spelling_leads_to_the_gate(world: World, suffix: str) -> None:
    remote = world.remotes["app"]
    path = remote.path.removesuffix(".git")
    for url in (
        f"{remote.user}@localhost:{path}",
        f"localhost:{path}",
        f"ssh://localhost{path}",
        f"ssh://{remote.user}@localhost:{remote.port}{path}",
        f"ssh://{remote.user}@git.label{path}",
        f"https://localhost{path}",
    ):
        world.ok("ls-remote", url + suffix)


def test_a_key_with_a_passphrase_by_the_operators_agent(bare: World) -> None:
    bare.upstream()
    public = rig.make_key(bare.base / "locked", "a long passphrase")
    other = rig.make_key(bare.base / "other")
    bare.sshd.allow(public)
    bare.sshd.allow(other)
    path = str(bare.base / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        ask = bare.base / "ask"
        ask.write_text("#!/bin/sh\necho a long passphrase\n")
        ask.chmod(0o700)
        env = {**os.environ, "SSH_AUTH_SOCK": path, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
        while not Path(path).exists():
            time.sleep(0.01)
        rig.sh("ssh-add", "-q", str(bare.base / "locked"), env=env)
        rig.sh("ssh-add", "-q", str(bare.base / "other"), env=env)
        with gitkeys.lend(path, [public]) as line:
            assert bare.configure(keys={"app": public}, agent=line) == "ready", bare.gate.detail
        bare.start_work()
        tip = bare.commit()
        bare.ok("push", "origin", "main")
        assert rig.has(up(bare), tip)
        # The gate's own socket shows the declared key only.
        (filtered,) = (bare.gate.folder / "state" / "git").glob("gate-*/app.filter")
        shown = rig.sh("ssh-add", "-L", env={**os.environ, "SSH_AUTH_SOCK": str(filtered)})
        assert public.split()[1] in shown and other.split()[1] not in shown
        agent.kill()
        agent.wait(5)
        assert "does not accept the key" in bare.fails("fetch", "origin")
    finally:
        agent.kill()
        agent.wait(5)


def agents(world: World) -> list[str]:
    """Processes that hold an agent's socket of this gate."""
    out = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = entry.read_bytes()
            if b"ssh-agent" in line and str(world.base).encode() in line:
                out.append(entry.parent.name)
    return out


def test_no_key_yet_and_a_restart(bare: World) -> None:
    bare.upstream()
    assert bare.configure(keys={}) == "needs-credentials"
    bare.start_work()
    bare.commit()
    assert "no key for it yet" in bare.fails("fetch", "origin")
    assert bare.configure() == "ready"
    bare.ok("push", "origin", "main")
    before = agents(bare)
    bare.gate.process.kill()
    bare.gate.process.wait(5)
    until = time.monotonic() + 20
    while agents(bare) and time.monotonic() < until:
        time.sleep(0.1)
    assert before and not agents(bare), "the key outlives the gate"
    bare.gate.start()
    assert bare.configure() == "ready"
    bare.commit("b.txt", "b\n")
    bare.ok("push", "origin", "main")
    assert bare.gate.stop() == 0
    left = [p.name for p in bare.base.rglob("*") if p.is_file() and b"PRIVATE KEY" in p.read_bytes()]
    assert sorted(left) == ["id"]


def test_a_remote_named_as_the_gates_own_folders(bare: World) -> None:
    bare.upstream("gate-app")
    assert bare.configure() == "ready"
    bare.start_work("gate-app")
    bare.commit()
    bare.ok("push", "origin", "main")
    bare.gate.process.kill()
    bare.gate.process.wait(5)
    bare.gate.start()
    assert bare.configure() == "ready"
    assert list((bare.gate.folder / "state" / "git" / "gate-app.git" / "objects" / "pack").glob("*.pack"))


def test_without_gitleaks_the_built_in_dlp_scans_and_says_so(unaided: World) -> None:
    unaided.upstream()
    assert unaided.configure() == "ready" and "gitleaks is not in this bundle" in unaided.gate.detail
    unaided.start_work()
    unaided.commit()
    assert "gitleaks is not in this bundle" in unaided.ok("push", "origin", "main")
    unaided.commit("b.txt", f"k = {rig.ANTHROPIC}\n")
    assert "push rejected, nothing was sent: the built-in DLP found" in unaided.fails("push", "origin", "main")
