"""What a field says of itself: whether its name authenticates, and whether its value can be a key. Pure."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from urllib.parse import unquote

from sidecar_bundle.dlp.drawn import mixed, placeholder, strong
from sidecar_bundle.shared.weak import weak, wordlike

# How deep a field stands: at the top of what was sent, in objects below it, or in a list or deeper still.
TOP, INNER, DEEP = 0, 1, 2
# What an agent is given in place of its own credential (`agent_image`), with a scheme before it or not.
_OURS = re.compile(r"(?:[A-Za-z][\w-]*\s+)?egress-placeholder\Z")

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# Without one of these no name authenticates.
HINTS = (
    *("key", "token", "secret", "pass", "pwd", "auth", "bearer", "jwt", "assertion", "session", "cred", "cookie"),
    *("oidc", "kratos", "hmac", "sig", "otp", "pat", "pin", "sid", "code", "appid"),
)
_HINT = re.compile("|".join(("%", *HINTS)), re.IGNORECASE)
_SURE = re.compile(
    r"(?:x|xi|dd|h)?(?:(?!clienttoken)(?:o?auth|api|access|app|application|admin|bearer|circle|client|consumer|deploy|"
    r"functions?|gh|github|gitlab|id|ingest|job|license|master|personal|private|read|refresh|secret|security|session|slack|"
    r"subscription|user|write)"
    r"(?:key|token|secret)+s?)+(?:auth)?\Z"
)
_SURE_ALONE = re.compile(r"(?:token|secret|bearer|jwt|auth|(?:proxy)?authorization|clientassertion|xplextoken)\Z")
_PASSWORD = re.compile(r"(?:user|client)?(?:password|passwd|pwd|passphrase|passcode)\Z")
_LIKELY = re.compile(
    r"(?:tokens?|secrets?|keys?|jwts?|auth|authorization|authentication|assertion|credentials?|creds?|pat|session|sessionid|"
    r"sid|kratos|appid)\Z"
)
_SIGNATURE = re.compile(r"(?:sig|sign|signature|hmac)\Z")
_PHRASE = re.compile(r"(?:pass|passwords?|passwd|pwd|passphrase|passcode|pin|t?otp)\Z")
# A word such as `acmetoken`: which service is meant is in it.
_GLUED = re.compile(r"[a-z]+(?:token|apikey|secret|passw(?:or)?d)\Z")
_PAIRED = re.compile(r"(?:(?:access|api)keyid|oidcdata|sessionid)\Z")
# Before `key` or `token` these say that it is none that authenticates.
_NO_KEY = re.compile(
    r"(?:authenticity|bos|cache|cached|completion|continuation|continue|cursor|dedup|deduplication|eos|foreign|"
    r"grouping|idempotency|input|kms|lock|mask|max|min|next|object|output|pad|page|pagination|partition|prev|previous|"
    r"primary|prompt|public|reasoning|resume|routing|row|scroll|sort|start|starting|stop|surrogate|sync|total|unk|"
    r"watch|socket)+(?:key|token)?\Z"
)
# What a route's own authentication may be called, and nobody's key is.
_HARMLESS = re.compile(
    r"[v^~<>=*\s]*\d{0,5}(?:\.[\dx*]+)*(?:-[a-z]+[.\d]*)?|none|null|auto|true|false|yes|no|required|optional|basic|bearer|"
    r"oauth2?|oidc|token|string|password|default",
    re.IGNORECASE,
)
_SCHEME = re.compile(
    r"(?:apikey|api-key|aws4-hmac-sha256|basic|bearer|bot|digest|dpop|genie\w*|key|negotiate|sso-key|ssws|token)[\s=]+"
    r"(?=\S)",
    re.IGNORECASE,
)
# Headers that authenticate though their last word does not say so.
_HEADER = re.compile(
    r"(?:cookie2|dpop|(?:x[-_])?wsse|cf-access-client-id|cb-access-.*|x-auth[-_](?:code|user)|x-jfrog-art-api)\Z",
    re.IGNORECASE,
)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\d*\Z", re.IGNORECASE)
_CODE = re.compile(r"[\s<>{}()\[\]|*\\]|^[$%]|://|^[au]rn:")
_LONGEST = 1024


class Kind(Enum):
    """What a name says: nothing, or how sure it is that what it names authenticates."""

    NONE = 0
    BARE = 1  # `key`, `code`: only at the top, and only what looks like a key
    SIGNATURE = 2
    LIKELY = 3
    SESSION = 4  # as LIKELY, but a UUID there is the name of a conversation
    PHRASE = 5  # words that somebody chose
    COOKIE = 6
    SURE = 7
    PASSWORD = 8


@lru_cache(4096)
def kind(name: str) -> Kind:
    """What a header's, parameter's or field's name says, however it is written: `X-Api-Key2`, `apiKeys`, `api.key`."""
    if not _HINT.search(name):
        return Kind.NONE
    words = [word.lower() for word in _WORD.findall(unquote(unquote(name[-128:])))]
    while words and (words[-1].isdigit() or words[-1] == "v"):
        words.pop()
    if not words:
        return Kind.NONE
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    tails = ["".join(words[-n:]) for n in (1, 2, 3) if n <= len(words)]
    whole = "".join(words)
    if re.search(r"[cx]srf|mcpsession|\Akeys\Z", whole) or _none(last, before):
        return Kind.NONE
    if last in ("cookie", "cookies"):
        return Kind.COOKIE
    if any(_SURE.match(tail) for tail in tails) or _SURE_ALONE.match(whole.removeprefix("x")):
        return Kind.SURE
    # `admin_password` may name anybody's.
    if _PASSWORD.match(whole.removeprefix("x")):
        return Kind.PASSWORD
    if whole.removeprefix("x") in ("key", "code"):
        return Kind.BARE
    if _SIGNATURE.match(last):
        return Kind.SIGNATURE
    if _PHRASE.match(last):
        return Kind.PHRASE
    if last.startswith("session") or any(tail.endswith("sessionid") for tail in tails):
        return Kind.SESSION if last in ("session", "sessionid", "id") else Kind.NONE
    if _LIKELY.match(last) or _GLUED.match(last) or any(_PAIRED.match(tail) for tail in tails):
        return Kind.LIKELY
    return Kind.NONE


def _none(last: str, before: str) -> bool:
    noun = last.removesuffix("s")
    return noun.endswith(("key", "token")) and bool(_NO_KEY.match(before if noun in ("key", "token") else noun))


def opaque(value: str) -> bool:
    """Whether a value looks drawn by lot, and so like a key: no word, number, version, path, template or code."""
    text = _SCHEME.sub("", value.strip()[:_LONGEST], count=1)
    if value.lstrip().startswith("-----BEGIN") and "PRIVATE" in value[:80]:
        return True
    if len(text) < 10 or _CODE.search(text) or _UUID.match(text):
        return False
    pieces = re.findall(r"[A-Za-z0-9]+", text)
    longest = max(pieces, key=len, default="")
    if len(longest) >= 10 and not longest.isdigit() and strong(longest) and not _spelled(longest):
        return True
    if len(longest) >= 16 and (longest.islower() or longest.isupper()) and longest.isalpha():
        return not wordlike(longest.lower()) and not placeholder(longest)
    return len(text) >= 20 and "/" not in text and mixed("".join(pieces)) and not _spelled(text)


def _spelled(text: str) -> bool:
    """Whether it is made of words, known ones or such as could be, and not of a random change of letters and digits."""
    parts = _WORD.findall(text)
    words = (part for part in parts if len(part) > 2 and part.isalpha() and wordlike(part.lower()))
    often = 5 if any(part.isdigit() for part in parts) else 3
    return len(parts) * often < len(text) or sum(map(len, words)) * 5 >= len(text) * 3 or bool(weak(text))


def schemed(value: str) -> bool:
    """Whether a value is a key with its scheme: `Bearer ...`."""
    return bool(_SCHEME.match(value)) and opaque(value)


def ours(value: str) -> bool:
    """Whether it is what the agent has in place of its own credential."""
    return bool(_OURS.match(value.strip()))


def authenticates(name: str, value: str, level: int = TOP) -> bool:
    """Whether a field can authenticate: the surer its name and the nearer the top, the less is asked of its value."""
    what = kind(name)
    if what is Kind.NONE or not value or ours(value):
        return False
    if what is Kind.SURE and level < DEEP:
        return level == TOP or not _HARMLESS.fullmatch(value.strip())
    if what is Kind.PASSWORD and level < DEEP:
        return True
    if what is Kind.COOKIE:
        return any(opaque(piece) for piece in re.split(r"[;=,\s]+", value[:_LONGEST]))
    if what in (Kind.PHRASE, Kind.PASSWORD):
        return _phrase(value)
    if (what is Kind.BARE and level > TOP) or (what is Kind.SIGNATURE and level == DEEP):
        return False
    if _UUID.match(value):
        return what is Kind.SURE or (what is Kind.LIKELY and not re.search(r"(?i)key|client|request|id\Z", name))
    return opaque(value)


def _phrase(value: str) -> bool:
    text = _SCHEME.sub("", value.strip()[:_LONGEST], count=1)
    return bool(re.fullmatch(r"\d{4,10}", text)) or not (_CODE.search(text) or weak(text) or placeholder(text))


def carries_header(name: str, value: str) -> bool:
    """Whether a header authenticates: by its name, or since its value is a key with its scheme."""
    what = kind(name)
    if what is Kind.SESSION:
        return authenticates(name, value)
    return what is not Kind.NONE or bool(_HEADER.match(name)) or schemed(value)
