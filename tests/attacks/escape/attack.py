"""What an attack is: a script of the agent's, what would have arrived had it worked, and the layers that stop it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.attacks.escape.bottles import GENERIC_NAME, SECRETS

# The layer that is the sandbox itself; the others a copy of the bundle can be without (`layers.py`).
NETWORK = "network"
VALUE = SECRETS[GENERIC_NAME].encode()


@dataclass(frozen=True, slots=True)
class Attack:
    """`script` works where nothing confines it: then every one of `marks` stands in the log of the fakes.

    `said` must stand in what a confined one sees. `quiet` says that a refusal leaves nothing at all in the log (but the
    lookup of an allowed name, where `looks_up`); else a request may arrive, without what it must not carry.
    """

    name: str
    script: str
    marks: tuple[bytes, ...]
    layers: tuple[str, ...]
    said: tuple[str, ...] = ("egress:", "403")
    quiet: bool = True
    looks_up: bool = False

    def got_out(self, log: list[tuple[str, bytes]]) -> bool:
        """Whether the log shows that it worked."""
        lines = [where.encode() + b": " + what for where, what in log]
        return all(any(mark in line for line in lines) for mark in self.marks)


def curl(*words: str) -> str:
    return "curl -sS -m 10 -w ' %{http_code} %{http_connect}' " + " ".join(words) + " 2>&1"


def python(code: str) -> str:
    return f"python3 - 2>&1 <<'END'\nimport os\nS = os.environ['{GENERIC_NAME}']\n{code}\nEND\n"
