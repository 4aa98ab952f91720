"""What every bottle gets inside, as values: prompt, skills, git identity, CA and proxy variables, system files."""

from __future__ import annotations

import tarfile
import time
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from agent_image.providers import HOME, PROMPT_PATH, WORKSPACE, Provider
from backends.api import EnvVar, GeneratedFile
from backends.gitrules import git_rules
from backends.truststore import PASSWORD, java_truststore
from manifests.values import GitRemote
from sidecar_bundle.shared import layout

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
CA_ONLY = f"{HOME}/.bot-bottle-ca.crt"
TRUSTSTORE = f"{HOME}/.bot-bottle-truststore.jks"
PROXY_PORT = 9099
# Where the agent finds its sidecars, unless its backend says otherwise.
SIDECAR_HOST = "127.0.0.1"
_NOBODY = "nobody:x:65534:65534::/:/bin/false\n"

# Read the bundle (system roots and the bottle's CA): field reference "CA variables".
_CA_BUNDLE_VARS = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "GIT_PROXY_SSL_CAINFO",
    "NPM_CONFIG_CAFILE", "YARN_HTTPS_CA_FILE_PATH", "CARGO_HTTP_CAINFO", "BUNDLE_SSL_CA_CERT",
    "COMPOSER_CAFILE", "PERL_LWP_SSL_CA_FILE", "HTTPS_CA_FILE", "HEX_CACERTS_PATH", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "AWS_CA_BUNDLE", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "NIX_SSL_CERT_FILE", "CONDA_SSL_VERIFY",
)  # fmt: skip
_CA_ONLY_VARS = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
_PROXY_VARS = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "GRPC_PROXY", "WS_PROXY", "WSS_PROXY")


def base_env(provider: Provider, proxy_host: str = SIDECAR_HOST, port: int = PROXY_PORT) -> dict[str, str]:
    """The variables that every process inside starts with; no secret among them."""
    proxy = f"http://{proxy_host}:{port}"
    env = {
        "HOME": HOME,
        "USER": "agent",
        "LOGNAME": "agent",
        "SHELL": "/bin/bash",
        "PATH": f"{HOME}/.local/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "NODE_USE_ENV_PROXY": "1",
        "NODE_USE_SYSTEM_CA": "1",
        "UV_SYSTEM_CERTS": "1",
        "UV_NATIVE_TLS": "1",
        "DENO_TLS_CA_STORE": "system,mozilla",
        "GIT_TERMINAL_PROMPT": "0",
        "BOT_BOTTLE": "1",
    }
    for name in _CA_BUNDLE_VARS:
        env[name] = CA_BUNDLE
    for name in _CA_ONLY_VARS:
        env[name] = CA_ONLY
    for name in _PROXY_VARS:
        env[name] = env[name.lower()] = proxy
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(dict.fromkeys(("localhost", "127.0.0.1", "::1", proxy_host)))
    for name in ("npm_config_proxy", "npm_config_https_proxy"):
        env[name] = proxy
    java = [
        f"-D{scheme}.proxy{part}" for scheme in ("http", "https") for part in (f"Host={proxy_host}", f"Port={port}")
    ]
    java += [f"-Djavax.net.ssl.trustStore={TRUSTSTORE}", f"-Djavax.net.ssl.trustStorePassword={PASSWORD}"]
    env["JAVA_TOOL_OPTIONS"] = " ".join(java)
    return {**env, **provider.env}


def services_env(daemons: Sequence[str], host: str = SIDECAR_HOST) -> dict[str, str]:
    """Where the agent finds the sidecars that it talks to by itself."""
    urls = {
        layout.SUPERVISE: ("MCP_SUPERVISE_URL", f"http://{host}:{layout.SUPERVISE_PORT}/mcp"),
        layout.GIT_GATE: ("GIT_GATE_URL", f"git://{host}:{layout.GIT_GATE_PORT}"),
    }
    return dict(urls[name] for name in urls if name in daemons)


def agent_env(
    provider: Provider,
    env: Sequence[EnvVar],
    values: Mapping[str, str],
    daemons: Sequence[str] = (),
    host: str = SIDECAR_HOST,
) -> dict[str, str]:
    """The agent's whole environment: base, provider's, services', the manifest's literals, and `values` by name."""
    out = base_env(provider, host) | services_env(daemons, host)
    for var in env:
        out[var.name] = var.text if var.kind in ("literal", "placeholder") else values[var.name]
    return out


def home_files(
    provider: Provider,
    *,
    prompt: str,
    git_name: str,
    git_email: str,
    remotes: Sequence[GitRemote] = (),
    host: str = SIDECAR_HOST,
) -> tuple[GeneratedFile, ...]:
    """Files below HOME: the prompt (0600), AGENTS.md, git's settings and the provider's own. Skills are copied."""
    files = [GeneratedFile(f"{HOME}/{path}", text) for path, text in provider.home_files.items()]
    if prompt:
        files.append(GeneratedFile(PROMPT_PATH, prompt + "\n", 0o600))
        files.append(GeneratedFile(f"{HOME}/AGENTS.md", prompt + "\n", 0o600))
    identity = [f"\t{key} = {_git_value(value)}" for key, value in (("name", git_name), ("email", git_email)) if value]
    lines = [
        *(["[user]", *identity] if identity else []),
        "[safe]",
        f"\tdirectory = {WORKSPACE}",
        *git_rules(remotes, f"git://{host}:{layout.GIT_GATE_PORT}"),
    ]
    files.append(GeneratedFile(f"{HOME}/.gitconfig", "\n".join(lines) + "\n"))
    return tuple(files)


def ca_files(roots: str, ca: str) -> tuple[GeneratedFile, ...]:
    """The bottle's CA for every tool: added to the system's roots, alone, and in a store for Java (PEM in)."""
    whole = roots.rstrip("\n") + "\n" + ca
    return (
        GeneratedFile("/etc/ca-certificates.crt", whole),
        GeneratedFile(CA_ONLY, ca),
        GeneratedFile(TRUSTSTORE, "", binary=java_truststore(whole)),
    )


def _git_value(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def system_files(slug: str, uid: int = 1000) -> tuple[GeneratedFile, ...]:
    """The few files of /etc that are the bottle's own: who it is, and that names are egress's business."""
    return (
        GeneratedFile("/etc/passwd", f"agent:x:{uid}:{uid}:agent:{HOME}:/bin/bash\n{_NOBODY}"),
        GeneratedFile("/etc/group", f"agent:x:{uid}:\nnogroup:x:65534:\n"),
        GeneratedFile("/etc/hosts", f"127.0.0.1 localhost {slug}\n::1 localhost\n"),
        GeneratedFile("/etc/hostname", f"{slug}\n"),
        GeneratedFile("/etc/resolv.conf", "# No resolver: egress looks names up for allowed hosts.\n"),
        GeneratedFile("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
        GeneratedFile("/etc/profile", 'PS1="\\u@bottle:\\w\\$ "\n[ -r ~/.bashrc ] && . ~/.bashrc\n:\n'),
        GeneratedFile("/etc/gitconfig", "[core]\n\tfsmonitor = false\n"),
    )


# Takes what `packed` makes, inside a bottle.
UNPACK = ("tar", "-xpf", "-", "-C", "/", "--no-same-owner", "--no-overwrite-dir")


def packed(files: Sequence[GeneratedFile], folders: Sequence[tuple[str, Path]] = ()) -> bytes:
    """A tar of files, and of whole host `folders` as (path inside, folder), for a running bottle: see `UNPACK`."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in files:
            info = tarfile.TarInfo(file.path.lstrip("/"))
            info.size, info.mode, info.mtime = len(file.content), file.mode, int(time.time())
            tar.addfile(info, BytesIO(file.content))
        for inside, folder in folders:
            tar.add(folder, inside.lstrip("/"))
    return buffer.getvalue()
