"""The shapes of well-known tokens and keys, each with the check that a real one passes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from sidecar_bundle.dlp import validators as v
from sidecar_bundle.dlp.forms import cores64
from sidecar_bundle.dlp.literals import Ends, Literals, Patterns
from sidecar_bundle.shared import weak

MOST = 5000  # candidates of one shape in one text that are checked; one more is taken for real
_BEFORE = 48
_LONGEST = 400  # bytes that a match of one of _SLOW can have
_SLOW = {
    *("aws-secret-key", "stripe-key", "azure-client-secret", "mailgun-key-new", "mailchimp-key", "telegram-token"),
    *("terraform-token", "url-password", "password", "vercel-token-old", "cloudflare-token", "datadog-key"),
}


@dataclass(frozen=True, slots=True)
class Shape:
    rule: str
    pattern: str  # in the dialect that hyperscan and `re` share; bytes as latin-1
    check: Callable[[str], bool] = v.drawn
    alone: bool = False  # neither a letter nor a digit, `_` or `-` may stand before it, nor a letter or digit after


_B = "[A-Za-z0-9]"
_U = "[A-Za-z0-9_-]"
SHAPES = (
    Shape("aws-access-key", "(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}", v.whole, alone=True),
    Shape("aws-secret-key", r"(?i)secret_?(?:access_?)?key['\"]?(?:\s|=|:|\\|'|\"|%3d){1,6}[A-Za-z0-9/+]{40}", v.drawn),
    Shape("github-token", f"gh[pousr]_{_B}{{36}}", v.checksummed),
    Shape("github-pat", f"github_pat_{_B}{{22}}_{_B}{{59}}"),
    Shape("gitlab-token", f"gl(?:pat|dt|rt|cbt|ptt|soat|ft|imt|agent|oas|ffct)-{_U}{{20}}", v.whole),
    Shape("slack-token", f"xox[abeoprs]-(?:[0-9]-)?[0-9A-Za-z]{{8,}}-[0-9A-Za-z-]{{12,}}{_B}", v.drawn),
    Shape("slack-app-token", "xapp-[0-9]-[A-Z0-9]{6,}-[0-9]{6,}-[a-f0-9]{32}"),
    Shape("slack-webhook", r"hooks\.slack\.com/services/T[A-Z0-9]{8,11}/B[A-Z0-9]{8,11}/[A-Za-z0-9]{24}", v.whole),
    Shape("stripe-key", f"(?:sk|rk)_live_{_B}{{24}}"),
    Shape("stripe-webhook-secret", f"whsec_{_B}{{32}}"),
    Shape("google-api-key", f"AIza{_U}{{35}}", v.whole, alone=True),
    Shape("google-oauth-token", r"ya29\.[A-Za-z0-9_.-]{30,}", v.whole, alone=True),
    Shape("google-client-secret", f"GOCSPX-{_U}{{28}}", v.whole),
    Shape("google-refresh-token", f"1//0{_U}{{40}}", v.whole),
    Shape("anthropic-key", f"sk-ant-(?:api|admin|sid|oat|ort)[0-9]{{2}}-{_U}{{32}}", v.drawn),
    Shape("openai-key", f"sk-(?:proj|svcacct|admin|None)-{_U}{{40}}"),
    Shape("openai-key-old", f"sk-{_B}{{48}}", alone=True),
    Shape("openai-like-key", "sk-(?:or-v1-)?(?:[0-9a-f]{64}|[0-9a-f]{32})", alone=True),
    Shape("azure-storage-key", "AccountKey=[A-Za-z0-9+/]{86}==", v.storage),
    Shape("azure-client-secret", r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31}", v.mixed, alone=True),
    Shape("npm-token", f"npm_{_B}{{36}}", v.checksummed),
    Shape("pypi-token", f"pypi-AgE{_U}{{50}}", v.drawn),
    Shape("docker-token", f"dckr_(?:pat|oat)_{_U}{{27}}", v.whole),
    Shape("huggingface-token", f"hf_{_B}{{34}}", v.drawn, alone=True),
    Shape("twilio-key", "SK[0-9a-f]{32}", v.whole, alone=True),
    Shape("sendgrid-key", rf"SG\.{_U}{{22}}\.{_U}{{43}}", v.whole),
    Shape("mailgun-key", "key-[0-9a-f]{32}", v.whole, alone=True),
    Shape("mailgun-key-new", "[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}", v.whole, alone=True),
    Shape("mailchimp-key", "[0-9a-f]{32}-us[0-9]{1,2}", v.whole, alone=True),
    Shape("discord-token", rf"[MNO]{_U}{{23,27}}\.{_U}{{6}}\.{_U}{{27,38}}", v.discord),
    Shape("discord-webhook", rf"discord(?:app)?\.com/api/webhooks/[0-9]{{17,20}}/{_U}{{60}}", v.whole),
    Shape("telegram-token", f"[0-9]{{8,10}}:AA{_U}{{33}}", v.whole),
    Shape("digitalocean-token", "do[opr]_v1_[0-9a-f]{64}"),
    Shape("linear-key", f"lin_(?:api|oauth)_{_B}{{32}}"),
    Shape("notion-token", f"(?:secret_{_B}{{43}}|ntn_{_B}{{40,}})", alone=True),
    Shape("shopify-token", "shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    Shape("square-token", f"(?:sq0(?:atp-{_U}{{22}}|csp-{_U}{{43}})|EAAA{_U}{{60}})", v.mixed, alone=True),
    Shape("databricks-token", "dapi[0-9a-f]{32}", v.whole, alone=True),
    Shape("vault-token", rf"hv[sbr]\.{_U}{{24,}}", v.whole, alone=True),
    Shape("terraform-token", rf"{_B}{{14}}\.atlasv1\.{_U}{{60}}", v.whole),
    Shape("fly-token", f"(?:fm[12]_[A-Za-z0-9+/]{{60}}|fo1_{_U}{{43}})", v.whole),
    Shape("supabase-key", f"(?:sbp_[0-9a-f]{{40}}|sb_secret_{_U}{{31}})"),
    Shape("vercel-token", f"vc[pikar]_{_B}{{24}}", v.mixed, alone=True),
    Shape("vercel-token-old", rf"(?i)vercel[a-z_ .-]{{0,20}}['\"]?[\s:=]{{1,3}}['\"]?{_B}{{24}}", v.drawn, alone=True),
    Shape("cloudflare-token", rf"(?i)cloudflare[a-z_ .-]{{0,24}}['\"]?[\s:=]{{1,3}}['\"]?{_U}{{40}}", v.drawn),
    Shape("cloudflare-key", "(?:v1\\.0-[0-9a-f]{24}-[0-9a-f]{146}|cf(?:ut|k|at)_[A-Za-z0-9]{40})"),
    Shape("grafana-token", f"(?:glc_[A-Za-z0-9+/]{{32}}|glsa_{_B}{{32}}_[0-9a-fA-F]{{8}}|eyJrIjoi[A-Za-z0-9+/]{{60}})"),
    Shape("newrelic-key", "NR(?:AK|II|JS|IQ|RA|AA)-[A-Za-z0-9_-]{27}", v.whole),
    Shape("datadog-key", r"(?i)(?:datadog|dd)[_-]?(?:api|app|application)[_-]?key['\"]?[\s:=]{1,3}['\"]?[0-9a-f]{32}"),
    Shape("sentry-token", "(?:sntr[yu]s_[A-Za-z0-9+/=_]{60}|sntryu_[0-9a-f]{64})"),
    Shape("postman-key", "PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    Shape("atlassian-token", f"AT(?:ATT3|CTT3|BB){_U}{{32,}}", v.mixed, alone=True),
    Shape("figma-token", f"fig[dorh]_{_U}{{40}}", v.mixed),
    Shape("airtable-token", rf"pat{_B}{{14}}\.[0-9a-f]{{64}}"),
    Shape("doppler-token", rf"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{{2,35}}\.)?{_B}{{40}}"),
    Shape("heroku-key", f"HRKU-(?:[0-9a-f]{{8}}-|{_U}{{20}})", v.whole),
    Shape("pulumi-token", "pul-[0-9a-f]{40}", alone=True),
    Shape("rubygems-key", "rubygems_[0-9a-f]{48}"),
    Shape("crates-token", f"cio{_B}{{32}}", v.mixed, alone=True),
    Shape("nuget-key", "oy2[a-z0-9]{43}", alone=True),
    Shape("groq-key", f"gsk_{_B}{{48}}"),
    Shape("xai-key", f"xai-{_B}{{64}}"),
    Shape("perplexity-key", f"pplx-{_B}{{40}}"),
    Shape("replicate-token", f"r8_{_B}{{37}}", v.mixed, alone=True),
    Shape("planetscale-token", f"pscale_(?:tkn|pw|oauth)_{_U}{{32}}"),
    Shape("tailscale-key", f"tskey-[a-z]{{3,10}}-{_B}{{8,}}-{_B}{{20}}"),
    Shape("onepassword-token", "ops_eyJ[A-Za-z0-9+/]{100}", v.whole),
    Shape("dropbox-token", rf"sl\.(?:u\.)?{_U}{{120,}}", v.mixed, alone=True),
    Shape("firebase-key", f"AAAA{_U}{{7}}:APA91b{_U}{{120}}", v.mixed),
    Shape("age-key", "AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    Shape("private-key", r"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----", v.pem),
    Shape("putty-key", r"PuTTY-User-Key-File-[23]: [a-z0-9-]{3,40}", bool),
    Shape(
        "jwt",
        rf"ey[JI]{_U}{{12,}}\.(?:ey[JI]{_U}{{8,}}\.{_U}{{20,}}|{_U}{{0,600}}\.{_U}{{16,}}\.{_U}{{16,}}\.{_U}{{20,}})",
        v.jwt,
    ),
    Shape(
        "url-password", r"[a-z][a-z0-9+.-]{2,12}://[^\s:/@\"'<>?#]{0,64}:[^\s@/\"'<>?#]{8,64}@[A-Za-z0-9\[]", v.userinfo
    ),
    Shape(
        "password",
        r"(?i)(?:password|passwd|client_?secret|secret_?key|api_?secret|auth_?secret|private_?token)"
        r"['\"]?[ ]?[:=]{1,2}[ ]?['\"]?"
        r"[A-Za-z0-9+/_~!^*-]{20,100}",
        lambda text: _assigned(text),
    ),
)
_COUNT = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_TAIL = {"private-key": 600}  # further bytes that a check sees
_ALONE = re.compile(rb"[A-Za-z0-9_-]")
_PRESIGNED = re.compile(
    rb"(?:X-Amz-Credential|AWSAccessKeyId|GoogleAccessId|Credential)[\"']?(?:=|%3D|:)\s?[\"']?$", re.IGNORECASE
)
_OAUTH = re.compile(
    rb"(?:assertion|subject_token|id_token(?:_hint)?|state|nonce|code|code_challenge|request|jwt)[\"']?(?:=|%3D|:)\s?[\"']?$",
    re.IGNORECASE,
)
# Where a shape is part of a protocol: an identifier in a signed URL, an assertion that is meant to be sent.
_EXPECTED = {"aws-access-key": _PRESIGNED, "jwt": _OAUTH}
# Beginnings that are looked for in base64 and in hex as well, so that only what matters is decoded.
_STARTS = (
    *(
        b"ghp_",
        b"gho_",
        b"ghu_",
        b"ghs_",
        b"ghr_",
        b"github_pat_",
        b"glpat-",
        b"xoxb-",
        b"xoxp-",
        b"xapp-",
        b"sk_live_",
        b"rk_live_",
    ),
    *(
        b"AIza",
        b"ya29.",
        b"GOCSPX-",
        b"sk-ant-",
        b"sk-proj-",
        b"sk-svcacct-",
        b"AKIA",
        b"ASIA",
        b"npm_",
        b"pypi-AgE",
        b"dckr_",
    ),
    *(
        b"AccountKey=",
        b"hf_",
        b"SG.",
        b"dop_v1_",
        b"lin_api_",
        b"secret_",
        b"ntn_",
        b"shpat_",
        b"dapi",
        b"hvs.",
        b".atlasv1.",
    ),
    *(
        b"sbp_",
        b"glsa_",
        b"glc_",
        b"NRAK-",
        b"AGE-SECRET-KEY-",
        b"PRIVATE KEY",
        b"hooks.slack.com/",
        b"rubygems_",
        b"gsk_",
    ),
    *(
        b"aws_secret_access_key",
        b"client_secret",
        b"password",
        b"token:",
        b"eyJhbGciOi",
        b"PuTTY-User",
        b"figd_",
        b"PMAK-",
        b"sntr",
    ),
)


@cache
def patterns() -> Patterns:
    """All shapes in one database, made once for a process; it finds some more than the shapes, but no fewer."""
    return Patterns([_COUNT.sub(_loosened, shape.pattern).encode("latin-1") for shape in SHAPES])


def _loosened(count: re.Match[str]) -> str:
    """Long exact counts make a large automaton; `confirmed` counts again."""
    most = int(count[2] or count[1])
    return f"{{{min(int(count[1]), 8)},}}" if most > 8 else count[0]


@cache
def _compiled(index: int) -> re.Pattern[bytes]:
    return re.compile(SHAPES[index].pattern.encode("latin-1"))


@cache
def starts() -> Literals:
    """Beginnings of tokens in base64 and in hexadecimal: where one is, decoding can matter."""
    found = {core for start in _STARTS for core in cores64(start) if len(core) >= 4}
    found |= {digits for start in _STARTS for digits in (start.hex().encode(), start.hex().upper().encode())}
    return Literals(sorted(found))


@cache
def _ends(index: int) -> Ends:
    return Ends(SHAPES[index].pattern.encode("latin-1"))


def _matches(index: int, text: bytes) -> Iterator[tuple[int, int]]:
    """Spans of what the expression matches: by `re`, but only near where hyperscan saw an end if `re` is slow."""
    expression = _compiled(index)
    ends = _ends(index).ends(text, MOST * 20) if SHAPES[index].rule in _SLOW else None
    if ends is None:
        yield from (match.span() for match in expression.finditer(text))
        return
    done = 0
    for end in ends:
        start = max(done, end - _LONGEST)
        while end > done and (match := expression.search(text, start, end + _LONGEST)):
            yield match.span()
            done = start = match.end()
            if match.start() >= end:
                break


def confirmed(index: int, text: bytes) -> Iterator[tuple[int, int]]:
    """Spans of real tokens of one shape in a text where hyperscan saw that shape."""
    shape = SHAPES[index]
    expected = _EXPECTED.get(shape.rule)
    for count, (start, end) in enumerate(_matches(index, text)):
        if count >= MOST:
            yield start, end
            return
        joined = _ALONE.match(text[start - 1 : start]) and text[start - 2 : start] not in (b"\\n", b"\\r", b"\\t")
        if shape.alone and (joined or text[end : end + 1].isalnum()):
            continue
        if expected and expected.search(text[max(0, start - _BEFORE) : start]):
            continue
        if shape.check(text[start : end + _TAIL.get(shape.rule, 0)].decode("latin-1")):
            yield start, end


def _assigned(text: str) -> bool:
    value = re.split(r"[:= '\"]", text)[-1]
    words = [part for part in re.split(r"[^A-Za-z0-9]", value) if part]
    if not v.mixed(value) or v.entropy(value) <= 3.9 or len(words) >= 4 or "insecure" in value:
        return False
    # The name of a function or a class: `getPasswordFromKeychainV2`.
    parts = re.findall(r"[A-Z]?[a-z]{3,}", value)
    spelled = len(parts) >= 3 and sum(map(len, parts)) * 10 > len(value) * 8
    return not spelled and sum(part.lower() in weak.words() for part in parts) < 3
