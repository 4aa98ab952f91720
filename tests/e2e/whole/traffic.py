"""What an agent does all the time, run inside the bottle: requests one after another, clean and not, until told to end.

    python3 - NAME < this file

Writes a JSON line for each: what it carried, its path, status (0: no answer), the first words of what came back.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request

SEED = "abandon " * 11 + "about"


def ask(path: str, body: str | None, timeout: float = 20) -> tuple[int, str]:
    request = urllib.request.Request("https://a.example" + path, body.encode() if body else None)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read(300).decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read(300).decode()
    except OSError as error:
        return 0, str(error)


def tell(kind: str, path: str, status: int, text: str) -> None:
    print(json.dumps({"kind": kind, "path": path, "status": status, "text": text, "at": time.time()}), flush=True)


def slow(name: str) -> None:
    tell("slow", f"/{name}/slow", *ask(f"/{name}/slow?3", None))


def main(name: str) -> None:
    bodies = {"clean": "some text", "own": f"text {os.environ['OWN_VALUE']}", "seed": SEED}
    end = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), end.set()), daemon=True).start()
    flight = threading.Thread(target=slow, args=(name,))
    flight.start()
    number = 0
    while not end.is_set():
        for kind, body in bodies.items():
            number += 1
            path = f"/{name}/{kind}/{number}"
            tell(kind, path, *ask(path, body))
    flight.join()


if __name__ == "__main__":
    main(sys.argv[1])
