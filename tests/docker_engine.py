"""A Docker engine of the test's own, in whatever network namespace it runs, with the images of bottles in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from agent_image.providers import PROVIDERS
from backends.bundle_env import upstream_ca
from backends.docker import build, images
from backends.docker import engine as engines

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
    with engines.engine("images for tests") as api:
        build.Builder(archive.parent).ensure(api, wanted(), lambda line: None)
    subprocess.run(["docker", "save", "-o", str(archive), *(i.tag for i in wanted())], check=True, timeout=300)


@dataclass
class Engine:
    """A process that can be ended and started again at the same place."""

    base: Path
    data: Path
    flags: Sequence[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """For `DOCKER_HOST`."""
        return f"unix://{self.base / 'engine.sock'}"

    def start(self) -> None:
        """Until it answers."""
        log = self.base / "engine.log"
        argv = ["dockerd", "--data-root", str(self.data), "--exec-root", str(self.base / "exec")]
        argv += ["--pidfile", str(self.base / "engine.pid"), "--host", self.address, "--userland-proxy=false"]
        with log.open("ab") as out:
            self.process = subprocess.Popen([*argv, *self.flags], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        deadline = time.monotonic() + 30
        while subprocess.run(["docker", "-H", self.address, "version"], capture_output=True).returncode:
            assert self.process.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.1)

    def stop(self) -> None:
        """As a system does that restarts it; its containers end, unless it was told to leave them alive."""
        if self.process is not None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def running(dns: str, *flags: str, data: Path | None = None) -> Iterator[Engine]:
    """An engine in this namespace, the only one that this process and its children know; its resolver is `dns`."""
    # One after the other they share their data: the images are loaded once.
    data = data or Path(os.environ[ARCHIVE_ENV]).parent / "engine"
    base = Path(tempfile.mkdtemp(prefix="engine-"))
    engine = Engine(base, data, ["--dns", dns, *flags])
    try:
        with mock.patch.dict(os.environ, {"DOCKER_HOST": engine.address}):
            engine.start()
            tags = [image.tag for image in wanted()]
            if subprocess.run(["docker", "image", "inspect", *tags], capture_output=True).returncode:
                archive = os.environ[ARCHIVE_ENV]
                subprocess.run(["docker", "load", "-q", "-i", archive], check=True, capture_output=True)
            yield engine
    finally:
        engine.stop()
        shutil.rmtree(base, ignore_errors=True)
