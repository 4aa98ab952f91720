"""Fields of JSON that authenticate, and of text that is only like it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from sidecar_bundle.egress.keyed import DEEP, HINTS, INNER, TOP, Kind, authenticates, carries_header, kind, ours

# Within JSON's strings quotes are escaped, so that before these stand names of fields and never text.
_FIELD = re.compile(rb'"(?<!\\")\s*:\s*(?!""|[{tfn\]])')
_ESCAPE = re.compile(rb"\\u00([2-7][0-9a-fA-F])")
_HOLDS = ("header", "headers", "url", "uri", "path", "query", "mutation")
# Strings, numbers, the three words and whatever can stand between them.
_JSON = re.compile(
    rb"""(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[^A-Za-z_$'/"]++|(?:true|false|null)\b|(?<=\d)[eE](?=[-+\d]))*+""", re.DOTALL
)
_BETWEEN = re.compile(r"[\s\x1e,]*")
ASSIGNED = re.compile(
    rb"""(?<![\w."'-])["']?([A-Za-z_][\w.-]{1,64})["']?\s{0,8}[:=]\s{0,8}(?:[|>][-+\d]{0,2}\s{1,8}|[!&]\S{1,32}\s{1,8})?"""
    rb"""["']?([^\s"'<>,;{}&]{4,1024})"""
)
# The text of a conversation, and the calls of tools in it, are content: no host takes its keys from there.
_ROLES = frozenset({"user", "assistant", "system", "developer", "tool", "function", "model"})
_CONTENT = frozenset(
    {"content", "parts", "tool_calls", "function_call", "reasoning", "reasoning_details", "thinking_blocks"}
)
_SURE = frozenset({Kind.SURE, Kind.PASSWORD})
_ANY = frozenset(Kind) - {Kind.NONE}
_PARSED_AT_ONCE = 4 * 2**20
_REMEMBERED = 4096
UNREAD = "of JSON that cannot be read"


def hinted(body: bytes) -> bool:
    """A test that costs little on a body of any size: whether some name in it might authenticate."""
    low = body.lower()
    return any(hint.encode() in low for hint in HINTS)


def in_text(body: bytes, *patterns: re.Pattern[bytes]) -> str:
    """A field of text that is not read by its grammar: only what looks like a key counts."""
    if not hinted(body):
        return ""
    found = (match for pattern in patterns for match in pattern.finditer(body))
    pairs = ((match[1].decode("latin-1"), match[2].decode("latin-1")) for match in found)
    return next((name for name, value in pairs if authenticates(name, value, DEEP)), "")


class _Object(list[tuple[str, Any]]):
    """An object's pairs, also those whose name stands twice."""


def in_json(media: str, body: bytes) -> str:
    """A field of JSON that authenticates. What some server might read all the same is not let through unread."""
    if not _named(body):
        return "" if _valid(body) else in_text(body, ASSIGNED)
    try:
        return next((found for n, value in enumerate(_values(body)) if (found := _field(value, n))), "")
    except RecursionError:
        return "of JSON that is nested too deeply"
    except ValueError:
        return UNREAD if "json" in media and _named(body, _SURE) else in_text(body, ASSIGNED)


def _named(body: bytes, kinds: frozenset[Kind] = _ANY) -> str:
    """The first name of a field that might authenticate, else of one that might hold such a field as text."""
    holds, seen = "", set[bytes]()
    for end in _FIELD.finditer(body):
        stop = end.start()
        name = body[max(body.rfind(b'"', max(0, stop - 128), stop) + 1, stop - 128) : stop]
        if name in seen:
            continue
        if len(seen) < _REMEMBERED:
            seen.add(name)
        if b"\\" in name:
            name = _ESCAPE.sub(lambda m: bytes([int(m[1], 16)]), name)
        if kind(text := name.decode("latin-1")) in kinds:
            return text
        holds = holds or (text if text[-8:].lower().endswith(_HOLDS) else "")
    return holds


def _valid(body: bytes) -> bool:
    """Whether it is JSON: in what is only like it, other signs than these can stand around a name."""
    if len(body) <= _PARSED_AT_ONCE:
        try:
            json.loads(body)
            return True
        except (ValueError, RecursionError):
            pass
    return _JSON.fullmatch(body) is not None


def _values(body: bytes) -> Iterator[Any]:
    """The values of JSON: one, or one after the other."""
    text = body.decode("utf-8", "surrogateescape")
    decoder = json.JSONDecoder(object_pairs_hook=_Object, strict=False)
    at = _BETWEEN.match(text).end()  # type: ignore[union-attr]
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        yield value
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]


def _field(root: Any, before: int) -> str:
    # A list at the top is a batch: each is a request of its own. So is each of several values.
    left = [(one, 1) for one in root] if type(root) is list else [(root, min(before, 1))]
    while left:
        value, depth = left.pop()
        if type(value) is list:
            left += [(one, DEEP + 1) for one in value if isinstance(one, list)]
            continue
        if not isinstance(value, _Object):
            continue
        message = any(name == "role" and inner in _ROLES for name, inner in value if isinstance(inner, str))
        level = TOP if depth == 0 else INNER if depth <= DEEP else DEEP
        for name, inner in value:
            if isinstance(inner, list):
                if message and name in _CONTENT:
                    continue
                if _listed(name, inner):
                    return name
                left.append((inner, depth + 1 if type(inner) is _Object else DEEP + 1))
            elif _scalar(name, inner, level):
                return name
    return ""


def _scalar(name: str, value: Any, level: int) -> bool:
    if isinstance(value, str):
        if level == TOP and name in ("query", "mutation") and re.match(r"\s*(?:mutation|query|subscription|\{)", value):
            return bool(in_text(value.encode("utf-8", "replace"), ASSIGNED))
        if name.lower().endswith(("url", "path", "uri")) and "?" in value and not re.match(r"\w+:|//", value):
            return any(authenticates(*pair) for pair in parse_qsl(value.partition("?")[2]))
        return authenticates(name, value, level)
    if isinstance(value, int | float) and not isinstance(value, bool):
        what, digits = kind(name), str(value)
        return (what is Kind.SURE and len(digits) >= 8) or (what is Kind.PASSWORD and len(digits) >= 4)
    return False


def _listed(name: str, value: list[Any]) -> bool:
    """Whether a list holds keys, by its own name; or headers of which one does."""
    if type(value) is list and any(isinstance(one, str) and authenticates(name, one, DEEP) for one in value[:16]):
        return True
    if "header" not in name.lower():
        return False
    return any(
        carries_header(n, v) and v and not ours(v) and authenticates("token", v, DEEP) for n, v in _headers(value)
    )


def _headers(value: list[Any]) -> Iterator[tuple[str, str]]:
    for one in value:
        if isinstance(one, tuple) or (type(one) is list and len(one) == 2):
            name, said = one
        elif isinstance(one, _Object):
            fields = {key.lower(): inner for key, inner in one}
            name, said = fields.get("name", fields.get("key")), fields.get("value")
        else:
            name, _, said = one.partition(":") if isinstance(one, str) else ("", "", "")
        if isinstance(name, str) and isinstance(said, str):
            yield name.strip(), said.strip()
