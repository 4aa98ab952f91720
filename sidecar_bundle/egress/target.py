"""What a host name and a request target really say: IP literals, path tricks, a git push in disguise."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?\Z")
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")
_ESCAPED = re.compile(r"%(?:2e|2f|5c|00|0[0-9a-f]|1[0-9a-f]|7f|c0|c1)", re.IGNORECASE)
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_PUSH_SERVICE = re.compile(r"(?:^|[&;?])\s*service\s*=\s*git-receive-pack")
_ROUNDS = 4


def canonical(host: str) -> str:
    """The host in lower case and ASCII, or "" when it is no host name; a name's trailing dot is no name here."""
    try:
        name = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
    name = name.lower()
    return name if is_ip(name) or (_NAME.match(name) and ".." not in name) else ""


def is_ip(host: str) -> bool:
    """Whether some resolver would read `host` as an address: dotted, decimal, octal, hexadecimal, short, IPv6."""
    bare = host.strip("[]").rstrip(".")
    return ":" in bare or bool(_NUMBER.match(bare.rpartition(".")[2].lower()))


def split_port(authority: str) -> tuple[str, int | None] | None:
    """Host and port of an authority (`host`, `host:port`, `[v6]:port`), or None when it is none."""
    match = re.fullmatch(r"(\[[^\[\]@/\s]*\]|[^:@/\\?#\s\[\]]*)(?::([0-9]{1,5}))?", authority)
    return (match[1], int(match[2]) if match[2] else None) if match else None


def path_trick(path: str) -> str:
    """What makes `path` (without query) readable in two ways, or "" when it says one thing only."""
    if _BAD_ESCAPE.search(path):
        return "a broken % escape"
    for _ in range(_ROUNDS):
        if _ESCAPED.search(path):
            return "an escaped dot, slash, backslash or control character"
        if "\\" in path:
            return "a backslash"
        if "//" in path:
            return "an empty segment"
        if any(segment.partition(";")[0] in (".", "..") for segment in path.split("/")):
            return "a dot segment"
        plain = re.sub(r"%([0-9a-fA-F]{2})", lambda m: chr(int(m[1], 16)), path)
        if plain == path:
            return ""
        path = plain
    return "an escape within escapes"


def path_allowed(path: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a prefix covers `path` at a segment's boundary: `/v1` covers `/v1` and `/v1/x`, never `/v1x`."""
    return any(path == p or path.startswith(p if p.endswith("/") else p + "/") for p in prefixes)


def _plain(text: str) -> str:
    for _ in range(_ROUNDS):
        decoded = unquote_plus(text)
        if decoded == text:
            break
        text = decoded
    return text.lower()


def is_git_push(path: str, query: str, content_type: str) -> bool:
    """Whether the request is part of a git push over HTTP, however it is escaped; a fetch is not."""
    segments = [segment.partition(";")[0].strip() for segment in re.split(r"[/\\]", _plain(path))]
    return (
        "git-receive-pack" in segments
        or bool(_PUSH_SERVICE.search(_plain(query)))
        or "git-receive-pack" in content_type.lower()
    )
