"""The folder of an operator's own Dockerfile as a build context: bounded, without what its .dockerignore names."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from backends.api import BackendError

LIMIT = 256 << 20  # bytes, and
FILES = 20_000


def read(dockerfile: Path, home: Path) -> dict[str, tuple[bytes, int]]:
    """Path to (content or a link's target, mode) of all beside `dockerfile`; links are never followed.

    `home` is bot-bottle's own folder, which is no context.
    """
    # Imported here: it costs time that a bottle without a Dockerfile of its own need not spend.
    from docker.utils.build import PatternMatcher

    folder = dockerfile.parent
    _refuse(dockerfile, home)
    patterns = _ignored(folder / ".dockerignore")
    out: dict[str, tuple[bytes, int]] = {}
    size = 0
    for name in sorted({*PatternMatcher([*patterns, f"!{dockerfile.name}"]).walk(str(folder))}):
        path = folder / name
        try:
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                out[name] = (os.fsencode(path.readlink()), status.st_mode)
            elif stat.S_ISDIR(status.st_mode):
                out[name] = (b"", status.st_mode)
            elif stat.S_ISREG(status.st_mode):
                size += status.st_size
                if size > LIMIT or len(out) > FILES:
                    most = f"{LIMIT >> 20} MB or {FILES} files"
                    raise BackendError(
                        f"{folder} is no build context: more than {most}",
                        "name in its .dockerignore what no step needs",
                    )
                out[name] = (path.read_bytes(), status.st_mode)
        except OSError as error:
            hint = "name it in .dockerignore if no step needs it"
            raise BackendError(f"{path} cannot be read: {error.strerror}", hint) from None
    return out


def _refuse(dockerfile: Path, home: Path) -> None:
    if not dockerfile.is_file():
        raise BackendError(f"{dockerfile} is not there", "correct agent_provider.dockerfile in the bottle")
    folder, user = dockerfile.parent.resolve(), Path.home().resolve()
    if folder in (user, home.resolve(), *user.parents):
        # All of a build context can get into the image, and what is in the image is the agent's to read.
        raise BackendError(f"{folder} is no build context", f"put {dockerfile.name} into a folder of its own")


def _ignored(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        # Nothing shall get into an image because this could not be read.
        raise BackendError(f"{path} cannot be read: {error}", "correct the file") from None
    return [line for line in lines if line and not line.startswith("#")]
