"""Keys that a request brings along: where one stands that is not the bottle's own. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

# Taken out of a request to a host whose credential egress writes, so that a placeholder there does no harm.
_HEADER = re.compile(
    r"(?:cookie2?|token|passwd|password|(?:.*[-_.])?(?:authorization|api[-_.]?key|api[-_.]?token|apikey|"
    r"(?:app|application|account|admin|auth|access|client|private|secret|service|subscription|session|user|functions)"
    r"[-_.]?(?:key|token|secret)|(?:job|deploy|gitlab|github|vault|security|bearer|jwt|id|refresh|figma)[-_.]?token|"
    r"x[-_.](?:token|key|secret|auth|jwt|password)|secret|credentials?|password)|"
    r"(?:x[-_.])?(?:authentication|bearer|dpop|wsse|pass|session(?:[-_.]?id)?|apisecret|auth[-_.](?:code|user)|"
    r"tracker[-_.]?token|jwt[-_.]assertion|jfrog[-_.]art[-_.]api)|cf-access-client-id|cb-access-.*)\Z",
    re.IGNORECASE,
)
# Whatever its first words are, a header whose last is one of these authenticates, but for those that are known not to.
_LAST = re.compile(r"(?:.*[-_.])?(?:token|key|secret|auth|jwt|credentials?|password)\Z", re.IGNORECASE)
_NO_KEY = re.compile(
    r"sec-websocket-key|(?:.*[-_.])?(?:idempotency|cache|surrogate|partition|routing|continuation|page|csrf|xsrf)"
    r"[-_.](?:key|token)\Z",
    re.IGNORECASE,
)
_DISPOSITION = re.compile(rb"(?i)content-disposition:((?:[^\r\n]|\r?\n[ \t])*)")
_PART = re.compile(rb"""(?i)\bname\*?\s*=\s*(?:[\w-]*'[\w-]*')?["']?([^"'\r\n;]{1,64})""")
_NAMES = frozenset(
    re.findall(
        r"\w+",
        "accesskey accesstoken apikey apisecret apitoken appkey applicationkey auth authkey authorization authtoken "
        "admintoken bearer bearertoken circletoken consumerkey consumersecret ddapikey ddapplicationkey githubtoken "
        "gitlabtoken hapikey licensekey personalaccesstoken pwd slacktoken userkey usertoken xiapikey xplextoken "
        "clientassertion clientsecret idtoken jobtoken jwt oauthtoken passwd password privatekey "
        "privatetoken refreshtoken secret secretkey sessionkey sessiontoken subscriptionkey token xapikey xauthtoken "
        "xgoogapikey",
    )
)
_QUERY_NAMES = _NAMES | {"key", "sig", "signature", "awsaccesskeyid", "xamzcredential", "xamzsignature"}
_FORM = re.compile(rb"[A-Za-z0-9_.%\[\]-]{1,64}=[^\s<>{}\"]*(?:&|\Z)")
# A test that costs little on a body of any size: without one of these no name above stands in it.
_CHEAP = re.compile(rb"(?i)key|token|secret|passw|pwd|auth|bearer|jwt|assertion")
_FIELD = re.compile(
    rb'(?i)"[a-z_. -]*(?:key|token|secret|passw(?:or)?d|pwd|auth(?:orization)?|bearer|jwt|assertion)"\s*:\s*"'
)
_ESCAPE = re.compile(rb"\\u00([2-7][0-9a-fA-F])")
_DEPTH = 3
_PARSED_AT_ONCE = 4 * 2**20  # a larger body is parsed only when a cheaper test says that it can matter


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def carries_header(name: str) -> bool:
    """Whether the header of this name authenticates."""
    return bool(_HEADER.match(name) or (_LAST.match(name) and not _NO_KEY.match(name)))


def in_protocols(value: str) -> str:
    """What of a WebSocket handshake's subprotocols authenticates, as browsers do it; or ""."""
    return "Sec-WebSocket-Protocol" if _CHEAP.search(value.encode("latin-1", "replace")) else ""


def in_query(query: str) -> str:
    """The name of a query parameter that authenticates, or ""."""
    return _pair(parse_qsl(query.replace(";", "&"), encoding="latin-1"), _QUERY_NAMES)


def _pair(pairs: Iterable[tuple[str, str]], names: frozenset[str]) -> str:
    return next((name for name, value in pairs if value and _plain(name) in names), "")


def in_body(content_type: str, body: bytes) -> str:
    """The name of a field of a form or of a JSON object that authenticates, or "".

    Of JSON only objects within objects count: what stands in a list is content, such as the messages of a chat.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if "urlencoded" in kind or (kind in ("", "text/plain") and _FORM.match(body[:4096])):
        if b"%" not in body and not _CHEAP.search(body):
            return ""
        return in_query(body.decode("latin-1"))
    if kind.startswith("multipart/"):
        found = [name for line in _DISPOSITION.findall(body) for name in _PART.findall(line)]
        return _pair(((name.decode("latin-1"), "x") for name in found), _NAMES)
    if "json" in kind and b"\0" in body[:4]:
        try:
            body = body.decode(json.detect_encoding(body)).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return "of JSON that cannot be read"
    body = body.removeprefix(b"\xef\xbb\xbf")
    head = body[:4096].lstrip()
    if not head.startswith(b"{") and "json" not in kind:
        return ""
    if len(body) > _PARSED_AT_ONCE and not _named(body):
        return ""
    # One object, or one in each line. What some server might read all the same is not let through unread.
    try:
        return _field(_parsed(body), _DEPTH)
    except RecursionError:
        return "of JSON that is nested too deeply" if _named(body) else ""
    except ValueError:
        if not _named(body):
            return ""
        lines = [line for line in body.split(b"\n") if line.strip()] if "json" in kind else []
    try:
        return next((name for line in lines if (name := _field(_parsed(line), _DEPTH))), "")
    except (ValueError, RecursionError):
        return "of JSON that cannot be read"


def _named(body: bytes) -> bool:
    """Whether a field's name in there might be one that authenticates."""
    if _FIELD.search(body):
        return True
    return b"\\u00" in body and bool(_FIELD.search(_ESCAPE.sub(lambda m: bytes([int(m[1], 16)]), body)))


class _Object(list[tuple[str, Any]]):
    """An object's pairs, also those whose name stands twice."""


def _parsed(body: bytes) -> Any:
    return json.loads(body, object_pairs_hook=_Object)


def _field(value: Any, depth: int) -> str:
    if type(value) is list and depth == _DEPTH:
        # A batch: each is a request of its own.
        return next((name for one in value if type(one) is _Object and (name := _field(one, _DEPTH))), "")
    if not isinstance(value, _Object) or depth == 0:
        return ""
    for name, inner in value:
        if isinstance(inner, str) and inner and _plain(name) in _NAMES:
            return name
        if found := _field(inner, depth - 1):
            return found
    return ""
