"""How the gate reaches one upstream over SSH: one pinned host key, one key, nobody's configuration."""

from __future__ import annotations

import shlex
from pathlib import Path

from sidecar_bundle.gitgate.run import Done
from sidecar_bundle.shared.config import Remote

CONNECT_SECONDS = 10
# What git and known_hosts call the other side, whatever its name, address and port are.
ALIAS = "git-upstream"


def no_host_key(remote: Remote) -> str:
    """Why nothing goes to a remote without a pinned host key."""
    return (
        f"{remote.name} has no KnownHostKey under git.remotes in the bottle's manifest, and no host is trusted on "
        f"sight; the operator runs: bottle-dash pin BOTTLE {remote.name}"
    )


def url(remote: Remote) -> str:
    """The remote as git is told it; where that leads, only the configuration file says."""
    if remote.path.startswith("/"):
        return f"ssh://{ALIAS}{remote.path}"
    return f"{ALIAS}:{remote.path}"


def host_key(text: str) -> str:
    """Type and key of a `KnownHostKey`, which may begin with the host as a line of known_hosts does."""
    words = text.split()
    start = 0 if words and (words[0].startswith(("ssh-", "ecdsa-", "sk-"))) and len(words) > 1 else 1
    return " ".join(words[start : start + 2])


def write_config(
    folder: Path, remote: Remote, *, agent: str, public_key: str, dial: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Writes the remote's SSH files into `folder` and answers the command that git runs for SSH.

    `agent` is the socket of the agent with the key, `dial` the command that passes a connected socket back ((): SSH
    connects by itself).
    """
    known, public, config = (folder / f"{remote.name}.{kind}" for kind in ("known", "pub", "conf"))
    known.write_text(f"{ALIAS} {host_key(remote.known_host_key)}\n")
    public.write_text(public_key.strip() + "\n")
    address = dict(remote.extra_hosts).get(remote.host.lower(), remote.host)
    lines = [
        f"HostName {address}",
        f"Port {remote.port}",
        f"User {remote.user}",
        f"HostKeyAlias {ALIAS}",
        f'UserKnownHostsFile "{known}"',
        "GlobalKnownHostsFile none",
        "StrictHostKeyChecking yes",
        "UpdateHostKeys no",
        "VerifyHostKeyDNS no",
        "IdentitiesOnly yes",
        f'IdentityAgent "{agent}"' if agent else "IdentityAgent none",
        f'IdentityFile "{public}"',
        "CertificateFile none",
        "PreferredAuthentications publickey",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "GSSAPIAuthentication no",
        "HostbasedAuthentication no",
        "BatchMode yes",
        "ForwardAgent no",
        "ForwardX11 no",
        "ClearAllForwardings yes",
        "PermitLocalCommand no",
        "ControlMaster no",
        "ControlPath none",
        f"ConnectTimeout {CONNECT_SECONDS}",
        "ConnectionAttempts 1",
        "ServerAliveInterval 10",
        "ServerAliveCountMax 3",
        "RequestTTY no",
        "LogLevel ERROR",
    ]
    if dial:
        # By its declared name: the dialer knows the addresses that were declared for it.
        command = shlex.join([*dial, remote.host, str(remote.port)]).replace("%", "%%")
        lines += [f"ProxyCommand {command}", "ProxyUseFdpass yes"]
    config.write_text(f"Host {ALIAS}\n" + "".join(f"  {line}\n" for line in lines))
    return ("ssh", "-F", str(config))


def reason(remote: Remote, done: Done) -> str:
    """Why git did not reach the upstream, in one line."""
    place = f"{remote.host}:{remote.port}"
    text = "\n".join(done.lines)
    own = next((line for line in done.lines if line.startswith("git-gate: ")), "")
    if own:
        return own.removeprefix("git-gate: ")
    if "Host key verification failed" in text or "REMOTE HOST IDENTIFICATION" in text:
        return f"the host key of {place} is not the one that KnownHostKey of {remote.name} pins"
    if "Permission denied" in text or "sign_and_send_pubkey" in text:
        return f"{remote.user}@{place} does not accept the key of {remote.name}"
    for line in done.lines:
        if line.startswith(("ssh: ", "Connection ", "kex_exchange", "banner exchange")):
            return f"{place}: {line.removeprefix('ssh: ').replace(ALIAS, remote.host)}"
    said = [line for line in done.lines if line.startswith(("fatal: ", "error: ", "ERROR", "remote: "))]
    return f"{place}: {(said or done.lines or ['git ended without a reason'])[0].replace(ALIAS, remote.host)}"
