"""The stand-in's configuration: JSON with comment lines before it, strict about keys, with pipelock's defaults."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import stat
from pathlib import Path
from typing import Any

SENSITIVE = ["Authorization", "Cookie", "X-Api-Key", "X-Token", "Proxy-Authorization", "X-Goog-Api-Key"]
# Sections and their keys with the defaults that hold when a file does not name them.
DEFAULTS: dict[str, dict[str, Any]] = {
    "fetch_proxy": {"listen": "127.0.0.1:8888", "monitoring": {}},
    "fetch_proxy.monitoring": {
        "max_url_length": 2048,
        "entropy_threshold": 4.5,
        "subdomain_entropy_threshold": 4.0,
        "max_requests_per_minute": 60,
    },
    "forward_proxy": {
        "enabled": False,
        "max_tunnel_seconds": 300,
        "idle_timeout_seconds": 120,
        "sni_verification": True,
    },
    "tls_interception": {
        "enabled": False,
        "ca_cert": "",
        "ca_key": "",
        "passthrough_domains": [],
        "max_response_bytes": 5 << 20,
    },
    "request_body_scanning": {
        "enabled": True,
        "action": "warn",
        "max_body_bytes": 5 << 20,
        "scan_headers": True,
        "header_mode": "sensitive",
        "sensitive_headers": [
            "Authorization",
            "Cookie",
            "X-Api-Key",
            "X-Token",
            "Proxy-Authorization",
            "X-Goog-Api-Key",
        ],
        "ignore_headers": [],
    },
    "response_scanning": {"enabled": True, "action": "warn", "sse_streaming": {}},
    "response_scanning.sse_streaming": {"enabled": True, "action": "block", "max_event_bytes": 65536},
    "media_policy": {"enabled": True},
    "taint": {"enabled": True},
    "ssrf": {"ip_allowlist": []},
    "dlp": {"scan_env": True, "secrets_file": ""},
    "seed_phrase_detection": {"enabled": True},
    "logging": {"format": "json", "output": "stdout", "file": ""},
    "kill_switch": {"enabled": False, "sentinel_file": ""},
}
TOP: dict[str, Any] = {
    "version": 1,
    "mode": "balanced",
    "enforce": True,
    "api_allowlist": [],
    "metrics_listen": "",
    "trusted_domains": [],
}


class ConfigFault(Exception):
    """Why a configuration is refused; the text is one line."""


class Config:
    """A file as pipelock understands it: `get("section", "key")`, the known secrets, and the hash of its bytes."""

    def __init__(self, path: Path) -> None:
        try:
            data = path.read_bytes()
            lines = data.decode().splitlines()
            raw = json.loads("\n".join(line for line in lines if not line.startswith("#")))
        except (OSError, ValueError) as error:
            raise ConfigFault(f"reading config {path}: {error}") from None
        self.hash = hashlib.sha256(data).hexdigest()
        self._top = {**TOP, **{k: v for k, v in _known(raw, TOP, DEFAULTS, "").items() if k in TOP}}
        self._sections = {}
        for name, defaults in DEFAULTS.items():
            outer, _, inner = name.partition(".")
            given = raw.get(outer, {})
            given = given.get(inner, {}) if inner else given
            self._sections[name] = {**defaults, **_known(given, defaults, {}, f"{name}.")}
        self._check(path.parent)

    def top(self, key: str) -> Any:
        return self._top[key]

    def get(self, section: str, key: str) -> Any:
        return self._sections[section][key]

    def _check(self, folder: Path) -> None:
        if self.top("mode") == "strict" and not self.top("api_allowlist"):
            raise ConfigFault("invalid config: strict mode requires at least one entry in api_allowlist")
        for net in self.get("ssrf", "ip_allowlist"):
            if ipaddress.ip_network(net).prefixlen == 0:
                raise ConfigFault(f"invalid config: ssrf.ip_allowlist: {net} is the whole address space")
        self.secrets: tuple[str, ...] = ()
        if name := self.get("dlp", "secrets_file"):
            path = folder / name
            _check_mode(path, "secrets_file")
            lines = [line.strip() for line in path.read_text().splitlines()]
            self.secrets = tuple(s for s in lines if len(s) >= 16 and not s.startswith("#"))[:1000]
        if self.get("tls_interception", "enabled"):
            self.ca = tuple(folder / self.get("tls_interception", key) for key in ("ca_cert", "ca_key"))
            _check_mode(self.ca[1], "tls_interception.ca_key")

    def downgrades(self, new: Config) -> list[str]:
        """What strict mode refuses to take by a reload."""
        out = []
        if new.top("mode") != "strict":
            out.append("mode changed from strict")
        for section, key in (("tls_interception", "passthrough_domains"), ("ssrf", "ip_allowlist")):
            if set(new.get(section, key)) - set(self.get(section, key)):
                out.append(f"{section}.{key} expanded")
        if set(new.top("trusted_domains")) - set(self.top("trusted_domains")):
            out.append("trusted_domains expanded")
        for section in ("request_body_scanning", "response_scanning", "seed_phrase_detection"):
            if self.get(section, "enabled") and not new.get(section, "enabled"):
                out.append(f"{section} disabled")
        if self.get("dlp", "secrets_file") != new.get("dlp", "secrets_file"):
            out.append("dlp.secrets_file changed")
        return out


def check_ca_key(path: Path) -> None:
    """Only a SEC1 elliptic curve key will do; found at the start, not by `check`."""
    if "-----BEGIN EC PRIVATE KEY-----" not in path.read_text():
        raise ConfigFault("load TLS CA: parse CA key: x509: failed to parse EC private key")


def _check_mode(path: Path, key: str) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise ConfigFault(f"invalid config: {key}: {path}: {error.strerror}") from None
    if mode & 0o137:
        raise ConfigFault(f"invalid config: {key}: {path} has insecure permissions {mode:04o}")


def _known(raw: Any, keys: dict[str, Any], more: dict[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ConfigFault(f"parsing config: {where.rstrip('.') or 'file'}: not a mapping")
    for key in raw:
        if key not in keys and key not in more:
            raise ConfigFault(f"parsing config: unknown field {where}{key}")
    return raw
