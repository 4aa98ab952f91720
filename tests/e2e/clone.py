"""A clean clone below somebody's empty HOME, set up as that person by `make setup`: what a newcomer has."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.driving import SYSTEM_PATH

ROOT = Path(__file__).resolve().parents[2]
# How the machine reaches its package index.
PASSED_ON = ("PIP_", "SSL_CERT", "REQUESTS_CA", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http", "https", "no_proxy")


def sources() -> list[str]:
    """What a clone would hold: tracked files and new ones that are not ignored."""
    listed = ["git", "-C", str(ROOT), "-c", "safe.directory=*", "ls-files", "-coz", "--exclude-standard"]
    done = subprocess.run(listed, capture_output=True, text=True)
    if done.returncode == 0:
        return [n for n in done.stdout.split("\0") if n and (ROOT / n).is_file()]
    ignored = {".git", ".venv", "__pycache__", "build", "dist"}
    found = (p.relative_to(ROOT) for p in ROOT.rglob("*") if p.is_file())
    return [str(p) for p in found if not ignored & set(p.parts)]


def copy(home: Path) -> Path:
    """The sources as the repository `home/bot-bottle`, all committed."""
    clone = home / "bot-bottle"
    for name in sources():
        target = clone / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", "-C", str(clone), *words], check=True, capture_output=True, timeout=60)
    return clone


def system_python() -> str:
    """The system's own Python, "" where it is too old or cannot make environments."""
    test = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
    for path in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if os.access(path, os.X_OK) and subprocess.run([path, "-c", test], capture_output=True).returncode == 0:
            return path
    return ""


def python_below(home: Path, python: str) -> str:
    """A copy of the system's Python at `home/python`, which finds its library there; "" if it cannot be moved."""
    ask = "import sys, os, sysconfig; print(os.path.realpath(sys.executable)); print(sysconfig.get_path('stdlib'))"
    program, library = subprocess.run([python, "-c", ask], capture_output=True, text=True).stdout.split()
    place = home / "python"
    (place / "bin").mkdir(parents=True)
    shutil.copy2(program, place / "bin")
    skip = shutil.ignore_patterns("__pycache__", "test", "tests", "site-packages", "dist-packages", "idlelib")
    shutil.copytree(library, place / "lib" / Path(library).name, ignore=skip, ignore_dangling_symlinks=True)
    copied = str(place / "bin" / Path(program).name)
    done = subprocess.run(
        [copied, "-I", "-c", "import sys, ssl, venv; print(sys.prefix)"], capture_output=True, text=True
    )
    return copied if done.stdout.strip() == str(place) else ""


def set_up(clone: Path, home: Path, python: str, become: Sequence[str]) -> str:
    """Runs `make setup` (behind the words of `become`); the program's path."""
    env = {k: v for k, v in os.environ.items() if k.startswith(PASSED_ON)}
    env |= {"HOME": str(home), "PATH": SYSTEM_PATH, "LANG": "C.UTF-8", "PYTHON": python}
    done = subprocess.run(
        [*become, "make", "-C", str(clone), "setup"], env=env, capture_output=True, text=True, timeout=400, cwd="/"
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return str(clone / ".venv" / "bin" / "bottle-dash")


def unused_uid() -> int:
    """A user that owns nothing here."""
    return 50_000 + os.getpid() % 9_000
