"""What the preflight says of a launch: everything that will be, nothing that is secret."""

from __future__ import annotations

from backends.api import Check, EnvVar, LaunchPlan, Limits, WorkspaceMode
from botbottle_tui.core.model import Model
from botbottle_tui.core.overlay import Preflight
from botbottle_tui.core.styled import Line, Style, line
from botbottle_tui.core.text import clean
from sidecar_bundle.shared.routes import Route

LABEL = 11


def _field(label: str, text: str, style: Style = "") -> Line:
    return (("dim", f"{label:<{LABEL}}"), (style, clean(text)))


def preflight_status(flight: Preflight) -> tuple[Line, ...]:
    """The line that says whether Enter would start it."""
    if flight.folder is not None:
        return ((("bold", "folder > "), ("", clean(flight.folder)), ("", "▏")),)
    if flight.error:
        return (line(f"cannot start: {flight.error}", "bad"),)
    if flight.prepared is None:
        return (line("checking…", "dim"),)
    failed = sum(not c.ok for c in flight.prepared.checks)
    if failed or flight.prepared.plan is None:
        return (line(f"cannot start: {failed or 'no'} {'check' if failed == 1 else 'checks'} failed", "bad"),)
    return (line("ready: Enter starts it", "ok"),)


def preflight_lines(model: Model, flight: Preflight) -> tuple[Line, ...]:
    """All of it, failed checks first."""
    checks = flight.prepared.checks if flight.prepared else ()
    out = [x for c in checks if not c.ok for x in _check(c)]
    plan = flight.prepared.plan if flight.prepared else None
    spec = flight.spec
    if plan is None:
        out += [_field("agent", spec.agent), _field("backend", spec.backend or "none works here")]
    else:
        out += _who(plan)
    strength = next(
        (b.strength for b in model.backends or () if b.name == (plan.backend if plan else spec.backend)), ""
    )
    out += _many("", [strength] if strength else [])
    mode = {
        WorkspaceMode.COPY: f"copy of {spec.cwd} (w: bind, none; f: folder)",
        WorkspaceMode.BIND: f"{spec.cwd} ITSELF, written by the agent (w: none, copy; f: folder)",
        WorkspaceMode.NONE: "none (w: copy, bind)",
    }[spec.workspace]
    out.append(_field("workspace", mode, "warn" if spec.workspace is WorkspaceMode.BIND else ""))
    if plan is not None:
        out += _what(plan, flight.texts)
    out += [x for c in checks if c.ok for x in _check(c)]
    return tuple(out)


def _who(plan: LaunchPlan) -> list[Line]:
    source = "" if plan.agent_source == "home" else f" (from {_source(plan.agent_source)})"
    return [
        _field("agent", plan.agent + source, "bold"),
        _field("bottle", " < ".join(plan.bottles)),
        _field("provider", f"{plan.provider.name}: {' '.join(plan.argv)}"),
        _field("backend", plan.backend, "bold"),
    ]


def limits_text(limits: Limits) -> str:
    """The bounds of a bottle in a line."""
    return f"{limits.memory >> 20} MiB memory, {limits.pids} processes, {limits.files} open files"


def _source(source: str) -> str:
    return "this repository" if source == "repository" else source


def _what(plan: LaunchPlan, texts: bool) -> list[Line]:
    refs = {t.slot: t.host_var for t in plan.tokens}
    out = _many("routes", [_route(r, refs) for r in plan.routes], "none: nothing outside is reached")
    out += _many("env", [_env(e) for e in plan.env if e.kind != "placeholder"])
    out += _many("skills", [p.name for p in plan.skills])
    out += _many("git", [f"{r.host}: {r.upstream}" for r in plan.remotes])
    out.append(_field("sidecars", ", ".join(plan.daemons)))
    out.append(_field("limits", limits_text(plan.limits)))
    out += _many("note", list(plan.notes), style="warn")
    for i, file in enumerate(plan.files):
        label = "files" if i == 0 else ""
        out.append(_field(label, f"{file.path}  {file.mode:04o}  {len(file.text.encode())} bytes"))
        if texts:
            out += [(("dim", " " * LABEL + "| "), ("", clean(x))) for x in file.text.splitlines()]
    return out


def _many(label: str, texts: list[str], empty: str = "", style: Style = "") -> list[Line]:
    if not texts:
        return [_field(label, empty, "dim")] if empty else []
    return [_field(label if i == 0 else "", text, style) for i, text in enumerate(texts)]


def _route(route: Route, refs: dict[str, str]) -> str:
    words = [route.host, *route.path_allowlist]
    if route.auth:
        ref = refs.get(route.auth.slot, "")
        words.append(f"[auth:{route.auth.scheme}{f' from {ref}' if ref else ''}]")
    if route.tls_passthrough:
        words.append("[not seen by pipelock]")
    if route.ssrf_ip_allowlist:
        words.append(f"[private: {', '.join(route.ssrf_ip_allowlist)}]")
    if route.dlp != "block":
        words.append("[not scanned]" if route.dlp == "off" else f"[dlp:{route.dlp}]")
    if route.prompt_injection != "off":
        words.append(f"[prompt injection:{route.prompt_injection}]")
    return " ".join(words)


def _env(var: EnvVar) -> str:
    if var.kind == "host":
        return f"{var.name} from {var.text}"
    return f"{var.name} (asked for)" if var.kind == "secret" else var.name


def _check(check: Check) -> list[Line]:
    mark: tuple[Style, str] = ("ok", "ok")
    if not check.ok:
        mark = ("bad", "FAILED")
    elif check.warn:
        mark = ("warn", "look")
    out: list[Line] = [
        ((mark[0], f"{mark[1]:<{LABEL}}"), ("bold", clean(check.name)), ("", clean(f": {check.detail}")))
    ]
    if check.fix and (check.warn or not check.ok):
        out.append(_field("", f"fix: {check.fix}"))
    return out
