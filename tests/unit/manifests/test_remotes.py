"""Git remotes: the label and the host of SSH, and the rules by which an agent's git finds the gate."""

from __future__ import annotations

import pytest

from backends.gitrules import git_rules, spellings
from manifests.values import GitRemote
from tests.unit.manifests.building import bottle


def remote(key: str, upstream: str) -> GitRemote:
    text = (
        f'git:\n  remotes:\n    {key}:\n      Name: app\n      Upstream: "{upstream}"\n      IdentityFile: ~/.ssh/k\n'
    )
    (found,) = bottle(b=text).remotes
    return found


@pytest.mark.parametrize(
    ("upstream", "host", "port", "path"),
    [
        ("ssh://git@git.example.org/a/app.git", "git.example.org", 22, "/a/app.git"),
        ("ssh://git@[2001:db8::1]:2222/a/app", "2001:db8::1", 2222, "/a/app"),
        ("git@192.0.2.7:a/app.git", "192.0.2.7", 22, "a/app.git"),
    ],
)
def test_the_host_of_ssh_is_the_upstreams(upstream: str, host: str, port: int, path: str) -> None:
    found = remote("label.example", upstream)
    assert (found.host, found.ssh_host, found.port, found.path) == ("label.example", host, port, path)


def test_spellings() -> None:
    found = set(spellings(remote("label.example", "ssh://git@git.example.org:2222/a/app.git")))
    assert found >= {
        *("ssh://git@git.example.org:2222/a/app", "ssh://git@git.example.org/a/app", "ssh://git.example.org/a/app"),
        *("git@git.example.org:a/app", "git.example.org:/a/app", "https://git.example.org/a/app"),
        *("git@label.example:a/app", "ssh://git@label.example/a/app"),
    }


def test_one_spelling_leads_to_one_remote() -> None:
    same = remote("label.example", "git@git.example.org:a/app.git")
    lines = git_rules([same, same], "git://127.0.0.1:9418")
    rules = [line for line in lines if "insteadOf" in line]
    assert len(rules) == len(set(rules)) and '[url "git://127.0.0.1:9418/app="]' in lines
