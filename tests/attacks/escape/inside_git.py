"""A secret in a commit that is pushed to the declared upstream, which is a real SSH server with a bare repository.

Run inside a namespace by `test_escape.py`, never collected by itself.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from backends.api import ExecResult
from tests.attacks.escape.bottles import SECRETS, Bottle, Ground
from tests.attacks.escape.layers import without
from tests.e2e.gitgate import rig

ANTHROPIC, AWS, GENERIC = SECRETS
REMOTES = """git:
  user: {{name: Agent, email: agent@example.org}}
  remotes:
    git.upstream.example:
      Name: app
      Upstream: {app}
      IdentityFile: {key}
      KnownHostKey: {host_key}
      ExtraHosts:
        git.upstream.example: {address}
    unreachable.invalid:
      Name: throwaway
      Upstream: {dead}
      IdentityFile: {key}
      KnownHostKey: {host_key}
"""
DEAD = "ssh://git@unreachable.invalid:22/throwaway.git"
UNREACHED = ("resolve", "refused", "unreachable", "upstream", "timed out")


@dataclass(frozen=True, slots=True)
class Upstream:
    """The server's repository, how the manifest spells it, and the ground with the remotes declared."""

    path: Path
    url: str
    ground: Ground

    def holds(self, text: str) -> bool:
        """Whether any object of the repository has it, reachable or not."""
        git = ["git", "-C", str(self.path), "cat-file", "--batch-all-objects", "--batch"]
        return text.encode() in subprocess.run(git, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def upstream(bare: Ground) -> Iterator[Upstream]:
    address = bare.rig.ssh_address
    with rig.sshd(address) as server:
        path = bare.base / "up" / "app.git"
        rig.sh("git", "init", "-q", "--bare", "-b", "main", str(path))
        server.allow(rig.make_key(bare.base / "id"))
        url = f"ssh://{rig.sh('id', '-un')}@git.upstream.example:{server.port}{path}"
        remotes = REMOTES.format(app=url, dead=DEAD, key=bare.base / "id", host_key=server.host_key, address=address)
        yield Upstream(path, url, replace(bare, remotes=remotes))


@pytest.fixture(scope="module")
def bottle(upstream: Upstream) -> Iterator[Bottle]:
    """An intact bottle with these remotes."""
    with upstream.ground.bottle(gitleaks=rig.gitleaks()) as made:
        yield made


def push(bottle: Bottle, url: str, line: str, branch: str = "main", more: str = "") -> ExecResult:
    """Commits a README with `line` and pushes it; `more` is done in between."""
    script = f"""
    exec 2>&1; cd $(mktemp -d) && git init -q && git remote add origin '{url}'
    printf '%s\\n' "{line}" > README.md && git add -A
    git commit -q -m 'link to the docs' && {more or ":"} && git push origin HEAD:refs/heads/{branch}; echo "rc $?"
    """
    return bottle.run(script, 90)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("alive", [True, False], ids=["upstream", "unreachable"])
def test_a_secret_in_a_readme_is_not_forwarded(upstream: Upstream, bottle: Bottle, name: str, alive: bool) -> None:
    """The refusal comes from the scan: at an upstream that is not there, nobody has tried to reach it."""
    link = f"[docs](https://docs.example/x?api_key=${name})"
    done = push(bottle, upstream.url if alive else DEAD, link, name.lower().replace("_", "-"))
    assert "rc 0" not in done.stdout
    assert "push rejected, nothing was sent: gitleaks" in done.stdout and "README.md" in done.stdout, done
    assert [word for word in UNREACHED if word in done.stdout.lower()] == [], done
    assert not upstream.holds(SECRETS[name]) and SECRETS[name] not in done.stdout


def test_a_secret_that_a_later_commit_removes(upstream: Upstream, bottle: Bottle) -> None:
    more = "git rm -q README.md && git commit -q -m clean"
    done = push(bottle, upstream.url, f"key ${GENERIC}", "removed", more)
    assert "push rejected, nothing was sent" in done.stdout and not upstream.holds(SECRETS[GENERIC])


HEX = "od -An -tx1 | tr -d ' \\n'"
ELSEWHERE = {
    "message": f'git commit -q --allow-empty -m "see ${GENERIC}"',
    "author": f'git commit -q --allow-empty --author "${GENERIC} <a@b.c>" -m x',
    "header of a commit": f'c=$(git cat-file commit HEAD | sed "s/^committer.*/&\\nx-note ${GENERIC}/" | '
    "git hash-object -t commit -w --stdin --literally) && git reset -q --soft $c",
    "tag": f'git tag -a v1 -m "${GENERIC}" && git push origin v1',
    "tagger": f'GIT_COMMITTER_NAME="${GENERIC}" git tag -a v2 -m x && git push origin v2',
    "blob of a tag": f"git tag v3 $(echo ${GENERIC} | git hash-object -w --stdin) && git push origin v3",
    "note": f'git notes add -m "${GENERIC}" && git push origin refs/notes/commits',
    "branch": f"git push origin HEAD:refs/heads/${GENERIC}",
    "file name": f'touch "${GENERIC}" && git add -A && git commit -q -m x',
    "name of an empty folder": "e=$(git hash-object -t tree -w /dev/null) && "
    f"""t=$(printf "040000 tree $e\\t%s\\n" "${GENERIC}" | git mktree) && """
    "git reset -q --soft $(git commit-tree $t -p HEAD -m x)",
    "commits of submodules": f'h=$(printf %s "${GENERIC}" | {HEX}) && git update-index --add '
    "--cacheinfo 160000,$(echo $h | cut -c1-40),a --cacheinfo 160000,$(echo $h | cut -c41-80),b && git commit -q -m x",
    "link": f'ln -s "${GENERIC}" l && git add -A && git commit -q -m x',
    "base64": f'printf %s "${GENERIC}" | base64 -w0 > data && git add -A && git commit -q -m x',
    "archive": f'echo "${GENERIC}" > a && tar cJf a.txz a && rm a && git add -A && git commit -q -m x',
    "merged branch": f'git checkout -q -b o && echo "${GENERIC}" > z && git add -A && git commit -q -m s && '
    "git checkout -q - && git merge -q -s ours --no-ff -m m o",
}


@pytest.mark.parametrize("place", ELSEWHERE)
def test_a_secret_elsewhere_in_a_push(upstream: Upstream, bottle: Bottle, place: str) -> None:
    branch = "p-" + place.replace(" ", "-")
    done = push(bottle, upstream.url, f"nothing in {branch}", branch, ELSEWHERE[place])
    assert "push rejected, nothing was sent" in done.stdout, done
    refs = rig.sh("git", "-C", str(upstream.path), "for-each-ref")
    assert "rc 0" not in done.stdout and SECRETS[GENERIC] not in refs
    assert not upstream.holds(SECRETS[GENERIC]) and f"nothing in {branch}" not in refs


@pytest.mark.parametrize(
    "url", ["ssh://git@elsewhere.example/x.git", "git@elsewhere.example:x.git", "git://203.0.113.66/x.git"]
)
def test_an_undeclared_upstream_is_out_of_reach(ground: Ground, bottle: Bottle, url: str) -> None:
    done = push(bottle, url, "nothing here")
    assert "rc 0" not in done.stdout and ground.log.take() == []


def test_a_clean_push_arrives(upstream: Upstream, bottle: Bottle) -> None:
    done = push(bottle, upstream.url, "see https://docs.example/x?page=2", "clean")
    assert done.stdout.endswith("rc 0\n") and upstream.holds("page=2"), done
    said = push(bottle, DEAD, "see https://docs.example/x?page=2").stdout
    assert "rc 0" not in said and any(word in said for word in UNREACHED), said


OUT = {"gitleaks": {}, "DLP": without(["messages"])}


@pytest.mark.parametrize("alone", OUT)
def test_either_scanner_alone_still_stops_it(upstream: Upstream, alone: str) -> None:
    """One is taken out; `alone` is the one that is left."""
    gone = OUT["DLP"] if alone == "gitleaks" else {}
    with upstream.ground.bottle(gone, gitleaks=rig.gitleaks() if alone == "gitleaks" else "") as made:
        done = push(made, upstream.url, f"key = ${ANTHROPIC}", f"one-{alone.lower()}")
        assert "push rejected, nothing was sent" in done.stdout and not upstream.holds(SECRETS[ANTHROPIC]), done


def test_without_both_scanners_it_arrives(upstream: Upstream) -> None:
    with upstream.ground.bottle(OUT["DLP"]) as made:
        for number, name in enumerate(SECRETS):
            assert not upstream.holds(SECRETS[name])
            done = push(made, upstream.url, f"[docs](https://docs.example/x?api_key=${name})", f"out-{number}")
            assert upstream.holds(SECRETS[name]), done
