"""`start`: an agent in a new bottle, or with `-- ARGS` one command in the foreground."""

from __future__ import annotations

import argparse
import signal
import sys
from dataclasses import asdict
from types import FrameType

from backends.api import LaunchPlan, LaunchSpec, Prepared, Values, WorkspaceMode
from backends.provision import agent_env
from botbottle_tui.cli.out import Steps, ask, check_line, dump, fail, interactive, say, secret, tell, tell_waiting
from botbottle_tui.core.preflight_text import limits_text
from botbottle_tui.host.launching import Host
from botbottle_tui.host.paths import host_paths, work_folder
from sidecar_bundle.shared.visible import visible
from sidecar_bundle.shared.weak import weak


def run(args: argparse.Namespace) -> int:
    """Exit status: the command's or agent's; 1 when it could not start, 2 when it was not allowed to."""
    host = Host(host_paths(), chosen=args.backend or "")
    workspace = WorkspaceMode(args.cwd) if args.cwd else WorkspaceMode.NONE
    spec = LaunchSpec(args.agent, "", work_folder(), workspace, tuple(args.command), args.remote_control)
    prepared = host.prepare(spec)
    if args.dry_run and args.json:
        dump(as_json(prepared))
    elif prepared.plan is not None:
        write = tell if args.command or not (interactive() or args.dry_run) else say
        for line in lines(prepared, failed=args.dry_run):
            write(visible(line, keep=""))
    if prepared.plan is None or not prepared.ok:
        _refuse(prepared, told=args.dry_run and not args.json and prepared.plan is not None)
        return 1
    if args.dry_run:
        return 0
    if prepared.plan.needs_consent and (args.command or args.yes) and not args.repository_agent:
        fail(f"not started: {prepared.plan.needs_consent}", "--repository-agent says that you agree")
        return 2
    if not args.command and not args.yes:
        if not interactive():
            fail("an interactive start needs a terminal", "or --yes, to start it in the background")
            return 2
        if not ask("Start it?"):
            tell("nothing was started")
            return 2
    plan = prepared.plan
    answers = {v.name: secret(v.text, v.name) for v in plan.env if v.kind == "secret"}
    for name, value in answers.items():
        if reason := weak(value):
            tell(f"bottle-dash: {name} is not protected: {reason}, so no request is stopped for it")
    values = host.host_values(plan, answers)
    return one_shot(host, plan, values) if args.command else session(host, plan, values)


def _refuse(prepared: Prepared, *, told: bool) -> None:
    """Why it cannot start, a line for each failure; what was `told` among the checks is not said again."""
    bad, what = [c for c in prepared.checks if not c.ok], f"cannot start {prepared.spec.agent}"
    if told:
        fail(f"{what}: {len(bad)} check{'' if len(bad) == 1 else 's'} failed, see above")
    for check in () if told else bad:
        fail(f"{what}: {check.name}: {check.detail}", check.fix)


def session(host: Host, plan: LaunchPlan, values: Values) -> int:
    """Launches, then shows the agent if there is a terminal. The bottle outlives this process."""
    with Steps() as told:
        agent = host.launch(plan, values, told, remember=False)
    if not interactive():
        say(agent.slug)
        tell(f"{agent.slug} runs: bottle-dash attach {agent.slug}, bottle-dash stop {agent.slug}")
        return 0
    status = host.runner.foreground(host.attach_argv(agent.slug, pane=False))
    ended = any(a.slug == agent.slug and a.state == "done" for a in host.enumerate()[0])
    goes = "is still there (attach starts its agent again)" if ended else "goes on"
    tell(f"{agent.slug} {goes}: bottle-dash attach {agent.slug}, bottle-dash stop {agent.slug}")
    tell_waiting(host.desk.inbox.waiting()[0], agent.slug)
    return status


def one_shot(host: Host, plan: LaunchPlan, values: Values) -> int:
    """One command, its exit status, and nothing kept but a patch of what it changed in a copy."""
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, _leave)
    try:
        host.launch(plan, values, lambda line: None, remember=False)
        tty = sys.stdin.isatty() and sys.stdout.isatty()
        argv = host.backend(plan.backend).exec_argv(plan.slug, plan.argv, tty=tty)
        return host.runner.foreground(
            argv, agent_env(plan.provider, plan.env, values.env, plan.daemons, plan.sidecar_host)
        )
    finally:
        if host.records.load(plan.slug) is not None:
            kept = host.stop(plan.slug, drop_changes=False)
            if kept:
                tell(f"bottle-dash: the command changed its copy; the changes are in {kept}")


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def lines(prepared: Prepared, *, failed: bool) -> list[str]:
    """The preflight as text: names of variables, never values; placeholders are left out, and unless `failed` failures.

    What failed stands last, beside the line that says so.
    """
    plan = prepared.plan
    out: list[str] = []
    if plan is not None:
        out += [
            f"agent      {plan.agent} ({plan.agent_source})",
            f"bottle     {' -> '.join(plan.bottles)}",
            f"provider   {plan.provider.name}",
            f"backend    {plan.backend}",
            f"workspace  {plan.workspace.value}" + (f" {plan.cwd}" if plan.workspace is not WorkspaceMode.NONE else ""),
            f"routes     {', '.join(route_text(plan)) or 'none: nothing can be reached'}",
            f"git        {', '.join(f'{r.host}: {r.upstream}' for r in plan.remotes) or 'none'}",
            f"sidecars   {', '.join(plan.daemons)}",
            f"limits     {limits_text(plan.limits)}",
            f"env        {', '.join(v.name for v in plan.env if v.kind != 'placeholder') or 'none'}",
            f"skills     {', '.join(p.name for p in plan.skills) or 'none'}",
            f"files      {', '.join(f.path for f in plan.files)}",
        ]
    return out + [check_line(c) for c in sorted(prepared.checks, key=lambda c: not c.ok) if failed or c.ok]


def route_text(plan: LaunchPlan) -> list[str]:
    """Each route with its paths and its credential's scheme."""
    out = []
    for route in plan.routes:
        paths = " " + " ".join(route.path_allowlist) if route.path_allowlist else ""
        out.append(route.host + paths + (f" [auth:{route.auth.scheme}]" if route.auth else ""))
    return out


def as_json(prepared: Prepared) -> dict[str, object]:
    """The preflight for programs."""
    plan = prepared.plan
    checks = [{"name": c.name, "ok": c.ok, "warn": c.warn, "detail": c.detail, "fix": c.fix} for c in prepared.checks]
    if plan is None:
        return {"schema": 1, "ok": False, "checks": checks}
    return {
        "schema": 1,
        "ok": prepared.ok,
        "agent": plan.agent,
        "source": plan.agent_source,
        "bottles": plan.bottles,
        "provider": plan.provider.name,
        "backend": plan.backend,
        "workspace": plan.workspace.value,
        "cwd": str(plan.cwd),
        "argv": plan.argv,
        "routes": route_text(plan),
        "remotes": {r.name: r.upstream for r in plan.remotes},
        "sidecars": plan.daemons,
        "limits": asdict(plan.limits),
        "env": [v.name for v in plan.env if v.kind != "placeholder"],
        "tokens": [t.host_var for t in plan.tokens],
        "skills": [p.name for p in plan.skills],
        "checks": checks,
    }
