"""Engines that are restarted, hang, fill up and are left for good: each in a namespace of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from backends.docker.driver import DockerBackend
from tests import docker_engine
from tests.conftest import need
from tests.contract.conftest import paths
from tests.e2e import netns


def test_in_a_namespace_of_its_own(own_state: Path, request: pytest.FixtureRequest) -> None:
    check = DockerBackend(paths(own_state)).available()
    if not check.ok:
        need("docker", check.detail)
    if os.geteuid():
        need("root", "an engine of one's own wants root")
    if why := netns.unavailable():
        need("docker", f"there is no network namespace: {why}")
    env = {docker_engine.ARCHIVE_ENV: str(request.getfixturevalue("archive"))}
    inside = Path(__file__).with_name("inside_engine.py")
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(inside)]
    done = netns.run(argv, env=env, timeout=600)
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout
