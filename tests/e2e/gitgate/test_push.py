"""Pushes through the gate: what is clean arrives whole, what is not leaves no trace upstream."""

from __future__ import annotations

import email
import gzip
import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.gitgate import rig
from tests.e2e.gitgate.rig import World


def up(world: World) -> Path:
    return world.base / "up" / "app.git"


def test_a_clean_push_arrives_and_comes_back(world: World) -> None:
    tip = world.commit()
    said = world.ok("push", "origin", "main")
    assert "git-gate: forwarded to" in said
    assert rig.refs(up(world)) == {"refs/heads/main": tip}
    world.ok("clone", "-q", world.remotes["app"].upstream, str(world.base / "again"))
    assert (world.base / "again" / "file.txt").read_text() == "text\n"
    where = f"localhost{world.remotes['app'].path}"
    assert world.decided() == [("allow", "git push", where, "main, 1 commit"), ("allow", "git fetch", where, "")]


def test_a_secret_in_the_third_of_five_commits(world: World) -> None:
    world.commit("a.txt", "one\n")
    world.commit("a.txt", "two\n")
    third = world.commit("config/app.py", f'KEY = "{rig.ANTHROPIC}"\n')
    (world.base / "work" / "config" / "app.py").unlink()
    world.commit("a.txt", "four\n")
    world.commit("a.txt", "five\n")
    said = world.fails("push", "origin", "main")
    assert third[:10] in said and "config/app.py" in said and "anthropic-key" in said and "gitleaks" in said
    assert rig.ANTHROPIC not in said and not rig.has(up(world), third) and not rig.refs(up(world))
    (told,) = world.decided()
    assert (
        told[:2] == ("refuse", "git push") and "1 finding (anthropic-key)" in told[3] and rig.ANTHROPIC not in told[3]
    )
    # The clean branch is forwarded.
    world.ok("checkout", "-q", "-b", "clean", "HEAD~3")
    tip = world.commit("b.txt", "clean\n")
    world.ok("push", "origin", "clean")
    assert rig.refs(up(world)) == {"refs/heads/clean": tip}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.md", f"see https://h.example/x?token={rig.GITHUB}\n".encode()),
        ("README.md", f"see https://h.example/x?k={rig.OWN}\n".encode()),
        ("allowed.py", f"k = '{rig.ANTHROPIC}'  # gitleaks:allow\n".encode()),
        ("image.png", b"\x89PNG\r\n\x1a\n\0\0" + rig.GITHUB.encode() + b"\0\0"),
        ("a.zip", b"PK\x03\x04 no real archive " + b"x" * 12000 + b" " + rig.AWS.encode() + b" "),
        ("utf16.txt", f"key {rig.ANTHROPIC}\n".encode("utf-16")),
        ("node_modules/a/package-lock.json", f'"_authToken": "{rig.GITHUB}"\n'.encode()),
        ("a.min.js", f"k='{rig.OWN}'".encode()),
        ("b.min.js", f"api_key = '{rig.GUESS}'\n".encode()),
        ("a.hex", rig.GITHUB.encode().hex().encode()),
        ("a.url", "".join(f"%{ord(c):02x}" for c in rig.GITHUB).encode()),
        ("a.json", ('{"k":"' + "".join(f"\\u{ord(c):04x}" for c in rig.GITHUB) + '"}').encode()),
    ],
    ids=[
        *(
            "query",
            "own",
            "allow-comment",
            "binary",
            "like-an-archive",
            "utf-16",
            "lock-file",
            "minified",
            "not-minified",
        ),
        *("hex", "percent", "escapes"),
    ],
)
def test_secrets_in_files_of_every_kind(world: World, name: str, content: bytes) -> None:
    (world.base / "work" / ".gitleaks.toml").write_text('[allowlist]\npaths = [".*"]\n')
    (world.base / "work" / ".gitleaksignore").write_text(f"{name}:anthropic-key:1\n")
    (world.base / "work" / ".gitattributes").write_text("* binary -diff\n")
    tip = world.commit(name, content)
    said = world.fails("push", "origin", "main")
    assert "push rejected, nothing was sent" in said and name in said and "gitleaks" in said, said
    assert not rig.has(up(world), tip)
    for word in ("resolve", "refused", "unreachable", "upstream", rig.ANTHROPIC, rig.GITHUB, rig.OWN, rig.AWS):
        assert word not in said


def test_ordinary_content_is_taken(world: World) -> None:
    # A value of words is found in pieces where a text has the same words.
    world.configure(protect={"OWN": "7f3kd-9qpzm-44xw2"})
    for folder in (
        rig.ROOT / "sidecar_bundle",
        rig.ROOT / "backends",
        *(Path(m.__file__).parent for m in (email, json)),
    ):
        shutil.copytree(folder, world.base / "work" / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    texts = [path.read_bytes() for path in world.base.glob("work/*/**/*.py")]
    for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "requirements.txt", "pyproject.toml"):
        if (rig.ROOT / name).exists():
            shutil.copy(rig.ROOT / name, world.base / "work" / name)
    minified = "".join(f"var a{i}=b{i};" for i in range(50))
    world.commit("a.min.js", f"{minified}api_key='{rig.GUESS}';{minified}\n")
    world.commit("some.gz", gzip.compress(b"".join(texts[:10])), "ordinary")
    assert len(texts) > 100 and "forwarded to" in world.ok("push", "origin", "main")


def test_secrets_beside_the_files(world: World) -> None:
    clean = world.commit()
    world.ok("push", "origin", "main")
    world.ok("tag", "-a", "v1", "-m", f"made with {rig.GITHUB}")
    assert "the text of a tag: github-pat" in world.fails("push", "origin", "v1")
    world.ok("notes", "add", "-m", rig.GITHUB)
    assert "github-pat" in world.fails("push", "origin", "refs/notes/commits")
    world.ok("branch", rig.GITHUB)
    assert "the name of a ref: github-pat" in world.fails("push", "origin", rig.GITHUB)
    world.commit(message=f"subject\n\n{rig.ANTHROPIC}")
    assert "the commit message: anthropic-key" in world.fails("push", "origin", "main")
    world.ok("reset", "-q", "--hard", clean)
    world.commit(f"{rig.GITHUB}.txt")
    said = world.fails("push", "origin", "main")
    assert "the name of a file: github-pat" in said and rig.GITHUB not in said
    blob = world.ok("rev-parse", "HEAD:file.txt").strip()
    assert "neither a commit nor a tag" in world.fails("push", "origin", f"{blob}:refs/tags/blob")
    assert rig.refs(up(world)) == {"refs/heads/main": clean}


def test_a_merge_is_looked_at_for_what_it_adds(world: World) -> None:
    world.commit("a.txt", "a\n")
    world.ok("push", "origin", "main")
    world.ok("checkout", "-q", "-b", "side")
    world.commit("b.txt", "b\n")
    world.ok("checkout", "-q", "main")
    world.commit("c.txt", "c\n")
    world.ok("merge", "-q", "--no-commit", "side")
    evil = world.commit("b.txt", f"b {rig.GITHUB}\n", "merge")
    assert f"commit {evil[:10]}: b.txt: github-pat" in world.fails("push", "origin", "main")


def test_old_findings_upstream_do_not_stop_new_work(world: World) -> None:
    seeded = world.seed(up(world), {"old.py": f"a = 1\nkey = '{rig.GITHUB}'\nb = 2\n", "other.txt": "x\n"})
    world.ok("fetch", "-q", "origin")
    world.ok("checkout", "-q", "-b", "work", "origin/main")
    world.commit("old.py", f"a = 2\nkey = '{rig.GITHUB}'\nb = 3\n")
    world.ok("mv", "old.py", "moved.py")
    tip = world.commit("moved.py", f"key = '{rig.GITHUB}'\nb = 4\n")
    world.ok("push", "origin", "work")
    assert rig.refs(up(world)) == {"refs/heads/main": seeded, "refs/heads/work": tip}
    world.commit("moved.py", f"key = '{rig.GITHUB}'\nb = '{rig.AWS}'\n")
    said = world.fails("push", "origin", "work")
    assert "aws-access-token" in said and "github-pat" not in said


def test_a_replaced_object_hides_nothing(world: World) -> None:
    world.commit("a.txt", "a\n")
    world.ok("push", "origin", "main")
    bad = world.commit("b.txt", rig.GITHUB)
    world.ok("checkout", "-q", "--orphan", "good")
    world.ok("rm", "-q", "--cached", "b.txt")
    (world.base / "work" / "b.txt").unlink()
    good = world.commit("a.txt", "a\n")
    world.ok("replace", bad, good)
    world.ok("push", "origin", "refs/replace/*")
    assert "github-pat" in world.fails(
        "-c", "core.useReplaceRefs=false", "push", "-f", "origin", f"{bad}:refs/heads/main"
    )
    assert not rig.has(up(world), bad)
