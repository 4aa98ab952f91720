"""Variables of the agent: the three kinds of entry, and the names that the sandbox keeps for itself."""

from __future__ import annotations

import re

from manifests.frontmatter import Document, Node
from manifests.values import EnvEntry

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_HOST = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}\Z")

_PROXY = "the sandbox sets it to its egress proxy, the only way out"
_USER = "the sandbox sets it for its own user"
_CA = "the sandbox sets it to the certificates that the agent must trust"
_LOADER = "it loads code into every program of the sandbox"
_SERVICE = "the sandbox sets it to its own service"
_SLOT = "credentials are given to egress alone: use a route's auth"

_PROXIES = """
http_proxy https_proxy all_proxy ftp_proxy ws_proxy wss_proxy grpc_proxy no_proxy npm_config_proxy
npm_config_https_proxy
"""
_CERTIFICATES = """
NODE_EXTRA_CA_CERTS NODE_USE_SYSTEM_CA SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE PIP_CERT
UV_SYSTEM_CERTS UV_NATIVE_TLS CONDA_SSL_VERIFY GIT_SSL_CAINFO GIT_SSL_CAPATH GIT_PROXY_SSL_CAINFO
NPM_CONFIG_CAFILE npm_config_cafile YARN_HTTPS_CA_FILE_PATH DENO_CERT DENO_TLS_CA_STORE CARGO_HTTP_CAINFO
CODEX_CA_CERTIFICATE BUNDLE_SSL_CA_CERT COMPOSER_CAFILE PERL_LWP_SSL_CA_FILE HTTPS_CA_FILE HEX_CACERTS_PATH
GRPC_DEFAULT_SSL_ROOTS_FILE_PATH AWS_CA_BUNDLE CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE NIX_SSL_CERT_FILE
HOMEBREW_CURLRC
"""
_RESERVED = {
    **dict.fromkeys([*_PROXIES.split(), *_PROXIES.upper().split(), "NODE_USE_ENV_PROXY", "JAVA_TOOL_OPTIONS"], _PROXY),
    **dict.fromkeys(["PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD"], _USER),
    **dict.fromkeys(_CERTIFICATES.split(), _CA),
    **dict.fromkeys(["GIT_GATE_URL", "MCP_SUPERVISE_URL"], _SERVICE),
}
_PREFIXES = {"EGRESS_": _SLOT, "BOT_BOTTLE": _SERVICE, "LD_": _LOADER}


def reserved(name: str) -> str:
    """Why a manifest may not set this variable, or "" when it may."""
    return _RESERVED.get(name) or next((why for start, why in _PREFIXES.items() if name.startswith(start)), "")


def read_env(doc: Document, node: Node) -> dict[str, EnvEntry]:
    """The entries of a checked `env` mapping, or `ManifestError`."""
    entries: dict[str, EnvEntry] = {}
    for name, value in node.entries.items():
        dotted, line = f"env.{name}", node.keys[name]
        if not NAME.match(name):
            raise doc.error(line, dotted, "is not a variable's name (allowed: letters, digits and _, no digit first)")
        if why := reserved(name):
            raise doc.error(line, dotted, f"is reserved: {why}")
        entries[name] = _entry(doc, value, name, dotted)
    return entries


def _entry(doc: Document, value: Node, name: str, dotted: str) -> EnvEntry:
    text = value.text
    if text.startswith("?"):
        return EnvEntry(name, "secret", text[1:].strip() or f"Value of {name}")
    if host := _HOST.match(text):
        return EnvEntry(name, "host", host[1])
    if text.startswith("${") and text.find("}") == len(text) - 1:
        raise doc.error(value.line, dotted, f"{text!r} does not name a host variable (allowed: ${{NAME}})")
    return EnvEntry(name, "literal", text)
