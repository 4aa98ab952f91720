"""What is in compressed files: whole, damaged, within others and behind something else."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import subprocess
import time
import zipfile
import zlib
from pathlib import Path

import pytest

from sidecar_bundle.gitgate.run import Failed
from sidecar_bundle.gitgate.unpack import MAX_UNPACKED, unpacked


def test_compressed_files() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", "one")
        archive.writestr("b", "two")
    assert unpacked(packed.getvalue()) == [b"one", b"two"]
    assert unpacked(gzip.compress(b"text")) == [b"text"]
    assert unpacked(b"plain") == unpacked(b"\x1f\x8bbroken") == unpacked(b"PK\x03\x04broken") == []
    with pytest.raises(Failed, match="compressed"):
        unpacked(gzip.compress(bytes(MAX_UNPACKED + 1)))


def test_compressed_files_within_others() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.gz", gzip.compress(b"text"))
    assert b"text" in unpacked(packed.getvalue())
    assert b"text" in unpacked(b"#!/bin/sh\n" + packed.getvalue())
    assert b"text" in unpacked(gzip.compress(gzip.compress(gzip.compress(b"text"))))
    assert unpacked(gzip.compress(b"one") + gzip.compress(b"two") + b"\0\0") == [b"one", b"two"]
    # All of one file together is bounded.
    with pytest.raises(Failed, match="cannot be scanned"):
        unpacked(gzip.compress(gzip.compress(bytes(MAX_UNPACKED // 2)) * 3))


def zipped(method: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("a", TEXT)
    return packed.getvalue()


def bundled(folder: Path) -> bytes:
    """A bundle of git with a file of TEXT."""
    (folder / "a").write_bytes(TEXT)
    for command in (
        "init -q",
        "add a",
        "-c user.name=a -c user.email=a@example.org commit -qm a",
        "bundle create b HEAD",
    ):
        subprocess.run(["git", *command.split()], cwd=folder, check=True, capture_output=True)
    return (folder / "b").read_bytes()


TEXT = b"the text that is looked for\n" + bytes(range(200))
PACKED = gzip.compress(TEXT, mtime=0)
DAMAGED = {
    "crc": PACKED[:-8] + bytes(8),
    "cut": PACKED[:-9],
    "named": PACKED[:3] + b"\x1e" + PACKED[4:10] + b"\2\0abname\0comment\0cc" + PACKED[10:],
    "script": b"#!/bin/sh\n" + PACKED,
    "zlib": zlib.compress(TEXT)[:-4],
    "zlib 1": zlib.compress(TEXT, 1),
    "lzma": lzma.compress(TEXT, lzma.FORMAT_ALONE),
    "xz": lzma.compress(TEXT)[:-30] + bytes(30),
    "bzip2": b"head " + bz2.compress(TEXT)[:-4],
    "no directory": zipped(zipfile.ZIP_DEFLATED).split(b"PK\1\2")[0],
    "behind a pack": b"PACK\0\0\0\2" + PACKED,
    "zip of lzma": zipped(zipfile.ZIP_LZMA),
    "zip of bzip2": zipped(zipfile.ZIP_BZIP2),
}


@pytest.mark.parametrize("name", [*DAMAGED, "bundle"])
def test_damaged_and_hidden_compressed_files(name: str, tmp_path: Path) -> None:
    data = DAMAGED.get(name) or bundled(tmp_path)
    assert any(TEXT[:-8] in part for part in unpacked(data))


@pytest.mark.parametrize(
    "piece", [b"\x1f\x8b\x08\x08ab", b"\xfd7zXZ\0", PACKED[:10] + b"\0\0\0\xff\xff" * 2, b"PK\3\4"]
)
def test_what_only_looks_compressed_takes_no_long_time(piece: bytes) -> None:
    began = time.monotonic()
    with contextlib.suppress(Failed):
        unpacked(piece * 2_000_000)
    assert time.monotonic() - began < 20
