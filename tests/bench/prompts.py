"""A request to a language model as agents send it: a long conversation about this repository's own code, as JSON."""

from __future__ import annotations

import base64
import json
import random
from itertools import cycle
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SIZE = 400_000  # bytes
# The bottle's own secrets, which the scan looks for; they are in no prompt.
OWN = {"EGRESS_TOKEN_0": "sk-bench-" + "0123456789abcdefgh", "DB_PASSWORD": "kx93-Lmm2-" + "zzq81"}


def prompt(image: int = 0, size: int = SIZE) -> bytes:
    """About `size` bytes; `image` of them are random bytes in base64, as in a screenshot."""
    messages: list[dict[str, object]] = []
    left = size
    if image:
        noise = base64.b64encode(random.Random(1).randbytes(image * 3 // 4)).decode()
        source = {"type": "base64", "media_type": "image/png", "data": noise}
        messages.append({"role": "user", "content": [{"type": "image", "source": source}]})
        left -= image
    paths = sorted((ROOT / "botbottle_tui").rglob("*.py"))
    for number, path in enumerate(cycle(paths)):
        if left <= 0:
            break
        text = path.read_text(encoding="utf-8")[: min(6000, left)]
        block = {"type": "tool_result", "tool_use_id": f"toolu_{number:04}", "content": f"{path.name}\n{text}"}
        messages.append({"role": "user" if number % 2 == 0 else "assistant", "content": [block]})
        left -= len(json.dumps(messages[-1]))
    whole = {"model": "a-model", "max_tokens": 8192, "stream": True, "system": "Be careful.", "messages": messages}
    return json.dumps(whole).encode()
