"""What pipelock v2.3.0 is told: its configuration file and its list of known secrets, from a bottle's configuration.

One unknown key refuses its start, so this is for exactly that version. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sidecar_bundle.shared.config import BundleConfig
from sidecar_bundle.shared.layout import PIPELOCK_PORT

# Egress sets these after it has removed what the agent sent; scanned, every injected token would be a leak.
UNSCANNED_HEADERS = ("Authorization", "X-Api-Key", "X-Goog-Api-Key")
MAX_REQUEST = 64 * 1024 * 1024
MAX_RESPONSE = 100 * 1024 * 1024
# What pipelock's list of known secrets takes.
SHORTEST_SECRET = 16
MOST_SECRETS = 1000


@dataclass(frozen=True, slots=True)
class Paths:
    """Where pipelock finds and keeps things, absolute."""

    ca: str
    ca_key: str
    secrets: str
    audit: str
    sentinel: str


def settings(config: BundleConfig, paths: Paths, direct: bool, port: int = PIPELOCK_PORT) -> dict[str, Any]:
    """The configuration of a bottle with at least one route (strict mode refuses an empty allowlist).

    `direct`: pipelock resolves and dials by itself, so that a route's private networks have to be opened here too.
    """
    nets = sorted({net for route in config.routes for net in route.ssrf_ip_allowlist}) if direct else []
    return {
        "version": 1,
        "mode": "strict",
        "enforce": True,
        "api_allowlist": sorted(route.host for route in config.routes),
        "fetch_proxy": {
            "listen": f"127.0.0.1:{port}",
            "monitoring": {
                "max_url_length": 8192,
                # 8 bits a byte is never reached: names of packages and cursors look as random as secrets do.
                "entropy_threshold": 8.0,
                "subdomain_entropy_threshold": 4.0,
                "max_requests_per_minute": 1_000_000,
            },
        },
        "forward_proxy": {
            "enabled": True,
            "max_tunnel_seconds": 86400,
            "idle_timeout_seconds": 3600,
            # True closes each tunnel silently after one request. Egress sets the name itself.
            "sni_verification": False,
        },
        "tls_interception": {
            "enabled": True,
            "ca_cert": paths.ca,
            "ca_key": paths.ca_key,
            # The wildcard has the meaning of ours here, unlike in api_allowlist: not the name itself.
            "passthrough_domains": sorted(route.host for route in config.routes if route.tls_passthrough),
            "max_response_bytes": MAX_RESPONSE,
        },
        "request_body_scanning": {
            "enabled": True,
            "action": "block",
            "max_body_bytes": MAX_REQUEST,
            "scan_headers": True,
            "header_mode": "all",
            "ignore_headers": list(UNSCANNED_HEADERS),
        },
        "response_scanning": {
            # Off would be more: eight patterns that nothing turns off would then block.
            "enabled": True,
            "action": "warn",
            "sse_streaming": {"enabled": True, "action": "warn", "max_event_bytes": 1024 * 1024},
        },
        "media_policy": {"enabled": False},
        "taint": {"enabled": False},
        "ssrf": {"ip_allowlist": nets},
        "dlp": {"scan_env": False, "secrets_file": paths.secrets},
        "seed_phrase_detection": {"enabled": config.pipelock.seed_phrases},
        "logging": {"format": "json", "output": "file", "file": paths.audit},
        "metrics_listen": f"127.0.0.1:{port + 1}",
        # A file that nobody makes: pipelock's own switch stays off.
        "kill_switch": {"sentinel_file": paths.sentinel},
    }


def text(values: dict[str, Any], serial: int) -> str:
    """The file: JSON, which is YAML too. Without the serial, pipelock skips one that is what it has read lately."""
    return f"# {serial}\n{json.dumps(values, indent=1)}\n"


def known_secrets(values: Iterable[str]) -> tuple[str, ...]:
    """The lines of the file of known secrets that these values make; what is too short for it is left to egress."""
    lines = (line.strip().lstrip("#").strip() for value in values for line in value.splitlines())
    # The frame of a key in PEM form is no secret.
    fit = (line for line in lines if len(line) >= SHORTEST_SECRET and not line.startswith("-----"))
    return tuple(dict.fromkeys(fit))[:MOST_SECRETS]


def must_restart(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether strict mode would refuse to take `new` by a reload, or could not."""
    if _added(old, new, "tls_interception", "passthrough_domains") or _added(old, new, "ssrf", "ip_allowlist"):
        return True
    if old["seed_phrase_detection"]["enabled"] and not new["seed_phrase_detection"]["enabled"]:
        return True
    return _fixed(old) != _fixed(new)


def _added(old: dict[str, Any], new: dict[str, Any], part: str, key: str) -> bool:
    return bool(set(new[part][key]) - set(old[part][key]))


def _fixed(values: dict[str, Any]) -> dict[str, Any]:
    """All but what a reload may change."""
    tls = {k: v for k, v in values["tls_interception"].items() if k != "passthrough_domains"}
    loose = ("api_allowlist", "ssrf", "seed_phrase_detection")
    return {**{k: v for k, v in values.items() if k not in loose}, "tls_interception": tls}
