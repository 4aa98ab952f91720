"""Identity files: what is said of each kind before a launch, and what the gate gets. Real keys, a real agent."""

from __future__ import annotations

import base64
import dataclasses
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

from backends import gitkeys
from backends.api import BackendError, Identity, LaunchPlan
from sidecar_bundle.gitgate import agentproto
from sidecar_bundle.shared.config import Remote
from tests.contract.plans import plan

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed")


def make(path: Path, *options: str, passphrase: str = "") -> Path:
    argv = ["ssh-keygen", "-q", *(options or ("-t", "ed25519")), "-N", passphrase, "-f", str(path)]
    subprocess.run(argv, check=True, timeout=30)
    return path


def planned(file: Path, known: str = "ssh-ed25519 AAAA") -> LaunchPlan:
    remote = Remote("app", "h.example", "git", 22, "/a", "ssh://git@h.example/a", known)
    return dataclasses.replace(plan("bubblewrap"), remotes=(remote,), identities=(Identity("app", str(file)),))


@pytest.mark.parametrize(
    "options", [("-t", "ed25519"), ("-t", "rsa", "-b", "2048", "-m", "PEM"), ("-t", "ecdsa", "-m", "PKCS8")]
)
def test_keys_of_each_format(tmp_path: Path, options: tuple[str, ...]) -> None:
    open_key, locked = make(tmp_path / "k", *options), make(tmp_path / "l", *options, passphrase="a passphrase")
    assert gitkeys.checks(planned(open_key), {}) == ()
    assert gitkeys.load(planned(open_key), {}) == ({"app": open_key.read_text()}, "")
    public = (tmp_path / "l.pub").read_text().split()[:2]
    key = gitkeys.read_key(Identity("app", str(locked)))
    assert key.locked and key.public.split() == public
    (check,) = gitkeys.checks(planned(locked), {})
    assert not check.ok and check.fix == f"ssh-add {locked}"
    with pytest.raises(BackendError, match="no SSH agent"):
        gitkeys.load(planned(locked), {})
    assert "PRIVATE" not in repr(gitkeys.read_key(Identity("app", str(open_key))))


def test_the_agent_that_has_the_key(tmp_path: Path) -> None:
    locked = make(tmp_path / "l", passphrase="a passphrase")
    path = str(tmp_path / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 10
        while not Path(path).exists() and time.monotonic() < until:
            time.sleep(0.01)
        environ = {"SSH_AUTH_SOCK": path}
        assert not gitkeys.checks(planned(locked), environ)[0].ok
        ask = tmp_path / "ask"
        ask.write_text("#!/bin/sh\necho a passphrase\n")
        ask.chmod(0o700)
        force = {**os.environ, **environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
        subprocess.run(["ssh-add", "-q", str(locked)], env=force, check=True, timeout=10)
        assert gitkeys.checks(planned(locked), environ) == ()
        keys, socket = gitkeys.load(planned(locked), environ)
        assert socket == path and keys["app"].startswith("ssh-ed25519 ")
    finally:
        agent.kill()
        agent.wait(5)


def test_only_the_keys_of_the_remotes_are_lent(tmp_path: Path) -> None:
    path = str(tmp_path / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 10
        while not Path(path).exists() and time.monotonic() < until:
            time.sleep(0.01)
        for name in ("ours", "theirs"):
            env = {**os.environ, "SSH_AUTH_SOCK": path}
            subprocess.run(["ssh-add", "-q", str(make(tmp_path / name))], env=env, check=True, timeout=10)
        ours, theirs = ((tmp_path / f"{name}.pub").read_text() for name in ("ours", "theirs"))
        text = (tmp_path / "theirs").read_text()
        with gitkeys.lend(path, [ours, text]) as line:
            line.settimeout(10)

            def ask(message: bytes) -> bytes:
                agentproto.send(line, message)
                return agentproto.receive(line)

            blobs = [agentproto.blob(key.split()[1]) for key in (ours, theirs)]
            listed = ask(b"\x0b")
            assert listed[:5] == b"\x0c\0\0\0\x01" and blobs[0] in listed and blobs[1] not in listed
            signed = [
                ask(b"\x0d" + b"".join(struct.pack(">I", len(p)) + p for p in (b, b"data")) + bytes(4)) for b in blobs
            ]
            assert signed[0][:1] == b"\x0e" and signed[1] == agentproto.FAILURE
            assert ask(b"\x13") == agentproto.FAILURE
            (lender,) = gitkeys._LENDERS._detached
        # It ends with the line, as the bundle's end is.
        assert lender.wait(10) == 0
    finally:
        agent.kill()
        agent.wait(5)


def test_what_cannot_be_used_says_why(tmp_path: Path) -> None:
    key = make(tmp_path / "k")
    cases = {"missing": tmp_path / "none", "folder": tmp_path, "public": tmp_path / "k.pub"}
    cases["damaged"] = tmp_path / "d"
    cases["damaged"].write_text(
        "-----BEGIN OPENSSH " + "PRIVATE KEY-----\n" + base64.b64encode(b"openssh-key-v1\0\0\0\0\xff").decode() + "\n"
    )
    for path in (tmp_path, tmp_path / "k.pub", cases["damaged"]):
        path.chmod(0o700 if path.is_dir() else 0o600)
    said = {name: gitkeys.checks(planned(path), {})[0] for name, path in cases.items()}
    assert not any(check.ok for check in said.values())
    assert "No such file" in said["missing"].detail and "not the .pub" in said["public"].fix
    assert "damaged" in said["damaged"].detail
    key.chmod(0o644)
    assert gitkeys.checks(planned(key), {})[0].fix == f"chmod 600 {key}"


def test_a_host_key_that_is_not_pinned_is_a_warning(tmp_path: Path) -> None:
    (check,) = gitkeys.checks(planned(make(tmp_path / "k"), known=""), {})
    assert check.ok and check.warn and check.fix.startswith("bottle-dash pin ") and check.fix.endswith(" app")
