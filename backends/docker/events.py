"""What the engine tells of bottles as it happens: only that something did, so that the rows are asked for at once."""

from __future__ import annotations

import json
import time
from pathlib import Path

from backends.docker import engine, proof, spec

SETTLED = 0.15  # seconds; an engine tells of an end a little before its own listing shows it
KINDS = ("start", "die", "pause", "unpause", "destroy")


def wait(root: Path, seen: str, seconds: float) -> tuple[bool, str]:
    """Until an event of this state folder's containers after `seen`, or so long: whether one came, and what to go on
    from.
    """
    import requests

    labels = [f"{spec.PREFIX}home={proof.owner(root).home}"]
    params = {"filters": json.dumps({"type": ["container"], "event": KINDS, "label": labels})}
    if seen:
        params["since"] = seen
    with engine.engine("watching bottles", engine.POLL_TIMEOUT) as api:
        # The client's own method would wait without an end.
        url = f"{api.base_url}/v{api.api_version}/events"
        try:
            with api.get(url, params=params, stream=True, timeout=seconds) as answer:
                answer.raise_for_status()
                for line in answer.iter_lines(chunk_size=1):
                    nanoseconds = json.loads(line)["timeNano"] + 1
                    time.sleep(SETTLED)
                    return True, f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09}"
        except requests.exceptions.Timeout:
            return False, seen
        except requests.exceptions.ConnectionError as error:
            if "timed out" in str(error).lower():
                return False, seen
            raise
    # The engine ended the stream: it is going away.
    return True, seen
