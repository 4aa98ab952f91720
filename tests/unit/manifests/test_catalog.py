"""The catalogue: the trust boundary, names, shadowing, third-party providers, examples, the key reference."""

from __future__ import annotations

from pathlib import Path

from agent_image.providers import PROVIDERS, Provider
from backends.provision import base_env
from manifests import environment, schema
from manifests.catalog import build_catalog
from sidecar_bundle.shared.routes import ROUTE_KEYS
from tests.unit.manifests.building import HOME, REPO, catalog, error

EXAMPLES = Path(schema.__file__).parent / "examples"


def test_a_repository_brings_agents_but_no_bottles() -> None:
    found = build_catalog(
        {HOME / "bottles" / "b.md": b"---\n---\n"},
        {},
        {REPO / "agents" / "a.md": b"---\nbottle: b\n---\n", REPO / "agents" / "z.md": b"---\nbottle: own\n---\n"},
        repo_has_bottles=REPO / "bottles",
    )
    assert [(a.name, a.source) for a in found.agents] == [("a", "repository")]
    assert "no bottle of the HOME folder is named 'own'" in str(error(found, "z"))
    (warning,) = found.warnings
    assert str(REPO / "bottles") in warning and "ignored" in warning and "never bottles" in warning


def test_the_repositorys_agent_wins_and_says_so() -> None:
    found = catalog({"b": ""}, {"a": "bottle: b\n", "h": "bottle: b\n"}, {"a": "bottle: b\nskills: [x]\n"})
    a, h = found.agents
    assert (a.source, a.shadows, a.skills) == ("repository", True, ("x",))
    assert (h.source, h.shadows) == ("home", False)


def test_a_broken_repository_agent_does_not_fall_back_to_home() -> None:
    found = catalog({"b": ""}, {"a": "bottle: b\n"}, {"a": "bottle: nope\n"})
    assert found.agents == () and error(found, "a").path == REPO / "agents" / "a.md"


def test_the_same_folder_twice_is_home() -> None:
    agents = {HOME / "agents" / "a.md": b"---\nbottle: b\n---\n"}
    (agent,) = build_catalog({HOME / "b.md": b"---\n---\n"}, agents, agents).agents
    assert (agent.source, agent.shadows) == ("home", False)


def test_bad_stems_are_skipped_with_a_warning() -> None:
    stems = ["Upper", "1st", "a b", "a_b", ".md", "ü", "a.b", "x\x1b[2J", "ok\n"]
    found = build_catalog({HOME / f"{s}.md": b"---\n---\n" for s in [*stems, "ok-2"]}, {}, {})
    assert [b.name for b in found.bottles] == ["ok-2"] and found.broken == ()
    assert len(found.warnings) == len(stems)
    assert all("a-z, 0-9 and -" in w and w.isprintable() for w in found.warnings)


def test_a_stale_json_manifest_warns() -> None:
    (warning,) = build_catalog({}, {}, {}, stale_json=Path("/p/bot-bottle.json")).warnings
    assert "/p/bot-bottle.json" in warning and "README" in warning


def test_third_party_providers_are_accepted_by_name() -> None:
    files = {HOME / "b.md": b"---\nagent_provider: {template: other}\negress: {routes: [{host: a.b, role: r}]}\n---\n"}
    assert "not one of shell, claude, codex" in str(error(build_catalog(files, {}, {}), "b"))
    other = {**PROVIDERS, "other": Provider("other", ("other",), "other:latest", roles=("r",))}
    (bottle,) = build_catalog(files, {}, {}, providers=other).bottles
    assert (bottle.provider, bottle.routes[0].role) == ("other", "r")


def test_everything_is_sorted_by_name() -> None:
    found = catalog({"z": "", "a": "", "m": "x: y\n"}, {"y": "bottle: z\n", "b": "bottle: a\n", "k": ""})
    assert [b.name for b in found.bottles] == ["a", "z"] and [a.name for a in found.agents] == ["b", "y"]
    assert [(b.name, b.kind) for b in found.broken] == [("k", "agent"), ("m", "bottle")]


def _example(kind: str) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (EXAMPLES / kind).iterdir()}


def test_examples_load_whole() -> None:
    found = build_catalog(_example("bottles"), _example("agents"), {})
    assert (found.broken, found.warnings) == ((), ())
    names = ["claude", "codex", "shell"]
    assert [a.name for a in found.agents] == names and [b.name for b in found.bottles] == names
    for agent in found.agents:
        bottle = found.bottle(agent.bottle)
        assert bottle is not None and bottle.provider == agent.name and bottle.routes and agent.prompt


def test_the_shell_example_needs_nothing_of_the_host() -> None:
    bottle = build_catalog(_example("bottles"), {}, {}).bottle("shell")
    assert bottle is not None and len(bottle.routes) >= 2
    assert not any(e.kind != "literal" for e in bottle.env) and not any(r.route.auth for r in bottle.routes)
    assert not bottle.remotes and not bottle.dockerfile


def test_the_model_examples_inject_their_credential() -> None:
    found = build_catalog(_example("bottles"), {}, {})
    for name, host, variable in (
        ("claude", "api.anthropic.com", "BOT_BOTTLE_CLAUDE_OAUTH_TOKEN"),
        ("codex", "api.openai.com", "OPENAI_API_KEY"),
    ):
        bottle = found.bottle(name)
        assert bottle is not None
        (one,) = bottle.routes
        assert one.route.auth is not None and one.route.auth.scheme == "Bearer" and one.route.tls_passthrough
        assert (one.route.host, one.token_ref) == (host, variable) and one.role in PROVIDERS[name].roles


def test_the_commented_lines_of_the_shell_example_work() -> None:
    text = (EXAMPLES / "bottles" / "shell.md").read_text()
    text = text.replace("# env:", "env:").replace("# git:", "git:").replace("#   ", "  ")
    (bottle,) = build_catalog({HOME / "b.md": text.encode()}, {}, {}).bottles
    assert [e.kind for e in bottle.env] == ["literal", "host", "secret"]
    assert bottle.git_user_email == "agent@example.org"


def test_reference_covers_every_key() -> None:
    text = schema.reference()
    for key in (*schema.BOTTLE, *schema.AGENT):
        assert f"| `{key.path}` | " in text and key.meaning in text
    assert all(f"| `{name}` | " in text for name in schema.REMOVED)
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert all(row.count(" | ") in (1, 3) for row in rows)


def test_the_table_knows_every_route_key_of_the_proxy() -> None:
    names = {key.path.rpartition(".")[2] for key in schema.BOTTLE if key.path.startswith("egress.routes[].")}
    assert set(ROUTE_KEYS) <= names


def test_no_provider_variable_is_one_that_the_sandbox_keeps() -> None:
    for provider in PROVIDERS.values():
        for name in provider.placeholder_env:
            assert not environment.reserved(name)


def test_what_the_sandbox_sets_for_its_own_working_is_reserved() -> None:
    harmless = {"LANG", "TERM", "COLORTERM", "GIT_TERMINAL_PROMPT"}
    shell = PROVIDERS["shell"]
    assert {n for n in base_env(shell) if not environment.reserved(n)} <= harmless | set(shell.env)
