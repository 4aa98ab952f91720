"""From manifests and a few host facts to a LaunchPlan: pure, runs nothing, holds names of secrets only."""

from __future__ import annotations

import random
import string
from collections.abc import Mapping
from pathlib import Path

from agent_image.providers import PROVIDERS, ProviderError, agent_argv, restart_argv
from backends.api import BackendError, EnvVar, Identity, LaunchPlan, LaunchSpec, Limits, Token
from backends.provision import SIDECAR_HOST, home_files
from manifests.catalog import AgentManifest, Bottle, Catalog
from sidecar_bundle.shared.config import Pipelock, Remote

_BASE36 = string.digits + string.ascii_lowercase


def mint_slug(agent: str, rng: random.Random | None = None) -> str:
    """`<agent>-<5 random base36 characters>`."""
    return f"{agent}-" + "".join((rng or random.SystemRandom()).choices(_BASE36, k=5))


def make_plan(
    spec: LaunchSpec,
    catalog: Catalog,
    *,
    slug: str,
    limits: Limits,
    skills: Mapping[str, Path],
    skills_folder: Path,
    has_pipelock: bool = False,
    sidecar_host: str = SIDECAR_HOST,
) -> LaunchPlan:
    """The plan of `spec`. `skills` maps the names that exist on the host, in `skills_folder`, to their folders.

    `has_pipelock` says whether the backend's bundles have that program; `sidecar_host` where its agents find them.

    Raises `BackendError` for an agent or bottle that is unknown or broken, a missing skill, or a request that the
    provider cannot honour.
    """
    agent = catalog.agent(spec.agent)
    if agent is None:
        broken = next((b for b in catalog.broken if b.kind == "agent" and b.name == spec.agent), None)
        if broken is not None:
            raise BackendError(f"agent {spec.agent} is broken: {broken.error}", "correct the file")
        names = ", ".join(a.name for a in catalog.agents) or "none yet: bottle-dash init"
        raise BackendError(f"no agent {spec.agent!r}", f"agents: {names}")
    bottle = catalog.bottle(agent.bottle)
    if bottle is None:
        raise BackendError(f"agent {agent.name}: no bottle {agent.bottle!r}")
    provider = PROVIDERS[bottle.provider]
    missing = [name for name in agent.skills if name not in skills]
    if missing:
        raise BackendError(
            f"agent {agent.name}: skill {missing[0]} not found", f"skills are folders in {skills_folder}"
        )
    has_prompt = bool(agent.prompt)
    consent = _consent(agent, bottle)
    try:
        argv = agent_argv(provider, has_prompt=has_prompt, remote_control=spec.remote_control)
        resume = restart_argv(provider, has_prompt=has_prompt, remote_control=spec.remote_control)
    except ProviderError as error:
        raise BackendError(str(error), "leave --remote-control out") from None
    return LaunchPlan(
        slug=slug,
        agent=agent.name,
        agent_source=agent.source,
        bottles=bottle.chain,
        provider=provider,
        backend=spec.backend,
        argv=tuple(argv) if not spec.command else spec.command,
        resume_argv=tuple(resume) if not spec.command else spec.command,
        cwd=spec.cwd,
        workspace=spec.workspace,
        routes=tuple(r.route for r in bottle.routes),
        tokens=tuple(Token(r.route.auth.slot, r.token_ref) for r in bottle.routes if r.route.auth),
        env=_env(bottle),
        skills=tuple(skills[name] for name in agent.skills),
        files=home_files(
            provider,
            prompt=agent.prompt,
            git_name=bottle.git_user_name,
            git_email=bottle.git_user_email,
            remotes=bottle.remotes,
            host=sidecar_host,
        ),
        remotes=tuple(
            Remote(r.name, r.ssh_host, r.user, r.port, r.path, r.upstream, r.known_host_key, r.extra_hosts)
            for r in bottle.remotes
        ),
        identities=tuple(Identity(r.name, r.identity_file) for r in bottle.remotes),
        supervise=bottle.supervise,
        pipelock=Pipelock(bottle.pipelock_required, bottle.pipelock_seed_phrases),
        limits=limits,
        has_pipelock=has_pipelock,
        one_shot=bool(spec.command),
        sidecar_host=sidecar_host,
        notes=_notes(bottle, catalog, consent),
        needs_consent=consent,
        dockerfile=_dockerfile(bottle),
    )


def _env(bottle: Bottle) -> tuple[EnvVar, ...]:
    """Manifest variables, and the placeholder of each provider role that a route plays."""
    out = [EnvVar(e.name, e.kind, e.text) for e in bottle.env]
    named = {e.name for e in out}
    provider = PROVIDERS[bottle.provider]
    if any(r.role in provider.roles for r in bottle.routes if r.role):
        out += [EnvVar(n, "placeholder", v) for n, v in provider.placeholder_env.items() if n not in named]
    return tuple(out)


def _dockerfile(bottle: Bottle) -> str:
    """The bottle's own Dockerfile: absolute, below the operator's home, or beside the bottle's file."""
    written = bottle.dockerfile
    return written if not written or written.startswith(("/", "~")) else str(bottle.path.parent / written)


def _consent(agent: AgentManifest, bottle: Bottle) -> str:
    if agent.source != "repository":
        return ""
    brings = [r.token_ref for r in bottle.routes if r.route.auth] + [e.name for e in bottle.env if e.kind != "literal"]
    reasons = ["replaces the one of the same name in your home folder"] if agent.shadows else []
    if brings:
        reasons.append(f"runs in your bottle {bottle.name}, which brings {', '.join(dict.fromkeys(brings))}")
    return f"the repository's agent {agent.name} {' and '.join(reasons)}" if reasons else ""


def _notes(bottle: Bottle, catalog: Catalog, consent: str) -> tuple[str, ...]:
    return (*catalog.warnings, *([consent] if consent else []))
