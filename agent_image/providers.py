"""The provider templates as one pure table: how each agent is started, resumed and told its prompt."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

HOME = "/home/agent"
WORKSPACE = "/home/agent/workspace"
PROMPT_PATH = "/home/agent/.bot-bottle-prompt.txt"


class PromptMode(Enum):
    """How the agent learns its system prompt."""

    NONE = "none"
    FILE_FLAG = "file-flag"
    FIRST_MESSAGE = "first-message"


class ResumeKind(Enum):
    """Whether a continued conversation is asked for by a flag, a subcommand, or not at all."""

    NONE = "none"
    FLAG = "flag"
    SUBCOMMAND = "subcommand"


@dataclass(frozen=True, slots=True)
class Resume:
    """`evidence` is a glob below HOME that matches when there is a conversation to continue; "" when none is needed."""

    kind: ResumeKind = ResumeKind.NONE
    args: tuple[str, ...] = ()
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Provider:
    """One template. `command` is found on the bottle's PATH; nothing here is a secret.

    `placeholder_env` maps an auth role's credential variable to a value that only looks like a credential.
    `home_files` are written below HOME (relative path -> text), for instance to answer first-run questions.
    """

    name: str
    command: tuple[str, ...]
    image: str
    prompt_mode: PromptMode = PromptMode.NONE
    prompt_flag: str = ""
    bypass_args: tuple[str, ...] = ()
    resume: Resume = field(default_factory=Resume)
    remote_control_args: tuple[str, ...] = ()
    placeholder_env: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    home_files: Mapping[str, str] = field(default_factory=dict)
    skills_dir: str = ".claude/skills"
    roles: tuple[str, ...] = ()
    install_hint: str = ""


class ProviderError(ValueError):
    """An argument that the provider cannot honour."""


def agent_argv(
    provider: Provider, *, has_prompt: bool, resume: bool = False, remote_control: bool = False
) -> list[str]:
    """The whole argv of the agent inside the bottle, composed from the table, never by editing another argv.

    Raises `ProviderError` when remote control is asked of a provider without it.
    """
    if remote_control and not provider.remote_control_args:
        raise ProviderError(f"provider {provider.name} has no remote control")
    argv = list(provider.command)
    if resume and provider.resume.kind is ResumeKind.SUBCOMMAND:
        argv += provider.resume.args
    argv += provider.bypass_args
    if has_prompt and provider.prompt_mode is PromptMode.FILE_FLAG:
        argv += [provider.prompt_flag, PROMPT_PATH]
    if resume and provider.resume.kind is ResumeKind.FLAG:
        argv += provider.resume.args
    if remote_control:
        argv += provider.remote_control_args
    if has_prompt and not resume and provider.prompt_mode is PromptMode.FIRST_MESSAGE:
        argv.append(f"Read {PROMPT_PATH} and follow it as your instructions.")
    return argv


def restart_argv(provider: Provider, *, has_prompt: bool, remote_control: bool = False) -> list[str]:
    """The argv of an agent that is started again: it continues its conversation, or begins anew where there is none."""
    resumed = agent_argv(provider, has_prompt=has_prompt, resume=True, remote_control=remote_control)
    if not provider.resume.evidence:
        return resumed
    fresh = agent_argv(provider, has_prompt=has_prompt, remote_control=remote_control)
    there = f'for f in "$HOME"/{provider.resume.evidence}; do [ -e "$f" ] && exec {shlex.join(resumed)}; done'
    return ["sh", "-c", f"{there}; exec {shlex.join(fresh)}"]


def _json(text: str) -> str:
    return text + "\n"


_CLAUDE = Provider(
    name="claude",
    command=("claude",),
    image="bot-bottle-claude:latest",
    prompt_mode=PromptMode.FILE_FLAG,
    prompt_flag="--append-system-prompt-file",
    bypass_args=("--dangerously-skip-permissions",),
    resume=Resume(ResumeKind.FLAG, ("--continue",), ".claude/projects/*/*.jsonl"),
    remote_control_args=("--remote-control",),
    placeholder_env=MappingProxyType({"CLAUDE_CODE_OAUTH_TOKEN": "egress-placeholder"}),
    env=MappingProxyType(
        {
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
        }
    ),
    home_files=MappingProxyType(
        {
            ".claude.json": _json(
                '{"hasCompletedOnboarding":true,"projects":{"' + WORKSPACE + '":{"hasTrustDialogAccepted":true}}}'
            ),
            ".claude/settings.json": _json('{"skipDangerousModePermissionPrompt":true}'),
        }
    ),
    roles=("claude_code_oauth",),
    install_hint="install Claude Code under /usr (a system-wide npm install, for instance)",
)

_CODEX = Provider(
    name="codex",
    command=("codex",),
    image="bot-bottle-codex:latest",
    prompt_mode=PromptMode.FIRST_MESSAGE,
    bypass_args=("--dangerously-bypass-approvals-and-sandbox",),
    resume=Resume(ResumeKind.SUBCOMMAND, ("resume", "--last")),
    placeholder_env=MappingProxyType({"OPENAI_API_KEY": "egress-placeholder"}),
    env=MappingProxyType({"CODEX_CA_CERTIFICATE": "/etc/ssl/certs/ca-certificates.crt"}),
    home_files=MappingProxyType(
        {
            ".codex/config.toml": "check_for_update_on_startup = false\n\n[analytics]\nenabled = false\n\n"
            f'[projects."{WORKSPACE}"]\ntrust_level = "trusted"\n'
        }
    ),
    roles=("codex_auth",),
    install_hint="install Codex under /usr (a system-wide npm install, for instance)",
)

_SHELL = Provider(name="shell", command=("bash", "-l"), image="bot-bottle-shell:latest")

PROVIDERS: Mapping[str, Provider] = MappingProxyType({p.name: p for p in (_SHELL, _CLAUDE, _CODEX)})
