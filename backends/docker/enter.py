"""Becomes `docker exec`: what stands in this process's environment is the command's, by name, never on an argv.

python -I -m backends.docker.enter ENDPOINT DOCKER CONTAINER UID FOLDER tty|plain -- ARGV...
"""

from __future__ import annotations

import os
import sys

from backends.docker.spec import exec_argv

# The loader's, which the interpreter may have set for itself.
_OWN = ("LC_CTYPE",)


def main(argv: list[str]) -> int:
    """Never returns but with a usage error."""
    if len(argv) < 8 or argv[6] != "--":
        sys.stderr.write(f"{__doc__}\n")
        return 2
    where, docker, container, uid, folder, kind, _, *command = argv
    names = sorted(name for name in os.environ if name not in _OWN)
    env = {**os.environ, "DOCKER_HOST": where}
    args = exec_argv(docker, container, int(uid), names, command, tty=kind == "tty", folder=folder)
    try:
        os.execve(docker, args, env)
    except OSError as error:
        sys.stderr.write(f"cannot run {docker}: {error.strerror}\n")
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
