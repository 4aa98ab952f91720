"""Times the DLP engine alone on 400 KB, in the bundle's own Python: `python -m tests.bench.engine ROUNDS`."""

from __future__ import annotations

import json
import sys
import time

from sidecar_bundle.dlp.engine import Engine
from tests.bench.prompts import OWN, prompt

HEADERS = [
    ("content-type", "application/json"),
    ("user-agent", "agent/1.0"),
    ("accept", "text/event-stream"),
    ("x-stainless-lang", "js"),
]


def main(rounds: int) -> None:
    """Prints milliseconds by kind of request as JSON, and of CPU time under `cpu`."""
    engine = Engine(OWN)
    bodies = {"text": prompt(), "image": prompt(200_000), "small": b""}
    spent: dict[str, list[float]] = {name: [] for name in (*bodies, "cpu")}
    for turn in range(rounds + 1):
        for name, body in bodies.items():
            begin, used = time.perf_counter(), time.process_time()
            found = engine.request(method="POST", host="llm.example", path="/v1/messages", headers=HEADERS, body=body)
            if turn:
                spent[name].append((time.perf_counter() - begin) * 1000)
                if name == "text":
                    spent["cpu"].append((time.process_time() - used) * 1000)
            if found:
                sys.exit(f"a false alarm: {found[0]}")
    print(json.dumps(spent))


if __name__ == "__main__":
    main(int(sys.argv[1]))
