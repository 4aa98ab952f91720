"""Answers that come compressed: watched as what they say, ended when that cannot be told."""

from __future__ import annotations

import gzip
import zlib

import pytest

from sidecar_bundle.egress.encoded import plainly


def watched(codings: str, *pieces: bytes) -> tuple[list[str], bytes]:
    seen = bytearray()

    def watch(data: bytes) -> str:
        seen.extend(data)
        return "found" if b"the value" in seen else ""

    look = plainly(watch, codings, lambda why, _how: why)
    return [look(piece) for piece in pieces], bytes(seen)


@pytest.mark.parametrize("coding", ["gzip", "X-Gzip", "deflate", "identity, gzip"])
def test_what_is_inside_is_watched(coding: str) -> None:
    make = zlib.compress if coding == "deflate" else gzip.compress
    data = make(b"this is the value")
    assert "found" in watched(coding, data)[0]
    assert "found" in watched(coding, *(data[i : i + 1] for i in range(len(data))))[0]
    assert watched(coding, make(b"this is nothing"), b"") == (["", ""], b"this is nothing")


def test_a_second_member_is_watched_too() -> None:
    assert "found" in watched("gzip", gzip.compress(b"a"), gzip.compress(b"the value"))[0]
    assert "found" in watched("gzip", gzip.compress(b"a") + gzip.compress(b"the value"))[0]


def test_what_cannot_be_undone_does_not_pass() -> None:
    for coding in ("br", "zstd", "gzip, gzip"):
        assert "cannot be undone" in watched(coding, b"some bytes")[0][0], coding
        assert watched(coding, b"")[0] == [""]
    assert "broken" in watched("gzip", b"no gzip at all")[0][0]
    assert watched("", b"as it is") == ([""], b"as it is")


def test_much_from_little_is_seen_in_pieces() -> None:
    largest = 0

    def watch(data: bytes) -> str:
        nonlocal largest
        largest = max(largest, len(data))
        return ""

    assert plainly(watch, "gzip", lambda why, _how: why)(gzip.compress(bytes(50_000_000))) == ""
    assert 0 < largest <= 1 << 20
