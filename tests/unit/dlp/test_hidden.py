"""Own secrets behind what an attacker puts in front of them, and input that is made to be slow."""

from __future__ import annotations

import base64
import bz2
import contextlib
import gzip
import io
import json
import lzma
import random
import time
import zipfile
import zlib
from collections.abc import Callable

import pytest
import zstandard

from sidecar_bundle.dlp.engine import Engine, Unscannable

SECRET = "cfBAep" + "fJBd0Kh8oOOL8d"
ENGINE = Engine({"TOKEN": SECRET}, patterns=False)


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


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


def _zip(method: int, size: int = -1) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("a.txt", TEXT)
    result = bytearray(packed.getvalue())
    if size >= 0:
        result[18:22] = size.to_bytes(4, "little")
    return bytes(result)


def _pack(*objects: bytes) -> bytes:
    return b"PACK\0\0\0\x02\0\0\0\x01" + b"".join(bytes([0x30 | 15]) + data for data in objects) + bytes(20)


TEXT = b" ".join(b"line %d of a file" % i for i in range(40)) + SECRET.encode()
CODE = b"    for name, value in sorted(self._fields.items()): yield name, value, b"[:-4] * 600
GZIP, ZLIB, BZ2, XZ, ZSTD = (c(TEXT) for c in (gzip.compress, zlib.compress, bz2.compress, lzma.compress, zstd))
NARROW = zlib.compressobj(9, zlib.DEFLATED, 9)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(GZIP[:-8] + bytes(8), id="gzip with another checksum"),
        pytest.param(GZIP[:-9], id="gzip without its end"),
        pytest.param(b"\x1f\x8b\x08\0" * 64 + GZIP, id="gzip after what begins like it"),
        pytest.param(gzip.compress(b"one") + GZIP + b"tail", id="second part of a gzip"),
        pytest.param(ZLIB[:-4] + bytes(4), id="zlib with another checksum"),
        pytest.param(NARROW.compress(TEXT) + NARROW.flush(), id="zlib with a narrow window"),
        pytest.param(BZ2[:10] + bytes(4) + BZ2[14:], id="bzip2 with another checksum"),
        pytest.param(XZ[:-40] + bytes(40), id="xz with another end"),
        pytest.param(ZSTD + b"tail", id="zstd with bytes after it"),
        pytest.param(ZSTD[:-4] + bytes(4), id="zstd with another checksum"),
        pytest.param(_zip(zipfile.ZIP_DEFLATED, 4), id="zip whose header says that it is small"),
        pytest.param(_zip(zipfile.ZIP_BZIP2), id="zip of bzip2"),
        pytest.param(_zip(zipfile.ZIP_LZMA), id="zip of lzma"),
        pytest.param(_pack(zlib.compress(b"hello")[:-1] + b"\0", ZLIB), id="pack after an object that is broken"),
        pytest.param(_pack(zlib.compress(b"hello")[:-8], ZLIB), id="pack after an object that ends early"),
    ],
)
def test_compressed_data_is_read_as_far_as_it_can_be(body: bytes) -> None:
    assert caught(body, "")


@pytest.mark.parametrize("packed", [GZIP, GZIP[:-8] + bytes(8), ZLIB, BZ2, XZ, ZSTD, _zip(8, 4), _pack(ZLIB)])
@pytest.mark.parametrize(
    "place",
    [
        pytest.param(b'{"file": "%s"}', id="alone"),
        pytest.param(b'{"a": "' + base64.b64encode(b"hello world, this is text") + b' %s"}', id="after another run"),
        pytest.param(b'{"a": "' + CODE + b"\\n%s\\n" + CODE + b'"}', id="in a prompt"),
    ],
)
def test_compressed_data_in_base64_is_undone(place: bytes, packed: bytes) -> None:
    assert caught(place % base64.b64encode(packed))


@pytest.mark.parametrize("pad", range(40, 80, 7))
@pytest.mark.parametrize("packer", [gzip.compress, zlib.compress])
def test_lines_of_base64_of_any_length_belong_together(packer: Callable[[bytes], bytes], pad: int) -> None:
    lines = base64.encodebytes(packer(random.Random(pad).randbytes(pad).hex().encode() + SECRET.encode())).decode()
    assert caught(lines.encode(), "text/plain")
    assert caught(json.dumps({"m": json.dumps({"stdout": lines})}).encode())
    assert caught(json.dumps({"m": json.dumps({"stdout": CODE.decode() + "\n" + lines})}).encode())


def test_more_compressed_parts_than_are_read_are_refused() -> None:
    with pytest.raises(Unscannable, match=r"^compressed data that begins too often$"):
        caught(b"\x1f\x8b\x08\x08" * 20_000 + GZIP, "")


def test_a_dictionary_that_is_too_large_is_refused() -> None:
    big = lzma.compress(TEXT, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 2**29}])
    with pytest.raises(Unscannable, match=r"takes too much memory$"):
        caught(big, "")


@pytest.mark.parametrize(
    "body",
    [b"UEsDBAAA" * 40_000, b"/eJyzzzzzzzzz" * 25_000, b"H4sIAAAAAAAA" * 25_000, _pack(*[zlib.compress(b"")] * 50_000)],
)
def test_many_beginnings_take_little_time(body: bytes) -> None:
    began = time.process_time()
    with contextlib.suppress(Unscannable):
        assert not caught(body, "text/plain")
    assert time.process_time() - began < 2
