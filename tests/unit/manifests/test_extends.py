"""The merge table of `extends`, and every way in which a chain can break."""

from __future__ import annotations

from manifests.catalog import EnvEntry
from tests.unit.manifests.building import HOME, bottle, catalog, error

PARENT = """
env: {A: parent, B: parent}
agent_provider: {template: codex, dockerfile: Dockerfile.x}
git:
  user: {name: Parent, email: parent@example.org}
  remotes:
    one.example: {Name: one, Upstream: "git@one.example:x", IdentityFile: /k1}
    two.example: {Name: two, Upstream: "git@two.example:x", IdentityFile: /k2}
egress:
  routes:
    - host: a.example
      auth: {scheme: Bearer, token_ref: A}
      role: codex_auth
    - host: b.example
supervise: false
isolation: runsc
pipelock: {required: true, seed_phrases: true}
"""


def test_nothing_declared_inherits_everything() -> None:
    child, parent = bottle("c", p=PARENT, c="extends: p\n"), bottle("p", p=PARENT)
    for name in type(child).__slots__:
        if name not in ("name", "path", "chain"):
            assert getattr(child, name) == getattr(parent, name), name
    assert child.chain == ("c", "p") and child.path == HOME / "bottles" / "c.md"


def test_env_merges_by_name() -> None:
    env = bottle("c", p=PARENT, c="extends: p\nenv: {B: child, C: '?ask'}\n").env
    assert env == (
        EnvEntry("A", "literal", "parent"),
        EnvEntry("B", "literal", "child"),
        EnvEntry("C", "secret", "ask"),
    )


def test_git_user_merges_by_field() -> None:
    child = bottle("c", p=PARENT, c='extends: p\ngit:\n  user: {name: "", email: c@example.org}\n')
    assert (child.git_user_name, child.git_user_email) == ("Parent", "c@example.org")


def test_remotes_merge_by_host() -> None:
    text = "extends: p\ngit:\n  remotes:\n    TWO.example: {Name: 2, Upstream: 'git@two.example:y', IdentityFile: /k}\n"
    child = bottle("c", p=PARENT, c=text.replace("Name: 2", "Name: zwei"))
    assert [(r.host, r.name) for r in child.remotes] == [("one.example", "one"), ("two.example", "zwei")]


def test_remotes_empty_clears() -> None:
    assert bottle("c", p=PARENT, c="extends: p\ngit:\n  remotes: {}\n").remotes == ()


def test_remotes_clash_across_files_is_the_childs() -> None:
    text = "extends: p\ngit:\n  remotes:\n    x.example: {Name: ONE, Upstream: 'git@x.example:y', IdentityFile: /k}\n"
    e = error(catalog({"p": PARENT, "c": text}), "c")
    assert (e.path.name, e.line, e.key) == ("c.md", 5, "git.remotes.x.example.Name")
    assert "one.example" in e.message and "x.example" in e.message


def test_provider_is_replaced_whole() -> None:
    text = "extends: p\nagent_provider: {template: shell}\negress: {}\n"
    child = bottle("c", p=PARENT, c=text)
    assert (child.provider, child.dockerfile) == ("shell", "")


def test_egress_is_replaced_whole_and_slots_follow() -> None:
    text = "extends: p\negress:\n  routes:\n    - {host: z.example, auth: {scheme: token, token_ref: Z}}\n"
    child = bottle("c", p=PARENT, c=text)
    assert [r.route.host for r in child.routes] == ["z.example"]
    assert child.routes[0].route.auth is not None and child.routes[0].route.auth.slot == "EGRESS_TOKEN_0"
    assert bottle("c", p=PARENT, c="extends: p\negress: {}\n").routes == ()


def test_supervise_isolation_pipelock_are_replaced() -> None:
    child = bottle("c", p=PARENT, c="extends: p\nsupervise: true\nisolation: auto\npipelock: {seed_phrases: true}\n")
    assert (child.supervise, child.isolation) == (True, "auto")
    assert (child.pipelock_required, child.pipelock_seed_phrases) == (False, True)
    assert not bottle("c", p="supervise: true\n", c="extends: p\nsupervise: false\n").supervise


def test_an_inherited_role_must_suit_the_childs_provider() -> None:
    e = error(catalog({"p": PARENT, "c": "extends: p\nagent_provider:\n  template: claude\n"}), "c")
    assert (e.path.name, e.line, e.key) == ("c.md", 3, "agent_provider.template")
    assert "a.example" in e.message and "p.md" in e.message and "claude_code_oauth" in e.message


def test_three_generations_and_siblings() -> None:
    found = catalog({"c": "extends: b\n", "b": "extends: a\nenv: {B: b}\n", "a": "env: {A: a}\n", "d": "extends: b\n"})
    assert {b.name: b.chain for b in found.bottles} == {
        "a": ("a",),
        "b": ("b", "a"),
        "c": ("c", "b", "a"),
        "d": ("d", "b", "a"),
    }
    assert [e.name for e in found.bottles[2].env] == ["A", "B"]


def test_missing_parent_lists_the_names() -> None:
    e = error(catalog({"claude": "", "other": "", "c": "env: {}\nextends: cluade\n"}), "c")
    assert (e.line, e.key) == (3, "extends")
    assert "mean claude?" in e.message and "bottles: claude, other" in e.message


def test_cycle_prints_its_chain() -> None:
    found = catalog({"a": "extends: b\n", "b": "extends: c\n", "c": "extends: a\n", "d": "extends: a\n", "e": ""})
    assert "a -> b -> c -> a" in str(error(found, "a"))
    assert "b -> c -> a -> b" in str(error(found, "b"))
    assert "c -> a -> b -> c" in str(error(found, "c"))
    assert "parent a is broken" in str(error(found, "d")) and "a.md:2" in str(error(found, "d"))
    assert [b.name for b in found.bottles] == ["e"]


def test_broken_parent_breaks_its_children_naming_the_file() -> None:
    found = catalog({"p": "env:\n  A: 1\n", "c": "extends: p\n", "g": "extends: c\n"}, {"x": "bottle: g\n"})
    child, grandchild, agent = (str(error(found, name)) for name in ("c", "g", "x"))
    assert "c.md:2: extends: parent p is broken" in child and "bottles/p.md:3: env.A" in child
    assert "g.md:2: extends: parent c (" in grandchild and "bottles/c.md" in grandchild
    assert "bottles/p.md:3: env.A" in grandchild
    assert "agents/x.md:2: bottle: bottle g is broken" in agent


def test_a_long_chain_is_refused_not_a_crash() -> None:
    chain = {f"b{i}": f"extends: b{i - 1}\n" if i else "" for i in range(1500)}
    found = catalog(chain)
    assert len(found.bottles) == 32
    assert "longer than 32" in str(error(found, "b32"))
