"""Planning: from manifests to a value that holds names of secrets only, without running anything."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from agent_image.providers import PROVIDERS, ProviderError, agent_argv, restart_argv
from backends.api import BackendError, LaunchSpec, WorkspaceMode
from backends.plan import make_plan, mint_slug
from backends.provision import agent_env, base_env, home_files, system_files
from manifests.catalog import Catalog, build_catalog
from tests.contract.plans import LIMITS, plan

CLAUDE = """---
env:
  ASKED: "?what"
  TAKEN: ${HOST_THING}
  PLAIN: hello
git:
  user: {name: Bot, email: bot@example.org}
egress:
  routes:
    - host: api.example.org
      auth: {scheme: Bearer, token_ref: HOST_TOKEN}
      role: claude_code_oauth
---
"""


def test_planning_runs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr("os.fork", refuse)
    assert plan("bubblewrap").agent == "worker"


def test_names_of_secrets_never_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_TOKEN", "the-token-value")
    monkeypatch.setenv("HOST_THING", "the-thing-value")
    made = plan("bubblewrap", bottle=CLAUDE)
    assert "the-token-value" not in repr(made) and "the-thing-value" not in repr(made)
    assert [(t.slot, t.host_var) for t in made.tokens] == [("EGRESS_TOKEN_0", "HOST_TOKEN")]
    kinds = {v.name: v.kind for v in made.env}
    assert kinds == {"ASKED": "secret", "TAKEN": "host", "PLAIN": "literal", "CLAUDE_CODE_OAUTH_TOKEN": "placeholder"}


def test_argv_of_each_provider_and_its_resume() -> None:
    shell, claude, codex = (PROVIDERS[n] for n in ("shell", "claude", "codex"))
    prompt = "/home/agent/.bot-bottle-prompt.txt"
    assert agent_argv(shell, has_prompt=True, resume=True) == ["bash", "-l"]
    first = ["claude", "--dangerously-skip-permissions", "--append-system-prompt-file", prompt]
    assert agent_argv(claude, has_prompt=True) == first
    assert agent_argv(claude, has_prompt=True, resume=True) == [*first, "--continue"]
    bypass = "--dangerously-bypass-approvals-and-sandbox"
    assert agent_argv(codex, has_prompt=False, resume=True) == ["codex", "resume", "--last", bypass]
    assert (
        agent_argv(codex, has_prompt=True)[:2] == ["codex", bypass] and prompt in agent_argv(codex, has_prompt=True)[2]
    )
    assert agent_argv(claude, has_prompt=False, remote_control=True)[-1] == "--remote-control"
    with pytest.raises(ProviderError, match="no remote control"):
        agent_argv(shell, has_prompt=False, remote_control=True)


@pytest.mark.parametrize(("talked", "last"), [(True, "--continue"), (False, "/home/agent/.bot-bottle-prompt.txt")])
def test_started_again_it_continues_what_there_is(tmp_path: Path, talked: bool, last: str) -> None:
    program = tmp_path / "claude"
    program.write_text('#!/bin/sh\nfor word; do :; done; echo "$word"\n')
    program.chmod(0o755)
    if talked:
        (tmp_path / ".claude/projects/-home-agent-workspace").mkdir(parents=True)
        (tmp_path / ".claude/projects/-home-agent-workspace/a.jsonl").touch()
    env = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"}
    argv = restart_argv(PROVIDERS["claude"], has_prompt=True)
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=10)
    assert done.stdout.strip() == last, done.stderr
    assert restart_argv(PROVIDERS["codex"], has_prompt=True)[:3] == ["codex", "resume", "--last"]
    assert restart_argv(PROVIDERS["shell"], has_prompt=True) == ["bash", "-l"]


def test_what_cannot_be_planned_says_why() -> None:
    def attempt(catalog: Catalog, **more: object) -> str:
        spec = LaunchSpec("worker", "bubblewrap", Path("/"), WorkspaceMode.NONE, **more)  # type: ignore[arg-type]
        with pytest.raises(BackendError) as caught:
            make_plan(spec, catalog, slug="worker-abcde", limits=LIMITS, skills={}, skills_folder=Path("/skills"))
        return f"{caught.value.message} ({caught.value.hint})"

    def catalog(agent: str) -> Catalog:
        return build_catalog(
            {Path("/m/bottles/box.md"): b"---\nagent_provider: {template: shell}\n---\n"},
            {Path("/m/agents/worker.md"): agent.encode()},
            {},
            repo_has_bottles=None,
            stale_json=None,
        )

    assert "bottle-dash init" in attempt(Catalog())
    assert "worker.md:2" in attempt(catalog("---\nbottle: nothing\n---\n"))
    assert "skill tidy not found (skills are folders in /skills)" in attempt(
        catalog("---\nbottle: box\nskills: [tidy]\n---\n")
    )
    assert "no remote control" in attempt(catalog("---\nbottle: box\n---\n"), remote_control=True)


def test_slugs_are_unique_and_well_formed() -> None:
    rng = random.Random(1)
    made = {mint_slug("researcher", rng) for _ in range(1000)}
    assert len(made) == 1000
    assert all(s.startswith("researcher-") and len(s) == 16 and s[11:].isalnum() and s.islower() for s in made)


def test_environment_inside() -> None:
    env = base_env(PROVIDERS["shell"])
    for name in ("HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        assert env[name] == "http://127.0.0.1:9099"
    for name in (
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "PIP_CERT",
        "AWS_CA_BUNDLE",
    ):
        assert env[name] == "/etc/ssl/certs/ca-certificates.crt"
    assert env["NODE_EXTRA_CA_CERTS"] == env["DENO_CERT"] == "/home/agent/.bot-bottle-ca.crt"
    assert env["NO_PROXY"] == env["no_proxy"] == "localhost,127.0.0.1,::1"
    made = plan("bubblewrap", bottle=CLAUDE)
    whole = agent_env(made.provider, made.env, {"ASKED": "1", "TAKEN": "2"})
    assert (whole["ASKED"], whole["TAKEN"], whole["PLAIN"]) == ("1", "2", "hello")
    assert whole["CLAUDE_CODE_OAUTH_TOKEN"] == "egress-placeholder" and "HOST_TOKEN" not in whole


def test_files_inside() -> None:
    files = {f.path: f for f in home_files(PROVIDERS["claude"], prompt="Do.", git_name='A "B"', git_email="")}
    assert files["/home/agent/.bot-bottle-prompt.txt"].mode == 0o600
    assert files["/home/agent/.bot-bottle-prompt.txt"].text == files["/home/agent/AGENTS.md"].text == "Do.\n"
    assert (
        'name = "A \\"B\\""' in files["/home/agent/.gitconfig"].text
        and "email" not in files["/home/agent/.gitconfig"].text
    )
    assert "hasCompletedOnboarding" in files["/home/agent/.claude.json"].text
    bare = {f.path for f in home_files(PROVIDERS["shell"], prompt="", git_name="", git_email="")}
    assert bare == {"/home/agent/.gitconfig"}
    system = {f.path: f.text for f in system_files("worker-abcde")}
    assert "hosts: files" in system["/etc/nsswitch.conf"] and "nameserver" not in system["/etc/resolv.conf"]
