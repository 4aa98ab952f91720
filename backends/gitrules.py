"""The agent's git settings: every spelling of a declared upstream leads to the git-gate, and no other SSH leaves."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from manifests.values import GitRemote

# git splits it with a shell and adds its own arguments: options, the host, and the command for the other side.
_NO_SSH = (
    "f() {{ for a; do case $a in git-*|'git '*) break;; esac; h=$a; done; "
    'echo "git-gate: ${{h#*@}} is not a declared upstream; '
    "the operator adds it under git.remotes in the bottle's manifest\"{declared} >&2; exit 1; }}; f"
)


def git_rules(remotes: Sequence[GitRemote], gate: str) -> list[str]:
    """Lines of a git configuration; `gate` is the URL of the git-gate."""
    # Also for one that is declared and was spelled in a way that git does not rewrite: `HOST`, `host.`, `//path`.
    known = ", ".join(remote.upstream for remote in remotes)
    declared = shlex.quote(f" (declared are, spelled just so: {known})") if known else ""
    lines = ["[core]", f"\tsshCommand = {_quoted(_NO_SSH.format(declared=declared))}", "[ssh]", "\tvariant = ssh"]
    taken: set[str] = set()
    for remote in remotes:
        own = [s for s in dict.fromkeys(spellings(remote)) if s not in taken]
        taken.update(own)
        # git replaces a prefix and keeps the rest: ``, `.git` or `/` here, but also `2` of an undeclared `repo2`. No
        # Name holds a `=`, so that a rest of that kind leads nowhere instead of to another remote.
        lines += [f'[url "{gate}/{remote.name}="]', *(f"\tinsteadOf = {_quoted(s)}" for s in own)]
    return lines


def spellings(remote: GitRemote) -> Iterator[str]:
    """Every way to write the remote's address, each without `.git` at its end."""
    path = remote.path.strip("/").removesuffix(".git")
    for name in dict.fromkeys((remote.ssh_host, remote.host)):
        host = f"[{name}]" if ":" in name else name
        for user in (f"{remote.user}@", ""):
            for scheme in ("ssh", "git+ssh", "ssh+git"):
                for port in dict.fromkeys((f":{remote.port}", "")):
                    yield f"{scheme}://{user}{host}{port}/{path}"
            yield f"{user}{host}:{path}"
            yield f"{user}{host}:/{path}"
        yield f"https://{host}/{path}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
