"""Whether bubblewrap can make our sandbox on this machine, found out by doing it, and the fix when it cannot."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from backends.api import BackendError, Check
from backends.process import Runner

NAME = "bubblewrap"
FLOOR = (0, 8)  # --disable-userns, --size
INSTALL = "apt-get install bubblewrap (0.8 or newer)"
_PROBE_UID = 1_999_999_998


def bwrap() -> str:
    """The absolute path of bwrap, or `BackendError`."""
    found = shutil.which("bwrap")
    if found is None:
        raise BackendError("bubblewrap is not installed", INSTALL)
    return str(Path(found).resolve())


def sandbox(runner: Runner) -> Check:
    """Makes the smallest sandbox with the flags that bottles use."""
    if not sys.platform.startswith("linux"):
        return Check(NAME, False, "bubblewrap needs Linux", "use the docker or smolmachines backend")
    try:
        program = bwrap()
        version = runner.run([program, "--version"], timeout=10).stdout.strip()
        found = re.search(r"(\d+)\.(\d+)", version)
        if found is None or (int(found[1]), int(found[2])) < FLOOR:
            return Check(NAME, False, f"{version or 'this bubblewrap'} is too old", INSTALL)
        argv = [program, "--unshare-all", "--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000"]
        argv += [
            "--cap-drop",
            "ALL",
            "--ro-bind",
            "/",
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--",
            "/bin/sh",
            "-c",
            ":",
        ]
        if os.geteuid() == 0:
            who = str(_PROBE_UID)
            argv = ["setpriv", "--reuid", who, "--regid", who, "--clear-groups", "--", *argv]
        done = runner.run(argv, timeout=10, cwd=Path("/"))
    except BackendError as error:
        return Check(NAME, False, error.message, error.hint)
    if done.status == 0:
        return Check(NAME, True, version)
    return Check(NAME, False, done.last_line, fix_for(done.last_line))


def fix_for(reason: str) -> str:
    """What to do about bwrap's own words, by what the kernel says about user namespaces."""
    if "setresuid" in reason or "setresgid" in reason:
        return "this root has no other uids to give to bottles (a rootless container?): run as an ordinary user"
    if _setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor refuses user namespaces here; as root: printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\n"
            "profile bwrap /usr/bin/bwrap flags=(unconfined) {\\n  userns,\\n}\\n'"
            " > /etc/apparmor.d/bwrap && systemctl reload apparmor"
        )
    if _setting("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "as root: sysctl -w kernel.unprivileged_userns_clone=1"
    if _setting("/proc/sys/user/max_user_namespaces") == "0":
        return "as root: sysctl -w user.max_user_namespaces=15000"
    if "namespace" in reason or "setting up uid map" in reason:
        return "user namespaces are refused here (a container?): run on the host, or use another backend"
    return "run bottle-dash doctor"


def _setting(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
