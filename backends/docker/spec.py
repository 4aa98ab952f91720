"""What the engine is asked for: the networks and containers of one bottle as values. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_image.providers import HOME, WORKSPACE
from backends.api import Limits
from sidecar_bundle.shared import layout

PREFIX = "io.bot-bottle."
SCHEMA = "1"
COMPOSE = "com.docker.compose."
COMPOSE_VERSION = "2.26.1"  # whose labels these are
SIDECARS = "sidecars"  # the name by which the agent reaches its bundle
# Where the bundle finds things in its container; the image's Dockerfile puts the first three there.
PYTHON = "/opt/bundle/bin/python"
SUPERVISE_PYTHON = "/opt/supervise/bin/python"
INIT = "/opt/app/sidecar_bundle/init/__main__.py"
WHO = "bundle-passwd"
STATE, ANSWERS, ROOTS = "/run/bundle", "/run/answers", "/run/roots.pem"
SPEC = "spec.json"
LAUNCHED = "/run/bot-bottle-launched"
RESTARTED = "this container was started again by someone else, without its closed network: stop the bottle"
# The fence goes with the container's network, so only the start that a launch makes may last: no other one finds its
# file, which is in a tmpfs, and nothing runs in a container that waits for it. The engine writes /.dockerenv when it
# makes a container.
_STAY = f"""made=$(stat -c %Y /.dockerenv 2>/dev/null || date +%s)
until [ -e {LAUNCHED} ]; do
  [ $(($(date +%s) - made)) -lt 60 ] || {{ echo "{RESTARTED}" >&2; exit 1; }}
  sleep 0.1
done
exec sleep infinity"""
_ENTER = f'[ -e {LAUNCHED} ] || {{ echo "{RESTARTED}" >&2; exit 126; }}; cd "$0" && exec "$@"'
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
    """Whose a bottle is: the state folder it belongs to (a digest, with the host), the user, the host and its boot."""

    home: str
    uid: int
    boot: str
    host: str = ""


def labels(
    slug: str, owner: Owner, role: str, service: str = "", *, run: str = "", kind: str = "network"
) -> dict[str, str]:
    """The labels of one part; `service` "" is a network or, by `kind`, a volume. Compose tools list it as a project."""
    own = {"slug": slug, "home": owner.home, "uid": str(owner.uid), "host": owner.host, "boot": owner.boot}
    out = {PREFIX + key: value for key, value in {**own, "role": role, "schema": SCHEMA}.items()}
    compose = {"project": Names.of(slug).project, "version": COMPOSE_VERSION}
    if service:
        compose |= {"service": service, "container-number": "1", "oneoff": "False"}
        compose["depends_on"] = f"{SIDECARS}:service_started:false" if service == "agent" else ""
        if run:
            compose |= {"project.working_dir": run, "project.config_files": f"{run}/{SPEC}"}
    else:
        compose[kind] = role
    return out | {COMPOSE + key: value for key, value in compose.items()}


def image_labels(owner: Owner) -> dict[str, str]:
    """The label of an image: all of an engine share it, and who built it may remove it. One, since each is a step."""
    return {PREFIX + "image": f"{owner.uid}@{owner.host}"}


def composed(wanted: Mapping[str, Any], image: str) -> dict[str, str]:
    """The labels of a container that is about to be made, with those that tell what of: `image` is the image's id."""
    made = json.dumps({**wanted, "config": {**wanted["config"], "labels": {}}}, sort_keys=True, default=str)
    digest = hashlib.sha256(made.encode()).hexdigest()
    return {**wanted["config"]["labels"], COMPOSE + "config-hash": digest, COMPOSE + "image": image}


def whose(tags: Mapping[str, str], me: Owner) -> str:
    """In words, whose a bottle with these labels (without their prefix) is that is not of my state folder."""
    if tags.get("host", "") != me.host:
        return f"of user {tags.get('uid', '?')} on {tags.get('host') or 'another host'}"
    return f"of user {tags.get('uid', '?')}" if tags.get("uid") != str(me.uid) else "of another state folder"


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
            "labels": labels(slug, owner, "sidecars", SIDECARS, run=run),
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
            "entrypoint": ["sh", "-c", _STAY],
            "command": [],
            "hostname": slug,
            "user": f"{uid}:{uid}",
            "working_dir": HOME,
            "environment": {},
            "labels": labels(slug, owner, "agent", "agent", run=run),
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
    """`docker exec` that takes the values of the variables `names` from its own environment, never from its argv.

    It runs nothing in a container that someone else started again.
    """
    out = [docker, "exec", "-i", *(["-t"] if tty else []), "-u", f"{uid}:{uid}"]
    for name in names:
        out += ["-e", name]
    return [*out, container, "sh", "-c", _ENTER, folder, *argv]


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
