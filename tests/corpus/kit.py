"""What the corpus is made of: a request, and draws that are the same at each run."""

from __future__ import annotations

import json
import random
import string
from dataclasses import dataclass, field
from typing import Any

ALNUM = string.ascii_letters + string.digits
WEB = ALNUM + "-_"


@dataclass(frozen=True)
class Request:
    """One request as egress would hand it to the engine; `label` says which it is when a test fails."""

    label: str
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    method: str = "POST"
    host: str = "api.example.net"


@dataclass
class Draw:
    """Random text from one seed."""

    rng: random.Random = field(default_factory=lambda: random.Random(20261))

    def text(self, alphabet: str, length: int) -> str:
        return "".join(self.rng.choice(alphabet) for _ in range(length))

    def alnum(self, length: int) -> str:
        """Letters of both cases and digits, at least one of each."""
        while True:
            text = self.text(ALNUM, length)
            if any(c.isdigit() for c in text) and any(c.islower() for c in text) and any(c.isupper() for c in text):
                return text

    def web(self, length: int) -> str:
        ends = min(4, length // 2)
        return self.text(ALNUM, ends) + self.text(WEB, length - 2 * ends) + self.text(ALNUM, ends)

    def hex(self, length: int) -> str:
        return self.text("0123456789abcdef", length)

    def uuid(self) -> str:
        return "-".join(self.hex(n) for n in (8, 4, 4, 4, 12))


def as_json(label: str, document: Any, path: str = "/v1/messages", **more: Any) -> Request:
    headers = (("content-type", "application/json"), ("user-agent", "agent/1.0"))
    return Request(label, path, headers, json.dumps(document).encode(), **more)


def get(label: str, path: str, *headers: tuple[str, str]) -> Request:
    return Request(label, path, headers, b"", "GET")
