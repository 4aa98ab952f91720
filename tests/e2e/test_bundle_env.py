"""Builds of the bundle environment with the real venv and pip: a small wheel for every case, the real lock once."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from backends.api import BackendError
from backends.bundle_env import BundleEnv
from backends.process import Runner
from tests.conftest import need

BUILD = """
import sys
from pathlib import Path
from backends.bundle_env import BundleEnv
env = BundleEnv(Path(sys.argv[1]), lock=Path(sys.argv[2]), imports=["tiny"], needs=0)
print("ready", flush=True)
sys.stdin.readline()
print(env.build(lambda line: print("progress", line, flush=True)), flush=True)
"""


def tiny_lock(folder: Path, *, digest: str = "") -> Path:
    """A lock of one small wheel, which lies in `folder`; `digest` replaces the true one."""
    wheel = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as z:
        z.writestr("tiny.py", "ANSWER = 42\n")
        z.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        z.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr("tiny-1.0.dist-info/RECORD", "tiny.py,,\n")
    digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = folder / "requirements.lock"
    lock.write_text(f"tiny @ file://{wheel} --hash=sha256:{digest}\n")
    return lock


def left(cache: Path) -> list[str]:
    """What a build left in its cache, but the lock file."""
    return sorted(p.name for p in (cache / "bundle").iterdir() if p.name != "lock")


def builder(cache: Path, lock: Path, *prefix: str) -> subprocess.Popen[str]:
    """A process that imported everything and builds when it is sent a line."""
    argv = [*prefix, sys.executable, "-c", BUILD, str(cache), str(lock)]
    proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, umask=0o077)
    assert proc.stdout
    assert proc.stdout.readline() == "ready\n"
    return proc


def test_two_builders_make_one_environment_that_others_can_read(tmp_path: Path) -> None:
    lock, cache = tiny_lock(tmp_path), tmp_path / "cache"
    both = [builder(cache, lock), builder(cache, lock)]
    for proc in both:
        assert proc.stdin
        proc.stdin.write("go\n")
        proc.stdin.flush()
    outputs = [proc.communicate(timeout=120)[0] for proc in both]
    env = BundleEnv(cache, lock=lock, imports=["tiny"], needs=0)
    assert [out.splitlines()[-1] for out in outputs] == [str(env.python())] * 2
    assert sum("creating" in out for out in outputs) == 1
    assert sum("waiting for another setup" in out for out in outputs) == 1
    assert left(cache) == [env.key()]
    said = Runner().run([str(env.python()), "-I", "-c", "import tiny; print(tiny.ANSWER)"], timeout=20)
    assert said.stdout == "42\n"
    hidden = [p for p in env.path().rglob("*") if not p.is_symlink() and not p.stat().st_mode & 0o004]
    assert hidden in ([], [env.path() / "complete"])
    assert (cache / "bundle").stat().st_mode & 0o777 == 0o755
    assert env.build(lambda line: pytest.fail(line)) == env.python()


def test_a_killed_build_is_never_used_and_old_environments_go(tmp_path: Path) -> None:
    lock, cache = tiny_lock(tmp_path), tmp_path / "cache"
    days = {"a" * 16: 1, "b" * 16: 10, "c" * 16: 40, "d" * 16: 50, "e" * 16: 60}
    for name, age in days.items():
        (cache / "bundle" / name).mkdir(parents=True)
        (cache / "bundle" / name / "complete").touch()
        os.utime(cache / "bundle" / name / "complete", (time.time() - age * 86400,) * 2)
    env = BundleEnv(cache, lock=lock, imports=["tiny"], needs=0)
    proc = builder(cache, lock)
    assert proc.stdin
    assert proc.stdout
    proc.stdin.write("go\n")
    proc.stdin.flush()
    half = cache / "bundle" / f"{env.key()}.half"
    end = time.monotonic() + 30
    while not (half / "bin").exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert half.exists()
    proc.kill()
    proc.communicate()
    with pytest.raises(BackendError):
        env.python()
    env.build(lambda line: None)
    assert left(cache) == sorted([env.key(), "a" * 16, "b" * 16, "c" * 16])


@pytest.mark.parametrize(
    ("digest", "imports", "message"),
    [
        ("0" * 64, "tiny", "a package differs from the one that was locked"),
        ("", "nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
def test_a_failed_build_is_one_line_and_leaves_nothing(tmp_path: Path, digest: str, imports: str, message: str) -> None:
    cache = tmp_path / "cache"
    env = BundleEnv(cache, lock=tiny_lock(tmp_path, digest=digest), imports=[imports], needs=0)
    with pytest.raises(BackendError) as caught:
        env.build(lambda line: None)
    assert caught.value.message == f"the bundle's environment was not built: {message}"
    assert left(cache) == []


def test_no_network_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "1",
        "PIP_CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    lock = tmp_path / "lock"
    lock.write_text(f"tiny==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(BackendError) as caught:
        BundleEnv(tmp_path / "cache", lock=lock, needs=0).build(lambda line: None)
    assert caught.value.message == "the bundle's environment was not built: the package index cannot be reached"
    assert left(tmp_path / "cache") == []


FULL = """
import sys
from pathlib import Path
from backends.api import BackendError
from backends.bundle_env import BundleEnv
cache = Path(sys.argv[1])
for needs in (1 << 30, 0):
    try:
        BundleEnv(cache, lock=Path(sys.argv[2]), imports=["tiny"], needs=needs).build(lambda line: None)
    except BackendError as e:
        print(e.message, "|", e.hint)
print(sorted(p.name for p in (cache / "bundle").iterdir()))
"""


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["unshare", "-r", "-m", "sh", "-ec", 'mount -t tmpfs -o size=3m small "$0"; exec "$@"', str(small)]
    if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        need("user", "user namespaces are refused, so no small disk can be mounted")
    lock = tiny_lock(tmp_path)
    done = Runner().run([*mount, sys.executable, "-c", FULL, str(small), str(lock)], timeout=120)
    early, late, rest = done.stdout.splitlines()
    assert early == f"no space left in {small}/bundle | free 1024 MB there, then: bottle-dash setup"
    assert late.startswith(f"no space left in {small}/bundle | free ")
    assert rest == "['lock']"
