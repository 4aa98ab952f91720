"""The two sandboxes as bwrap argument lists: pure, from a few facts about the host's root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent_image.providers import HOME, WORKSPACE

UID = 1000
PROVISION = "/run/provision"
BUNDLE_STATE = "/run/bundle"
BUNDLE_APP = "/app"
BUNDLE_ANSWERS = "/run/answers"
BUNDLE_DIAL = "/run/dial"
DIALER_POLICY = "/run/policy"
POLICY_FILE = "policy.json"

# What of /etc an ordinary program reads; nothing here says anything about this host's people or services.
ETC = (
    "alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "timezone", "bash.bashrc",
    "bash_completion", "bash_completion.d", "inputrc", "terminfo", "mime.types", "services", "protocols", "ethertypes",
    "magic", "magic.mime", "locale.conf", "locale.alias", "debian_version", "os-release", "lsb-release", "gai.conf",
    "ssl/openssl.cnf", "java-17-openjdk", "java-21-openjdk", "perl", "python3", "python3.11", "python3.12",
    "python3.13", "vim", "nanorc", "fonts", "login.defs", "skel", "shells", "gnutls", "crypto-policies",
    "pki/tls/openssl.cnf",
)  # fmt: skip
BUNDLE_ETC = ("gai.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "services", "protocols",
              "ssl/openssl.cnf", "host.conf", "mime.types")  # fmt: skip
DIALER_ETC = ("resolv.conf", "hosts", "nsswitch.conf", "gai.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
              "localtime", "services", "host.conf")  # fmt: skip
# The bundle's own files of /etc: it looks names up at egress, and is somebody, which SSH and git want to know.
BUNDLE_FILES = {
    "resolv.conf": "nameserver 127.0.0.1\noptions timeout:3 attempts:2\n",
    "hosts": "127.0.0.1 localhost bundle\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n",
    "passwd": f"bundle:x:{UID}:{UID}:bundle:/tmp:/bin/sh\n",
    "group": f"bundle:x:{UID}:\n",
}
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
CA_PLACES = (CA_BUNDLE, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem")
# Pid 1 cannot be killed from inside: it brings HOME in place, says so, then only reaps.
PID_1 = (
    "cp -R -p "
    + PROVISION
    + "/. "
    + HOME
    + "/ && mkdir -p "
    + WORKSPACE
    + " && echo ready >&3 && exec 2>/dev/null 3>&- || exit 1; "
    "while :; do sleep 2147483647 & wait; done"
)


@dataclass(frozen=True, slots=True)
class HostRoot:
    """What the sandbox may take from the host's root: top-level links (name, target) and real system folders."""

    links: tuple[tuple[str, str], ...]
    folders: tuple[str, ...]


def _system(root: HostRoot) -> list[str]:
    out = ["--ro-bind", "/usr", "/usr"]
    for folder in root.folders:
        out += ["--ro-bind", folder, folder]
    for name, target in root.links:
        out += ["--symlink", target, name]
    return out


def _isolation(*, network: bool, hostname: str) -> list[str]:
    out = ["--unshare-all", *(["--share-net"] if network else []), "--unshare-user", "--disable-userns"]
    out += ["--uid", str(UID), "--gid", str(UID), "--hostname", hostname, "--cap-drop", "ALL", "--new-session"]
    return [*out, "--die-with-parent", "--as-pid-1", "--clearenv"]


def agent_argv(
    bwrap: str,
    root: HostRoot,
    *,
    hostname: str,
    files: str,
    workspace: str,
    protect: Sequence[str],
    tmpfs: int,
    seccomp_fd: int,
    info_fd: int,
) -> list[str]:
    """The agent's sandbox. `files` holds `etc/` and `home/` as provisioning wrote them; `workspace` may be "".

    `protect` are paths below the workspace that are shown read-only. The command is pid 1; it says `ready` on
    descriptor 3, and keeps no other of the host's.
    """
    out = [bwrap, *_isolation(network=False, hostname=hostname), *_system(root)]
    out += ["--proc", "/proc", "--dev", "/dev", "--size", str(tmpfs), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    out += ["--tmpfs", "/etc"]
    for name in ETC:
        out += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for name in ("passwd", "group", "hosts", "hostname", "resolv.conf", "nsswitch.conf", "profile", "gitconfig"):
        out += ["--ro-bind", f"{files}/etc/{name}", f"/etc/{name}"]
    for place in CA_PLACES:
        out += ["--ro-bind", f"{files}/etc/ca-certificates.crt", place]
    out += ["--remount-ro", "/etc"]
    for place in ("/tmp", "/var/tmp", HOME):
        out += ["--size", str(tmpfs), "--perms", "1777" if place != HOME else "0700", "--tmpfs", place]
    out += ["--dir", "/run", "--ro-bind", f"{files}/home", PROVISION]
    if workspace:
        out += ["--bind", workspace, WORKSPACE]
        for path in protect:
            out += ["--ro-bind", path, WORKSPACE + path[len(workspace) :]]
    out += ["--remount-ro", "/", "--chdir", "/", "--info-fd", str(info_fd), "--seccomp", str(seccomp_fd)]
    return [*out, "--setenv", "PATH", "/usr/bin:/bin", "--", "/bin/sh", "-c", PID_1]


def bundle_argv(
    bwrap: str,
    root: HostRoot,
    *,
    python: str,
    read_only: Sequence[str],
    package: str,
    run: str,
    programs: Mapping[str, str],
    seccomp_fd: int,
    info_fd: int,
    env: Sequence[tuple[str, str]],
) -> list[str]:
    """The bundle's sandbox: loopback only, its own state folder, and its Python. Pid 1 is the init.

    `run` is the bottle's folder, with `bundle/`, `answers/`, `dial/`, `bundle-etc/` and `upstream-ca.pem` in it;
    `programs` are the optional ones, shown by name below `BUNDLE_APP`/bin.
    """
    out = [bwrap, *_isolation(network=False, hostname="bundle"), *_system(root), "--proc", "/proc", "--dev", "/dev"]
    out += ["--remount-ro", "/dev", "--tmpfs", "/etc", *_try_etc(BUNDLE_ETC)]
    for name in BUNDLE_FILES:
        out += ["--ro-bind", f"{run}/bundle-etc/{name}", f"/etc/{name}"]
    out += ["--remount-ro", "/etc", "--size", str(64 << 20), "--tmpfs", "/tmp"]
    for path in read_only:
        out += ["--ro-bind", path, path]
    out += ["--ro-bind", package, f"{BUNDLE_APP}/sidecar_bundle"]
    out += ["--ro-bind", f"{run}/upstream-ca.pem", f"{BUNDLE_APP}/upstream-ca.pem"]
    for name, path in programs.items():
        out += ["--ro-bind", path, program(name)]
    out += ["--bind", f"{run}/bundle", BUNDLE_STATE]
    out += ["--ro-bind", f"{run}/answers", BUNDLE_ANSWERS, "--ro-bind", f"{run}/dial", BUNDLE_DIAL]
    out += ["--remount-ro", "/", "--chdir", "/tmp", "--info-fd", str(info_fd), "--seccomp", str(seccomp_fd)]
    for name, value in env:
        out += ["--setenv", name, value]
    return [*out, "--", python, "-I", f"{BUNDLE_APP}/sidecar_bundle/init/__main__.py"]


def dialer_argv(
    bwrap: str,
    root: HostRoot,
    *,
    python: str,
    read_only: Sequence[str],
    package: str,
    policy: str,
    listener_fd: int,
    lifeline_fd: int,
    seccomp_fd: int,
    info_fd: int,
) -> list[str]:
    """The dialer's sandbox: the host's network and names, the folder `policy`, and nothing to write to."""
    out = [bwrap, *_isolation(network=True, hostname="dialer"), *_system(root), "--proc", "/proc", "--dev", "/dev"]
    out += ["--remount-ro", "/dev", "--tmpfs", "/etc", *_try_etc(DIALER_ETC), "--remount-ro", "/etc"]
    for path in read_only:
        out += ["--ro-bind", path, path]
    out += ["--ro-bind", package, f"{BUNDLE_APP}/sidecar_bundle", "--ro-bind", policy, DIALER_POLICY]
    out += ["--remount-ro", "/", "--chdir", "/", "--info-fd", str(info_fd), "--seccomp", str(seccomp_fd)]
    # Without the environment's packages: it needs none, and starts sooner.
    script = f"{BUNDLE_APP}/sidecar_bundle/dialer/__main__.py"
    line = [python, "-I", "-S", script, f"{DIALER_POLICY}/{POLICY_FILE}", str(listener_fd), str(lifeline_fd)]
    return [*out, "--setenv", "LANG", "C.UTF-8", "--", *line]


def program(name: str) -> str:
    """Where the bundle sees an optional program."""
    return f"{BUNDLE_APP}/bin/{name}"


def _try_etc(names: Sequence[str]) -> list[str]:
    return [word for name in names for word in ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")]
