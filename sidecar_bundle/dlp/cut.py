"""Cutting what was found out of a request, where it stands literally."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sidecar_bundle.dlp import shapes
from sidecar_bundle.dlp.own import Own

MARK = b"[redacted]"
_IN_URL = b"%5Bredacted%5D"
_MOST = 1000


def spans(own: Own, text: bytes, rule: str = "", name: str = "") -> list[tuple[int, int]]:
    """Where secrets stand literally in a text, in order and merged: of one rule and name, or all."""
    found: list[tuple[int, int]] = []
    if rule in ("", "own-secret"):
        found += own.spans(text, name)
    if rule != "own-secret":
        for index in shapes.patterns().found(text):
            if rule in ("", shapes.SHAPES[index].rule):
                found += shapes.confirmed(index, text)
    merged: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def redacted(
    own: Own, headers: Sequence[tuple[str, str]], path: str, body: bytes, *, patterns: bool
) -> tuple[list[tuple[str, str]], str, bytes] | None:
    """The request without any literal secret; None when that breaks it. What is left must be looked for again."""
    rule = "" if patterns else "own-secret"
    fields = [(name, _text(_cut(own, _bytes(value), MARK, rule))) for name, value in headers]
    result = _cut(own, body, MARK, rule)
    if result != body and _is_json(body) and not _is_json(result):
        return None
    return fields, _text(_cut(own, _bytes(path), _IN_URL, rule)), result


def _cut(own: Own, text: bytes, mark: bytes, rule: str) -> bytes:
    out, done = [], 0
    for start, end in spans(own, text, rule)[:_MOST]:
        out += [text[done:start], mark]
        done = end
    return b"".join([*out, text[done:]])


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
