"""The operator's folder on its way into a bottle: what a copy would bring, and the copy."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from backends.api import BackendError, Check, Progress, WorkspaceMode
from backends.process import Runner
from botbottle_tui.host import files, tree
from botbottle_tui.host.paths import is_private

LIMIT = 2 << 30  # bytes; a larger folder wants --cwd=bind
FILES_LIMIT = 200_000

_BIND = "look before you run git, make or an editor's tasks there"
_CREDENTIAL = re.compile(r"://[^/@\s:]*:[^/@\s]+@|extraheader\s*=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a copy would bring: paths relative to the folder, bytes, and whether git's ignored files are left out.

    A path with a slash behind is an empty folder.
    """

    paths: tuple[str, ...]
    size: int
    ignored_left_out: bool


def refuse(cwd: Path, mode: WorkspaceMode, state: Path) -> Check | None:
    """A failed check when `cwd` may not be shown in that mode, else None. `state` is the folder of all bottles."""
    if mode is WorkspaceMode.NONE:
        return None
    if not cwd.is_dir():
        return Check("workspace", False, f"{cwd} is not a folder", "choose another workspace")
    if is_private(cwd):
        why = "your home folder or above it, which a bottle never gets"
        return Check("workspace", False, f"{cwd} is {why}", "start in a project folder, or without a workspace")
    real, own = cwd.resolve(), state.resolve()
    if real == own or own in real.parents or real in own.parents:
        why = f"{cwd} and {state}, where every bottle's state is, lie in one another"
        return Check("workspace", False, why, "start in a project folder, or set BOT_BOTTLE_HOME elsewhere")
    return None


def listing(cwd: Path, runner: Runner) -> Listing:
    """Every file below `cwd`; in a git work tree what git does not ignore, and `.git` itself. Bounded by `LIMIT`."""
    names = _git_names(cwd, runner)
    ignored = names is not None
    if names is None:
        found = _walk(cwd)
    else:
        git = cwd / ".git"
        found = [*names, *(f".git/{p}" for p in _walk(git))] if git.is_dir() else [*names]
    size, kept = 0, []
    for name in found:  # grows: a submodule or a repository in the folder is listed by its name only
        try:
            info = os.lstat(cwd / name)
        except OSError:
            continue
        if stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode):
            kept.append(name)
            size += info.st_size
        elif stat.S_ISDIR(info.st_mode) and name.endswith("/") and not any(os.scandir(cwd / name)):
            kept.append(name)
        elif stat.S_ISDIR(info.st_mode):
            found += [f"{name.rstrip('/')}/{p}" for p in _walk(cwd / name)]
    return Listing(tuple(kept), size, ignored)


def check(cwd: Path, mode: WorkspaceMode, state: Path, runner: Runner) -> Check:
    """The workspace's preflight line."""
    bad = refuse(cwd, mode, state)
    if bad is not None:
        return bad
    if mode is WorkspaceMode.NONE:
        return Check("workspace", True, "none: the agent's files are lost when the bottle stops")
    if mode is WorkspaceMode.BIND:
        return Check("workspace", True, f"{cwd} itself, writable by the agent: {_BIND}{_secrets(cwd)}", warn=True)
    found = listing(cwd, runner)
    detail = f"a copy of {cwd}: {len(found.paths)} files, {human(found.size)}"
    if found.ignored_left_out:
        detail += "; what git ignores stays out"
    if found.size > LIMIT or len(found.paths) > FILES_LIMIT:
        fix = "choose a smaller folder, or --cwd=bind"
        return Check("workspace", False, f"{detail}: more than {human(LIMIT)} or {FILES_LIMIT} files", fix)
    said = _secrets(cwd)
    return Check("workspace", True, detail + said, warn=bool(said))


def _secrets(cwd: Path) -> str:
    """What is said when the repository's own configuration holds credentials, which the agent would then see."""
    found = _CREDENTIAL.search(files.read_tail(cwd / ".git" / "config", 1 << 20))
    return "; its .git/config holds credentials, which the agent sees" if found else ""


def copy(cwd: Path, target: Path, runner: Runner, progress: Progress) -> None:
    """Copies `cwd` to `target` (new). Links stay links; devices, sockets, pipes and what is behind a link stay out."""
    found = listing(cwd, runner)
    done = 0
    try:
        target.mkdir(mode=0o700, parents=True)
        copier = tree.Copier(cwd, target)
        try:
            for number, name in enumerate(found.paths):
                if name.endswith("/"):
                    copier.folder(name)
                    continue
                done += copier.file(name)
                if number % 500 == 499:
                    progress(f"copying the workspace: {human(done)} of {human(found.size)}")
        finally:
            copier.close()
    except OSError as error:
        tree.remove(target)
        reason = error.strerror or str(error)
        raise BackendError(f"cannot copy {cwd}: {reason}", "free disk space, or use --cwd=bind") from None


def human(size: int) -> str:
    """Bytes as a person reads them."""
    value = float(size)
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def _git_names(cwd: Path, runner: Runner) -> list[str] | None:
    """What git tracks or would add below `cwd`; None outside a work tree or where git cannot say."""
    argv = ["git", "-C", str(cwd), "-c", "core.fsmonitor=false", "ls-files", "-z", "-co", "--exclude-standard"]
    try:
        done = runner.run(argv, timeout=60)
    except BackendError:
        return None
    if not done.ok:
        return None
    names = done.raw.decode(errors="surrogateescape").split("\0")
    return list(dict.fromkeys(n for n in names if n))


def _walk(folder: Path) -> list[str]:
    """Files and links below `folder`, and folders that are empty with a slash behind (git's own needs some)."""
    out: list[str] = []
    for base, folders, names in os.walk(folder):
        links = [f for f in folders if os.path.islink(os.path.join(base, f))]  # noqa: PTH114, PTH118 - a hot loop
        out += [os.path.relpath(os.path.join(base, n), folder) for n in (*names, *links)]  # noqa: PTH118
        if not names and not folders and base != str(folder):
            out.append(os.path.relpath(base, folder) + "/")
        if len(out) > FILES_LIMIT:
            break
    return out
