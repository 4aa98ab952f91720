"""Keys that a request brings along: where one stands that is not the bottle's own. Pure."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from urllib.parse import parse_qsl, unquote

from sidecar_bundle.egress.json_fields import ASSIGNED, UNREAD, hinted, in_json, in_text
from sidecar_bundle.egress.keyed import DEEP, Kind, authenticates, carries_header, kind, opaque, ours

_FORM = re.compile(rb"[A-Za-z0-9_.%\[\]-]{1,64}=[^\s<>{}\"]*(?:&|\Z)")
_DISPOSITION = re.compile(rb"(?i)content-disposition[ \t]*:((?:[^\r\n]|\r?\n[ \t])*)")
_PART = re.compile(rb"""(?i)\bname(?:\*?|\*\d\*?)\s*=\s*(?:[\w-]*'[\w-]*')?["']?([^"'\r\n;]{1,64})""")
_PART_TYPE = re.compile(
    rb"(?i)content-type[ \t]*:[ \t]*([a-z]+/[^\s;]{0,64}?(?:json|urlencoded|xml|yaml)[^\r\n]{0,256})"
)
_BLANK = re.compile(rb"\r?\n\r?\n")
_INNER_REQUEST = re.compile(
    rb"(?:\A|\n)[A-Z]{3,10} (\S{1,4096}) HTTP/[\d.]{1,3}[ \t]*\r?\n((?:[^\s:]{1,128}[ \t]*:[^\r\n]*(?:\r?\n|\Z))*)"
)
_XML = (
    re.compile(rb"<([A-Za-z_][\w.:-]{0,64})(?:\s[^<>]{0,512})?>\s{0,64}(?:<!\[CDATA\[)?([^\s<>\]]{4,1024})"),
    re.compile(rb"""(?<![\w.:-])([A-Za-z_][\w.:-]{0,64})\s{0,8}=\s{0,8}["']([^"'<>]{4,1024})"""),
    re.compile(
        rb"""(?:name|key|id)\s{0,8}=\s{0,8}["']([^"'<>]{1,64})["'][^<>]{0,256}?(?:value\s{0,8}=\s{0,8}["']|>)([^"'<>\s]{4,1024})"""
    ),
    re.compile(rb"<name>([^<]{1,64})</name>\s{0,64}<value>\s{0,64}(?:<string>)?([^<\s]{4,1024})"),
)


def in_protocols(value: str) -> str:
    """What of a WebSocket handshake's subprotocols authenticates, as browsers do it; or ""."""
    keyed = re.search(r"(?i)key|token|secret|passw|pwd|auth|bearer|jwt|assertion", value)
    return "Sec-WebSocket-Protocol" if keyed or any(opaque(one) for one in re.split(r"[,\s]+", value)) else ""


def in_query(query: str) -> str:
    """The name of a query parameter that authenticates, or ""."""
    return _pairs(parse_qsl(query.replace(";", "&"), encoding="latin-1"))


def in_path(path: str) -> str:
    """What in a path authenticates: `;token=...`, `/token/...`, `//user:password@host`; or ""."""
    path = unquote(unquote(path))
    if re.search(r"//[^/@:]*:[^/@]+@", path):
        return "user:password@"
    if re.search(r"/bot\d+:[\w-]{20,}", path):
        return "bot"
    segments = [segment.split(";") for segment in path.split("/")]
    for (name, *_), (value, *_) in pairwise(segments):
        if kind(name) is Kind.SURE and not name.endswith("s") and authenticates(name, value, DEEP):
            return name
    return _pairs(one.partition("=")[::2] for _, *matrix in segments for one in matrix)


def in_body(content_type: str, body: bytes) -> str:
    """The name of a field of a body that authenticates, or ""."""
    media = content_type.partition(";")[0].strip().lower()
    if media.startswith("multipart/") or media.endswith("/http"):
        return _multipart(body) or ("" if "form-data" in media else _inner(body))
    texts = [body]
    charset = re.search(r"(?i)charset\s*=\s*[\"']?((?:utf|ibm|cp)[-_]?\w{1,8}(?:-?[bl]e)?)", content_type)
    coding = charset[1].lower() if charset else ""
    textual = not media or any(word in media for word in ("json", "urlencoded", "text/", "xml", "yaml"))
    if textual and (b"\0" in body[:4] or body[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        coding = json.detect_encoding(body)
    if coding and not re.fullmatch(r"utf[-_]?8", coding):
        try:
            texts.append(body.decode(coding).encode("utf-8", "surrogatepass"))
        except (UnicodeError, LookupError):
            if "json" in media:
                return UNREAD
    return next((name for text in texts if (name := _text(media, text.removeprefix(codecs.BOM_UTF8)))), "")


def _text(media: str, body: bytes) -> str:
    head = body[:4096].lstrip()
    form = "urlencoded" in media
    if head.startswith(b"{") or "json" in media or (head.startswith(b"[") and re.match(rb'\[\s*[{\["]', head)):
        if name := in_json(media, body):
            return name
    elif not form and ("xml" in media or (head.startswith(b"<") and media in ("", "text/plain"))):
        return in_text(body, *_XML)
    elif "yaml" in media or "toml" in media or (not media and re.match(rb"[\w.-]{1,64}:[ \t]+\S", head)):
        return in_text(body, ASSIGNED)
    if form or (media in ("", "text/plain") and _FORM.match(body[:4096])):
        return _pairs(_form(body)) if b"%" in body or hinted(body) else ""
    return ""


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    for name, value in pairs:
        if authenticates(name, value):
            return name
        if value[:1] in ("{", "[") and (inner := in_json("", value.encode("latin-1", "replace"))):
            return inner
    return ""


def _form(body: bytes) -> list[tuple[str, str]]:
    return parse_qsl(body.decode("latin-1").replace(";", "&"), encoding="latin-1")


def _multipart(body: bytes) -> str:
    for head, content in _parts(body):
        value = None if content is None else content[:4096].decode("latin-1").strip()
        for line in _DISPOSITION.findall(head):
            names = [unquote(name.decode("latin-1")) for name in _PART.findall(line)]
            for name in (*names, "".join(names)):
                if kind(name) is not Kind.NONE and (value is None or authenticates(name, value)):
                    return name
        media = _PART_TYPE.search(head)
        if media and content and (found := in_body(media[1].decode("latin-1"), content)):
            return found
    return ""


def _parts(body: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """Head and content of what stands between lines that could be a boundary, whichever the real one is."""
    start = 0
    while start < len(body):
        stop = end if (end := body.find(b"\n--", start)) >= 0 else len(body)
        blank = _BLANK.search(body, start, stop)
        yield (body[start : blank.start()], body[blank.end() : stop]) if blank else (body[start:stop], None)
        start = stop + 3


def _inner(body: bytes) -> str:
    """Requests within: of a batch."""
    for request, following in pairwise(chain(_INNER_REQUEST.finditer(body), (None,))):
        assert request is not None
        stop = following.start() if following else len(body)
        path, _, query = re.sub(r"\A\w+://[^/@]*(?=/|\Z)", "", request[1].decode("latin-1")).partition("?")
        if name := in_path(path) or in_query(query):
            return name
        media = ""
        for line in request[2].decode("latin-1").splitlines():
            name, _, value = (text.strip() for text in line.partition(":"))
            if value and carries_header(name, value) and not ours(value):
                return name
            media = value if name.lower() == "content-type" else media
        inner = body[request.end() : stop].partition(b"\n--")[0].strip()
        if name := _text(media.partition(";")[0].lower(), inner):
            return name
    return ""
