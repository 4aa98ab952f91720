"""Values drawn by lot that stand next to a name which means a secret: `DB_PASSWORD=`, `"api_key": "`, `Bearer `."""

from __future__ import annotations

import re

from sidecar_bundle.dlp.drawn import digits16, entropy, placeholder, scrambled, written64

_KEYS = (
    "api|app|application|access|admin|auth|account|encryption|signing|master|service|secret|private|storage|license|"
    "client|query|insert|ingest|subscription|functions|webhook|integration|deploy|user|developer|consumer|"
    "server|hmac|cipher|crypt|aes|jwt|cookie|session|stripe|openai|anthropic|gemini|sendgrid|shared_?access"
)
_WHOSE = "auth|access|api|account|app|bot|bearer|service|client|consumer|webhook|signing|jwt|session|oauth2?"
_NAME = (
    rf"(?:passw(?:or)?d|[a-z0-9;][_-]?pwd|passphrase|(?:(?:{_WHOSE})[_. -]?)?(?:secret|token)|(?:{_KEYS})[_. -]?key"
    r"|_pass|_auth|[\"']auth)(?:[_-]?(?:base|value|prod|live|raw|[0-9]))?"
)
_BETWEEN = (
    r"[\\\"'\])]{0,5}(?:[ ]?:[ ]?[a-z.]{3,10}[ ])?[ ]{0,6}(?:[:=]=?>?|>)[ ]{0,6}[\\\"'`]{0,4}(?:base64:|bearer[ ])?"
)
_LEAD = "(?:[?&][a-z0-9_.%-]{0,30})?"  # of a parameter in a URL or a form
# In the dialect of hyperscan and of `re`: name, what stands between, and a value.
PATTERN = rf"(?i){_LEAD}{_NAME}{_BETWEEN}[A-Za-z0-9+/_~.!@#$%^&*(=?-]" r"{12,220}"
_HEADER = r"(?i)authorization[\\\"']{0,4}[ ]?[:=,][ ]?[\\\"']{0,4}"
BEARER = _HEADER + r"(?:bearer|token|apikey|key)[ ]{1,2}[A-Za-z0-9+/_~.=-]{20,400}"
BASIC = _HEADER + r"basic[ ]{1,2}[A-Za-z0-9+/]{16,200}={0,2}"
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# Services whose keys are UUIDs.
NUMBERED = (
    "(?i)(?:heroku|postmark|snyk|codecov|_auth|launchdarkly|hubspot|scaleway|scw|railway|plaid)[a-z_-]{0,20}"
    rf"(?:key|token|secret)[\\\"']{{0,4}}[ ]?[:=]{{1,2}}[ ]?[\\\"']{{0,4}}{UUID}"
)
# Before the name: what makes a token or a key of it that is none.
NO_SECRET = re.compile(
    rb"(?:page|next|continu\w{0,6}|csrf|xsrf|sync|resume|cancel\w{0,6}|change|cursor|eos|bos|pad|sep|cls|mask|unk|special"
    rb"|stop|end|start|design|lock|fenc\w{0,3}|public|publishable|push|request|upload|idempotency|hash|digest|sha\d*|etag"
    rb"|checksum|integrity|refresh|subject|actor|verification|authenticity|site|pagination|scroll|cache|class)[ _.-]?$",
    re.IGNORECASE,
)
_SPLIT = re.compile(rf"(?i)({_LEAD})({_NAME}){_BETWEEN}(.*)", re.DOTALL)
# Names under which hexadecimal digits may be the hash of something, or the vector of a test.
_HASHED = re.compile(r"_?(?:(?:secret|token)\Z|private|cipher|crypt|aes|hmac|pass|.?.?pwd)")
# What is not the secret itself: ciphertext, a hash, a key that is meant to be public, a JWT (which has its own shape).
_OTHER = re.compile(
    r"\$|pbkdf2|sha\d|scrypt|argon2|AQICAH|gAAAAA|Ag[A-D].{60}|ph[cx]_|p[ku][_.b]|client-|public|e[wy][A-Za-z0-9]+\."
)
_CODE = re.compile(r"[({$]|::|%[sd(]|\w\.\w+\.\w|^[#@.%*&=]|=[^=]|^[a-z]+_[a-z]+_[a-z_]+$")


def assigned(text: str) -> bool:
    """Whether what stands after the name was drawn by lot."""
    found = _SPLIT.match(text)
    if not found:
        return False
    lead, name, value = found[1], found[2].lower(), found[3]
    if lead and name.endswith(("token", "auth")):  # a URL that fetches one thing, a step of OAuth
        return False
    if inner := _SPLIT.search(value):
        return assigned(inner[0])
    if name.endswith("auth"):
        return _login(value)
    quoted = text[: found.start(3)].endswith(("'", '"', "`"))
    if not quoted:
        value = re.split(r"[&?]|[.,;:!]+$", value)[0]
    if _OTHER.match(value) or (_CODE.search(value) and not (quoted and scrambled(value, 40))):
        return False
    if (said := written64(value)) is not None:
        return scrambled(said, 12)
    if re.fullmatch("[0-9a-fA-F]{30,}", value):
        return not _HASHED.match(name) and digits16(value)
    return scrambled(value, 14 if "pass" in name or "pwd" in name else 20)


def bearer(text: str) -> bool:
    """Whether a header that stands in a text carries a token drawn by lot."""
    value = text.split(" ")[-1].rstrip("=")
    return digits16(value) or scrambled(value, 20)


def basic(text: str) -> bool:
    """The same for a user and a password in base64."""
    return _login(text.split(" ")[-1])


def last_word(text: str) -> bool:
    """Whether the last word of a line was drawn by lot."""
    word = re.split(r"[\s:=\"']", text)[-1]
    return digits16(word) or scrambled(word, 12)


def numbered(text: str) -> bool:
    """A UUID that is none of a manual."""
    return not placeholder(text[-36:]) and entropy(text[-36:]) > 2.9


def _login(value: str) -> bool:
    text = written64(value)
    return text is not None and not placeholder(value) and scrambled(text.partition(":")[2], 10)
