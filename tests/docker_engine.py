"""A Docker engine of the test's own, in whatever network namespace it runs, with the images of bottles in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from agent_image.providers import PROVIDERS
from backends.bundle_env import upstream_ca
from backends.docker import build, engine, images

# The programs that a bottle's images are made of, saved once for all engines of a test run.
ARCHIVE_ENV = "BOT_BOTTLE_TEST_IMAGES"


def wanted() -> list[images.Image]:
    """The images that need a network to be made."""
    roots = upstream_ca(None)
    below = images.bundle(roots, {}).on
    assert below is not None
    return [images.agent(PROVIDERS["shell"], roots), below]


def save(archive: Path) -> None:
    """What is missing of `wanted` is built on the machine's engine; all of it goes into the file `archive`."""
    with engine.engine("images for tests") as api:
        build.Builder(archive.parent).ensure(api, wanted(), lambda line: None)
    subprocess.run(["docker", "save", "-o", str(archive), *(i.tag for i in wanted())], check=True, timeout=300)


@contextlib.contextmanager
def running(dns: str) -> Iterator[None]:
    """An engine in this namespace, the only one that this process and its children know; its resolver is `dns`."""
    # One after the other they share their data: the images are loaded once.
    root = Path(os.environ[ARCHIVE_ENV]).parent / "engine"
    base = Path(tempfile.mkdtemp(prefix="engine-"))
    sock = base / "engine.sock"
    log = base / "engine.log"
    argv = [
        "dockerd",
        "--data-root",
        str(root),
        "--exec-root",
        str(base / "exec"),
        "--pidfile",
        str(base / "engine.pid"),
    ]
    argv += ["--host", f"unix://{sock}", "--dns", dns, "--userland-proxy=false"]
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            with mock.patch.dict(os.environ, {"DOCKER_HOST": f"unix://{sock}"}):
                deadline = time.monotonic() + 30
                while not sock.exists() or subprocess.run(["docker", "version"], capture_output=True).returncode:
                    assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
                    time.sleep(0.1)
                tags = [image.tag for image in wanted()]
                if subprocess.run(["docker", "image", "inspect", *tags], capture_output=True).returncode:
                    archive = os.environ[ARCHIVE_ENV]
                    subprocess.run(["docker", "load", "-q", "-i", archive], check=True, capture_output=True)
                yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            shutil.rmtree(base, ignore_errors=True)
