"""Answers that come compressed though egress asked for plain ones: watched as what they say. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Callable

_PIECE = 256 * 1024
_GZIP_OR_ZLIB = 47
_KNOWN = ("gzip", "x-gzip", "deflate")
_HOW = "ask the operator to change the route's dlp"

Watch = Callable[[bytes], str]


def plainly(watch: Watch, codings: str, said: Callable[[str, str], str]) -> Watch:
    """A watch over pieces of a body that has the Content-Encoding `codings`; `watch` sees them without it.

    `said` makes the text to end an answer with from why and what to do, where its coding cannot be undone.
    """
    names = [name for part in codings.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    if not names:
        return watch
    undo = zlib.decompressobj(_GZIP_OR_ZLIB)

    def look(data: bytes) -> str:
        nonlocal undo
        if not data:
            return ""
        if len(names) > 1 or names[0] not in _KNOWN:
            return said("its content encoding cannot be undone, so that nobody could look into it", _HOW)
        try:
            while data:
                if undo.eof:
                    undo = zlib.decompressobj(_GZIP_OR_ZLIB)
                plain = undo.decompress(data, _PIECE)
                if text := watch(plain):
                    return text
                data = undo.unused_data if undo.eof else undo.unconsumed_tail
                if undo.eof and not data.strip(b"\0"):
                    return ""
        except zlib.error:
            return said("its content encoding is broken, so that nobody could look into it", _HOW)
        return ""

    return look
