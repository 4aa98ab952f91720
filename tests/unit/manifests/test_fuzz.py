"""No input makes the catalogue raise or take long; each file becomes exactly one row or warning."""

from __future__ import annotations

import random
import time

from manifests.catalog import build_catalog
from tests.unit.manifests.bad import AGENTS, BOTTLES
from tests.unit.manifests.building import HOME, REPO
from tests.unit.manifests.test_extends import PARENT

PIECES = [
    *"[]{}:,#&*!|>'\"%@`?-~<=\\",
    "\n",
    "\n  ",
    "\n- ",
    ": ",
    "\t",
    " ",
    "---\n",
    "...",
    "<<",
    "null",
    "true",
    "no",
]
PIECES += ["env", "egress", "routes", "host", "extends", "bottle", "git", "remotes", "a", "b", "${A}", "?x", "\\ud800"]
PIECES += ["\u2028", "\u202e", "é", "\x00", "0x1f", "1" * 50, '"\\U00110000"', "{" * 30, "? ", "auth", "a.example"]


def _mutated(rng: random.Random, seeds: list[str]) -> bytes:
    text = rng.choice(seeds)
    for _ in range(rng.randint(0, 3)):
        at = rng.randint(0, len(text))
        text = text[:at] + rng.choice(PIECES) + text[at + rng.choice((0, 0, 1, 5)) :]
    return f"---\n{text}---\nbody".encode("utf-8", "replace")


def _inputs(count: int) -> list[bytes]:
    rng = random.Random(20)
    seeds = [bad.text for bad in (*BOTTLES.values(), *AGENTS.values()) if len(bad.text) < 400]
    seeds += [
        "env:\n  A: x\n  B: '?q'\n",
        "egress:\n  routes:\n    - host: a.example\n",
        "supervise: true\n",
        PARENT,
    ] * 8
    found = []
    for i in range(count):
        if i % 4 == 0:
            found.append(b"---\n" + rng.randbytes(rng.randint(0, 200)) + b"\n---\n")
        elif i % 4 == 1:
            text = "".join(rng.choice(PIECES) for _ in range(rng.randint(1, 40)))
            found.append(f"---\n{text}\n---\n".encode("utf-8", "replace"))
        else:
            found.append(_mutated(rng, seeds))
    return found


def test_random_inputs_never_raise() -> None:
    start = time.monotonic()
    inputs = _inputs(2000)
    whole = broken = 0
    for i in range(0, len(inputs), 40):
        files = {HOME / f"b{j}.md": data for j, data in enumerate(inputs[i : i + 40])}
        agents = {REPO / path.name: data for path, data in files.items()}
        found = build_catalog(files, {}, agents)
        assert len(found.bottles) + len(found.agents) + len(found.broken) == 2 * len(files)
        for one in found.broken:
            assert one.error.line >= 1 and str(one.error).isprintable() and len(str(one.error)) < 1000
        whole += len(found.bottles)
        broken += len(found.broken)
    # Inputs that all fail at the first byte would test nothing.
    assert whole > 50 and broken > 1000
    assert time.monotonic() - start < 5


def test_the_largest_inputs_are_quick() -> None:
    size = 30_000
    texts = ["[" * size, "{" * size, "a: " * (size // 3), "- " * (size // 2), "? " * (size // 2), "a:\n" * (size // 3)]
    texts += ['"' + "\\x41" * (size // 4), "x" * size + ": 1", "a: [" + "b, " * (size // 3), "&a " * (size // 3)]
    texts += ["".join(f"A{i}: x\n" for i in range(4000)), "\n".join(" " * (i % 200) + "a:" for i in range(200))]
    for text in texts:
        start = time.monotonic()
        found = build_catalog({HOME / "b.md": f"---\n{text}\n---\n".encode()}, {}, {})
        assert len(found.broken) == 1
        assert time.monotonic() - start < 3, text[:20]
