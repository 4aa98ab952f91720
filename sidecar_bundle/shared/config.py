"""A bottle's configuration as the host sends it to init, and init to its daemons: names and rules, never a secret."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar_bundle.shared.layout import DAEMONS, EGRESS
from sidecar_bundle.shared.routes import Route, RouteError, dump_routes, parse_routes

REMOTE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:_-]{0,252}\Z")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\Z")
_PATH = re.compile(r"[A-Za-z0-9/~_.+][A-Za-z0-9/~_.+-]{0,1023}\Z")
_ONE_LINE = re.compile(r"[ -~]{0,16384}\Z")


class ConfigError(ValueError):
    """A configuration that cannot be used; the text is one line that names the key."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A git upstream, served as `/<name>.git`. `host` is where SSH connects, `upstream` what the manifest says."""

    name: str
    host: str
    user: str
    port: int
    path: str
    upstream: str
    known_host_key: str = ""
    extra_hosts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Pipelock:
    """`required`: nothing passes without it; `seed_phrases`: its detection of wallet seed phrases is on."""

    required: bool = False
    seed_phrases: bool = False


@dataclass(frozen=True, slots=True)
class BundleConfig:
    """What one bottle's bundle does. `daemons` are those that it runs, in any order."""

    slug: str
    routes: tuple[Route, ...] = ()
    daemons: tuple[str, ...] = (EGRESS,)
    pipelock: Pipelock = Pipelock()
    remotes: tuple[Remote, ...] = ()


def dump_config(config: BundleConfig) -> dict[str, Any]:
    """Ready for `json.dumps`; the inverse of `parse_config`."""
    remotes = [
        {
            "name": r.name,
            "host": r.host,
            "user": r.user,
            "port": r.port,
            "path": r.path,
            "upstream": r.upstream,
            "known_host_key": r.known_host_key,
            "extra_hosts": dict(r.extra_hosts),
        }
        for r in config.remotes
    ]
    return {
        "slug": config.slug,
        **dump_routes(config.routes),
        "daemons": list(config.daemons),
        "pipelock": {"required": config.pipelock.required, "seed_phrases": config.pipelock.seed_phrases},
        "remotes": remotes,
    }


def parse_config(raw: Any) -> BundleConfig:
    """The value of decoded JSON; all but routes has a default. Raises `ConfigError`."""
    if not isinstance(raw, Mapping):
        raise ConfigError("config must be a mapping")
    if unknown := set(raw) - {"slug", "routes", "daemons", "pipelock", "remotes"}:
        raise ConfigError(f"config: {sorted(map(str, unknown))[0][:40]} is unknown")
    try:
        routes = parse_routes({"routes": raw.get("routes")})
    except RouteError as error:
        raise ConfigError(f"config: {error}") from None
    daemons = raw.get("daemons", [EGRESS])
    if not isinstance(daemons, list | tuple) or any(d not in DAEMONS for d in daemons):
        raise ConfigError(f"config: daemons must be some of {', '.join(DAEMONS)}")
    pipelock = raw.get("pipelock", {})
    if not isinstance(pipelock, Mapping) or set(pipelock) - {"required", "seed_phrases"}:
        raise ConfigError("config: pipelock must hold required and seed_phrases")
    if any(not isinstance(value, bool) for value in pipelock.values()):
        raise ConfigError("config: pipelock.required and pipelock.seed_phrases are true or false")
    remotes = raw.get("remotes", [])
    if not isinstance(remotes, list | tuple):
        raise ConfigError("config: remotes must be a list")
    parsed = tuple(_remote(one, i) for i, one in enumerate(remotes))
    if len({r.name.lower() for r in parsed}) != len(parsed):
        raise ConfigError("config: two remotes have one name")
    slug = str(raw.get("slug", ""))[:100]
    return BundleConfig(slug, routes, tuple(dict.fromkeys(daemons)), Pipelock(**pipelock), parsed)


def _remote(raw: Any, index: int) -> Remote:
    def fail(key: str) -> ConfigError:
        return ConfigError(f"config: remotes[{index}].{key} cannot be used")

    if not isinstance(raw, Mapping):
        raise fail("name")
    checks = {"name": REMOTE_NAME, "host": _HOST, "user": _USER, "path": _PATH, "upstream": _ONE_LINE}
    for key, pattern in {**checks, "known_host_key": _ONE_LINE}.items():
        if not isinstance(raw.get(key, ""), str) or not pattern.match(raw.get(key, "")):
            # An empty known_host_key is valid: the gate then refuses to forward, and says so.
            raise fail(key)
    port, hosts = raw.get("port", 22), raw.get("extra_hosts", {})
    if type(port) is not int or not 0 < port < 65536:
        raise fail("port")
    if not isinstance(hosts, Mapping):
        raise fail("extra_hosts")
    try:
        extra = tuple((str(name), str(ipaddress.ip_address(address))) for name, address in hosts.items())
    except ValueError:
        raise fail("extra_hosts") from None
    return Remote(
        raw["name"], raw["host"], raw["user"], port, raw["path"], raw["upstream"], raw.get("known_host_key", ""), extra
    )
