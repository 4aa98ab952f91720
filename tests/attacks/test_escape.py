"""Attempts to get a secret out of a bottle, on every registered backend: each file of `escape` in its own namespace."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from backends import registry
from backends.api import HostPaths
from tests import docker_engine
from tests.attacks.escape import bottles, fakes
from tests.conftest import need
from tests.e2e import netns
from tests.e2e.gitgate import rig

INSIDE = sorted((Path(__file__).parent / "escape").glob("inside_*.py"))
REGISTERED = sorted(point.name for point in entry_points(group=registry.GROUP))
# Which backends are attacked: those named here, else all that are registered.
CHOSEN = [name for name in os.environ.get("BOT_BOTTLE_ATTACK", "").split(",") if name] or REGISTERED
TOOLS = ("curl", "git", "openssl", "python3")


def test_every_backend_is_attacked() -> None:
    """A backend that nobody attacks, and a name that is none, are failures: a silent skip would look like a pass."""
    assert REGISTERED and set(CHOSEN) <= set(REGISTERED) and set(REGISTERED) <= set(bottles.RIGS)


@pytest.mark.parametrize("inside", INSIDE, ids=[path.stem for path in INSIDE])
@pytest.mark.parametrize("name", CHOSEN)
def test_nothing_gets_out(name: str, inside: Path, own_state: Path, request: pytest.FixtureRequest) -> None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bot-bottle"
    check = bottles.rig(name).backend(HostPaths(own_state, cache)).available()
    if not check.ok:
        need(name, check.detail)
    if why := netns.unavailable():
        need(name, f"there is no network namespace: {why}")
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        need(name, f"not installed: {', '.join(missing)}")
    if inside.stem == "inside_git":
        rig.gitleaks()
        if not shutil.which("sshd", path="/usr/sbin:/usr/local/sbin"):
            need("sshd", "openssh-server is not installed")
    env = {"BOT_BOTTLE_ATTACKED": name}
    if name == "docker":
        env[docker_engine.ARCHIVE_ENV] = str(request.getfixturevalue("archive"))
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(inside)]
    if os.geteuid():
        # Root of a namespace is not the machine's: the backend runs as the ordinary user who it is.
        own = f"unshare -U --map-user={os.geteuid()} --map-group={os.getegid()}"
        argv = ["sh", "-c", f'echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start; exec {own} "$@"', "sh", *argv]
    done = netns.run(argv, addresses=fakes.ADDRESSES, env=env, timeout=600)
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
