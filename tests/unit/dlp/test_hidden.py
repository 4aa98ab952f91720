"""Own secrets behind what an attacker puts in front of them, and input that is made to be slow."""

from __future__ import annotations

import base64
import gzip
import time

import pytest

from sidecar_bundle.dlp.engine import Engine

SECRET = "cfBAep" + "fJBd0Kh8oOOL8d"
ENGINE = Engine({"TOKEN": SECRET}, patterns=False)


def caught(body: bytes, kind: str = "application/json", path: str = "/") -> bool:
    headers = [("content-type", kind)] if kind else []
    return bool(ENGINE.request(method="POST", host="a.example", path=path, headers=headers, body=body))


@pytest.mark.parametrize("levels", range(5))
def test_what_other_encodings_stand_before_it_does_not_matter(levels: int) -> None:
    packed = base64.b64encode(gzip.compress(SECRET.encode()))
    assert caught(b"x = '" + b"\\" * 2**levels + b"x41'\n" + packed, "text/plain")


@pytest.mark.parametrize("body", [b'{"' + b'\\"' * 40_000, b'{"a": ' + b'"' * 80_001, b'{"a"' + b" " * 80_000])
def test_json_that_never_ends_is_read_once(body: bytes) -> None:
    began = time.process_time()
    assert not caught(body)
    assert time.process_time() - began < 2
