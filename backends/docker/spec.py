"""What the engine is asked for: the networks and containers of one bottle as values. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_image.providers import HOME, WORKSPACE
from backends.api import Limits
from sidecar_bundle.shared import layout

PREFIX = "io.bot-bottle."
SCHEMA = "1"
SIDECARS = "sidecars"  # the name by which the agent reaches its bundle
# Where the bundle finds things in its container; the image's Dockerfile puts the first three there.
PYTHON = "/opt/bundle/bin/python"
SUPERVISE_PYTHON = "/opt/supervise/bin/python"
INIT = "/opt/app/sidecar_bundle/init/__main__.py"
WHO = "bundle-passwd"
STATE, ANSWERS, ROOTS = "/run/bundle", "/run/answers", "/run/roots.pem"
BUNDLE_MEMORY = 2 << 30
BUNDLE_PIDS = 512


@dataclass(frozen=True, slots=True)
class Names:
    """What the engine calls the parts of a bottle."""

    project: str
    agent: str
    sidecars: str
    inner: str
    outer: str

    @classmethod
    def of(cls, slug: str) -> Names:
        """Those of a slug."""
        base = f"bot-bottle-{slug}"
        return cls(base, base, f"bot-bottle-sidecars-{slug}", f"bot-bottle-net-{slug}", f"bot-bottle-egress-{slug}")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a bottle is: the state folder it belongs to (a digest), the user, and the host's boot."""

    home: str
    uid: int
    boot: str


def labels(slug: str, owner: Owner, role: str, service: str = "") -> dict[str, str]:
    """The labels of one part; `service` "" is a network. Compose tools list the bottle as a project."""
    own = {"slug": slug, "home": owner.home, "uid": str(owner.uid), "boot": owner.boot, "role": role, "schema": SCHEMA}
    out = {PREFIX + key: value for key, value in own.items()}
    out["com.docker.compose.project"] = Names.of(slug).project
    if service:
        out["com.docker.compose.service"] = service
        out["com.docker.compose.container-number"] = "1"
        out["com.docker.compose.oneoff"] = "False"
    else:
        out["com.docker.compose.network"] = role
    return out


def network(slug: str, owner: Owner, *, inner: bool) -> dict[str, Any]:
    """The arguments of `create_network`. The inner one has no gateway: an internal network alone still has the host."""
    names = Names.of(slug)
    return {
        "name": names.inner if inner else names.outer,
        "driver": "bridge",
        "internal": inner,
        "enable_ipv6": False,
        "check_duplicate": True,
        "options": {"com.docker.network.bridge.inhibit_ipv4": "true"} if inner else {},
        "labels": labels(slug, owner, "inner" if inner else "outer"),
    }


def _hardened(memory: int, pids: int, files: int) -> dict[str, Any]:
    return {
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "read_only": True,
        "pids_limit": pids,
        "mem_limit": memory,
        "memswap_limit": memory,
        "ulimits": [{"Name": "nofile", "Soft": files, "Hard": files}, {"Name": "core", "Soft": 0, "Hard": 0}],
        "sysctls": {"net.ipv6.conf.all.disable_ipv6": "1"},
        "log_config": {"Type": "json-file", "Config": {"max-size": "4m", "max-file": "1"}},
    }


def _tmpfs(size: int, uid: int, mode: str, options: str = "nosuid,nodev") -> str:
    return f"rw,{options},size={size},uid={uid},gid={uid},mode={mode}"


def bundle(slug: str, owner: Owner, image: str, *, run: str, uid: int, daemons: Sequence[str]) -> dict[str, Any]:
    """The bundle's container: `name`, `config` for `create_container` and `host` for `create_host_config`.

    `run` is the bottle's folder on the host, `uid` who the bundle runs as.
    """
    env = {
        layout.CONTROL_ENV: f"{STATE}/control.sock",
        layout.STATE_ENV: STATE,
        layout.ANSWERS_ENV: ANSWERS,
        layout.UPSTREAM_CA_ENV: ROOTS,
        layout.DAEMONS_ENV: ",".join(daemons),
        layout.GITLEAKS_ENV: "/usr/local/bin/gitleaks",
        layout.PIPELOCK_ENV: "/usr/local/bin/pipelock",
        layout.SUPERVISE_PYTHON_ENV: SUPERVISE_PYTHON,
        "BOT_BOTTLE_SUPERVISE_HOSTS": f"{SIDECARS}:{layout.SUPERVISE_PORT}",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
    }
    host = _hardened(BUNDLE_MEMORY, BUNDLE_PIDS, 4096)
    host["sysctls"]["net.ipv4.ip_forward"] = "0"
    host["tmpfs"] = {"/tmp": _tmpfs(64 << 20, uid, "0700", "nosuid,nodev,noexec")}
    host["binds"] = [f"{run}/bundle:{STATE}:rw", f"{run}/answers:{ANSWERS}:ro", f"{run}/roots.pem:{ROOTS}:ro"]
    # SSH asks who it is.
    host["binds"].append(f"{run}/{WHO}:/etc/passwd:ro")
    return {
        "name": Names.of(slug).sidecars,
        "config": {
            "image": image,
            "command": [PYTHON, "-I", INIT],
            "hostname": SIDECARS,
            "user": f"{uid}:{uid}",
            "environment": env,
            "labels": labels(slug, owner, "sidecars", "sidecars"),
        },
        "host": host,
        "aliases": [SIDECARS],
    }


def agent(
    slug: str,
    owner: Owner,
    image: str,
    *,
    run: str,
    uid: int,
    limits: Limits,
    bundle_address: str,
    workspace: str = "",
    read_only: Sequence[str] = (),
    runtime: str = "",
) -> dict[str, Any]:
    """The agent's container, as `bundle`. `workspace` is a host folder to show; `read_only` what of it stays so.

    Its resolver is the bundle, which refuses every name: names are for egress.
    """
    host = _hardened(limits.memory, limits.pids, limits.files)
    host["init"] = True
    host["tmpfs"] = {
        "/tmp": _tmpfs(limits.tmpfs, uid, "1777", "exec,nosuid,nodev"),
        "/run": _tmpfs(16 << 20, uid, "0755", "nosuid,nodev,noexec"),
        HOME: _tmpfs(limits.tmpfs, uid, "0700", "exec,nosuid,nodev"),
    }
    files = ("passwd", "group", "profile", "gitconfig")
    host["binds"] = [f"{run}/files/etc/{name}:/etc/{name}:ro" for name in files]
    host["binds"].append(f"{run}/files/etc/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro")
    if workspace:
        host["binds"].append(f"{workspace}:{WORKSPACE}:rw")
        host["binds"] += [f"{path}:{WORKSPACE}{path[len(workspace) :]}:ro" for path in read_only]
    host["extra_hosts"] = {SIDECARS: str(ipaddress.ip_address(bundle_address))}
    host["dns"] = [bundle_address]
    host["dns_opt"] = ["timeout:1", "attempts:1"]
    if runtime:
        host["runtime"] = runtime
    return {
        "name": Names.of(slug).agent,
        "config": {
            "image": image,
            # Whatever entry point its image has.
            "entrypoint": ["sleep"],
            "command": ["infinity"],
            "hostname": slug,
            "user": f"{uid}:{uid}",
            "working_dir": HOME,
            "environment": {},
            "labels": labels(slug, owner, "agent", "agent"),
        },
        "host": host,
        "aliases": [],
    }


def prober(slug: str, owner: Owner, image: str, command: Sequence[str]) -> dict[str, Any]:
    """The short-lived container that fences the agent's network and tries it out, as `bundle`."""
    host = _hardened(256 << 20, 32, 256)
    del host["sysctls"]  # the network is another's
    host["cap_add"] = ["NET_ADMIN"]
    return {
        "name": f"bot-bottle-probe-{slug}",
        "config": {
            "image": image,
            "command": list(command),
            "user": "0:0",
            "labels": labels(slug, owner, "probe", "probe") | {"com.docker.compose.oneoff": "True"},
        },
        "host": host,
    }


def exec_argv(
    docker: str, container: str, uid: int, names: Sequence[str], argv: Sequence[str], *, tty: bool, folder: str
) -> list[str]:
    """`docker exec` that takes the values of the variables `names` from its own environment, never from its argv."""
    out = [docker, "exec", "-i", *(["-t"] if tty else []), "-u", f"{uid}:{uid}", "-w", folder]
    for name in names:
        out += ["-e", name]
    return [*out, container, *argv]


def containers(raw: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """From one listing of the engine: slug to role to the container's state; of two (a rebuild) the running one's."""
    out: dict[str, dict[str, str]] = {}
    for one in raw:
        tags = one.get("Labels") or {}
        slug, role = tags.get(PREFIX + "slug", ""), tags.get(PREFIX + "role", "")
        if slug and role:
            known = out.setdefault(slug, {})
            if known.get(role) != "running":
                known[role] = str(one.get("State", ""))
    return out
