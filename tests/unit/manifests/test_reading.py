"""Good manifests: what YAML's words become, env kinds, remotes, routes, slots."""

from __future__ import annotations

import pytest

from manifests.catalog import EnvEntry, build_catalog
from sidecar_bundle.shared.routes import dump_routes, parse_routes
from tests.unit.manifests.building import HOME, bottle, catalog

NORWAY = ["no", "NO", "yes", "on", "off", "y", "n", "1.10", "2026-01-01", "0x1f", "012", "0o17", "1_000", "12:30"]
NORWAY += ["1e3", ".inf", ".nan", "=", "2026-01-01T10:00:00Z", "a#b", "http://x:1/y", "-x", "x-", "a'b"]


@pytest.mark.parametrize("word", NORWAY)
def test_words_stay_texts(word: str) -> None:
    assert bottle(b=f"env:\n  A: {word}\n").env == (EnvEntry("A", "literal", word),)


@pytest.mark.parametrize("name", ["NO", "on", "Y", "null_", "No", "y"])
def test_names_stay_texts(name: str) -> None:
    assert bottle(b=f"env:\n  {name}: x\n").env == (EnvEntry(name, "literal", "x"),)


@pytest.mark.parametrize(
    ("written", "kind", "text"),
    [
        ("${HOST_VAR}", "host", "HOST_VAR"),
        ('"${HOST_VAR}"', "host", "HOST_VAR"),
        ("?API key", "secret", "API key"),
        ('"?"', "secret", "Value of A"),
        ("'? key'", "secret", "key"),
        ('"8080"', "literal", "8080"),
        ('"true"', "literal", "true"),
        ('""', "literal", ""),
        ('"null"', "literal", "null"),
        ("x ${HOST_VAR}", "literal", "x ${HOST_VAR}"),
        ("${A}${B}", "literal", "${A}${B}"),
        ('"tab\\there"', "literal", "tab\there"),
        ("grün # comment", "literal", "grün"),
    ],
)
def test_env_kinds(written: str, kind: str, text: str) -> None:
    (entry,) = bottle(b=f"env:\n  A: {written}\n").env
    assert (entry.kind, entry.text) == (kind, text)


def test_defaults() -> None:
    one = bottle(b="")
    assert (one.provider, one.supervise, one.isolation, one.chain) == ("claude", True, "auto", ("b",))
    assert one.routes == () and one.env == () and not one.pipelock_required and not one.pipelock_seed_phrases


def test_crlf_and_byte_order_mark() -> None:
    data = b"\xef\xbb\xbf---\r\nbottle: b\r\n---  \r\n\r\nOne\r\nTwo\r\n\r\n"
    found = build_catalog({HOME / "b.md": b"---\n---\n"}, {HOME / "agents" / "a.md": data}, {})
    assert [a.prompt for a in found.agents] == ["One\nTwo"]


def test_a_rule_in_the_body_is_the_body() -> None:
    data = b"---\nbottle: b\n---\nOne\n\n---\n\nTwo\n"
    found = build_catalog({HOME / "b.md": b"---\n---\n"}, {HOME / "agents" / "a.md": data}, {})
    assert found.agents[0].prompt == "One\n\n---\n\nTwo"


@pytest.mark.parametrize(
    ("upstream", "user", "port", "path"),
    [
        ("ssh://git@h.example/o/r.git", "git", 22, "/o/r.git"),
        ("ssh://h.example:2222/o/r.git", "git", 2222, "/o/r.git"),
        ("ssh://me@[2001:db8::1]:22/r", "me", 22, "/r"),
        ("ssh://git@192.0.2.7/~/r.git", "git", 22, "/~/r.git"),
        ("git@h.example:o/r.git", "git", 22, "o/r.git"),
        ("deploy-1@h.example:/srv/r", "deploy-1", 22, "/srv/r"),
    ],
)
def test_upstreams(upstream: str, user: str, port: int, path: str) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAA"
    text = (
        f'git:\n  remotes:\n    H.Example:\n      Name: r\n      Upstream: "{upstream}"\n      IdentityFile: ~/.ssh/k\n'
        f"      KnownHostKey: {key}\n      ExtraHosts: {{x.example: 192.0.2.1}}\n"
    )
    (remote,) = bottle(b=text).remotes
    assert (remote.host, remote.upstream) == ("h.example", upstream)
    assert (remote.user, remote.port, remote.path) == (user, port, path)
    assert (remote.identity_file, remote.known_host_key) == ("~/.ssh/k", key)
    assert remote.extra_hosts == (("x.example", "192.0.2.1"),)


def test_routes_and_slots_in_order() -> None:
    text = """
egress:
  routes:
    - host: API.example.org.
      auth: {scheme: Bearer, token_ref: ONE}
      role: claude_code_oauth
    - host: plain.example.org
      dlp: off
      prompt_injection: block
      path_allowlist: [/v1, "/v2/"]
    - host: "*.example.net"
      auth:
        scheme: token
        token_ref: TWO
      pipelock:
        tls_passthrough: true
        ssrf_ip_allowlist: [10.1.0.0/16]
"""
    one, plain, wild = bottle(b=text).routes
    assert one.route.auth is not None and wild.route.auth is not None
    assert (one.route.host, one.route.auth.slot, one.token_ref) == ("api.example.org", "EGRESS_TOKEN_0", "ONE")
    assert one.role == "claude_code_oauth"
    assert (plain.route.auth, plain.route.dlp, plain.route.path_allowlist) == (None, "off", ("/v1", "/v2/"))
    assert (one.route.prompt_injection, plain.route.prompt_injection) == ("off", "block")
    assert (wild.route.auth.scheme, wild.route.auth.slot, wild.token_ref) == ("token", "EGRESS_TOKEN_1", "TWO")
    assert wild.route.tls_passthrough and wild.route.ssrf_ip_allowlist == ("10.1.0.0/16",)
    routes = tuple(r.route for r in (one, plain, wild))
    assert parse_routes(dump_routes(routes)) == routes


def test_agent() -> None:
    text = "bottle: b\nskills: [review, x_1.2]\nname: Any\ndescription: some text\nmodel: x\ncolor: 7\nmemory: true\n"
    (agent,) = catalog({"b": ""}, {"a": text}).agents
    assert (agent.name, agent.bottle, agent.skills, agent.prompt) == ("a", "b", ("review", "x_1.2"), "body of a")
    assert (agent.source, agent.shadows) == ("home", False)
