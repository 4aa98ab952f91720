"""Leaks of tokens of well-known providers: each shape, plain and simply encoded, in several places."""

from __future__ import annotations

import base64
import json
import zlib
from urllib.parse import quote

from tests.corpus.kit import ALNUM, Draw, Request, as_json, get

_B62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _summed(draw: Draw, prefix: str) -> str:
    body, value, digits = draw.alnum(30), 0, ""
    value = zlib.crc32(body.encode())
    while value:
        value, digit = divmod(value, 62)
        digits = _B62[digit] + digits
    return prefix + "_" + body + digits.rjust(6, "0")


def _jwt(draw: Draw) -> str:
    parts = (
        {"alg": "RS256", "kid": draw.hex(8)},
        {"iss": "https://login.internal", "sub": draw.hex(12), "exp": 1900000000},
    )
    text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return text + "." + draw.web(86)


def _pem(draw: Draw, kind: str) -> str:
    lines = "\n".join(draw.text(ALNUM + "+/", 64) for _ in range(8))
    return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----"


def _prefixed(d: Draw) -> dict[str, str]:
    """Those that their beginning tells."""
    up = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return {
        "aws session": "IQo" + "Jb3JpZ2luX2VjE" + d.alnum(200),
        "bedrock": "ABS" + "KQmVkcm9ja0FQSUtleS" + d.alnum(90),
        "alibaba": "LT" + "AI5t" + d.alnum(18),
        "hubspot": "pat" + "-na1-" + d.uuid(),
        "brevo": "xkey" + "sib-" + d.hex(64) + "-" + d.alnum(16),
        "resend": "r" + "e_" + d.alnum(8) + "_" + d.alnum(24),
        "netlify": "nf" + "p_" + d.alnum(36),
        "circleci": "CCI" + "PAT_" + d.alnum(22) + "_" + d.hex(40),
        "buildkite": "bk" + "ua_" + d.hex(40),
        "sonar": "sq" + "p_" + d.hex(40),
        "sourcegraph": "sg" + "p_" + d.hex(16) + "_" + d.hex(40),
        "dynatrace": "dt0" + "c01." + d.text(up, 24) + "." + d.text(up, 64),
        "contentful": "CF" + "PAT-" + d.web(43),
        "typeform": "tf" + "p_" + d.web(59),
        "artifactory": "AK" + "Cp8" + d.alnum(68),
        "shippo": "shippo" + "_live_" + d.hex(40),
        "easypost": "EZ" + "AK" + d.alnum(54),
        "flutterwave": "FLW" + "SECK-" + d.hex(32) + "-X",
        "stripe test": "sk" + "_test_51" + d.alnum(97),
        "slack refresh": "xox" + "e-1-" + d.alnum(146),
        "slack rotated": "xox" + "e.xox" + "p-1-" + d.alnum(166),
        "slack workflow": "https://hooks.slack."
        + "com/workflows/T"
        + d.text(up, 10)
        + "/A"
        + d.text(up, 10)
        + "/"
        + d.text("123456789", 18)
        + "/"
        + d.alnum(24),
        "vercel new": "vc" + "p_" + d.alnum(56),
        "vault batch": "hv" + "b.AAAAAQ" + d.web(140),
        "svix": "whs" + "ec_" + base64.b64encode(d.rng.randbytes(24)).decode(),
        "gitlab runner": "GR" + "1348941" + d.web(20),
        "elevenlabs": "s" + "k_" + d.hex(48),
        "nvidia": "nv" + "api-" + d.web(64),
        "langsmith": "lsv" + "2_pt_" + d.hex(32) + "_" + d.hex(10),
        "pinecone": "pc" + "sk_" + d.alnum(6) + "_" + d.alnum(60),
        "tavily": "tv" + "ly-" + d.alnum(32),
        "cerebras": "cs" + "k-" + d.text("abcdefghijklmnopqrstuvwxyz0123456789", 48),
        "mapbox": "s" + "k.eyJ1IjoiYWNtZSIsImEiOiJj" + d.alnum(34) + "." + d.web(22),
        "teams hook": "https://acme.webhook.office"
        + f".com/webhookb2/{d.uuid()}@{d.uuid()}/IncomingWebhook/{d.hex(32)}/x",
    }


def _named(d: Draw) -> dict[str, str]:
    """Those that only the name beside them tells."""
    key32 = base64.b64encode(d.rng.randbytes(32)).decode()
    login = base64.b64encode(f"bot:{d.alnum(18)}".encode()).decode()
    return {
        "azure signed url": "https://stor7.blob.core.windows.net/c/b?sv=2022-11-02&sp=rw&sig=" + quote(key32, safe=""),
        "azure service bus": "Endpoint=sb://n7.servicebus.windows.net/;Shared" + "AccessKey=" + key32,
        "azure storage env": "AZURE_STORAGE" + "_KEY=" + base64.b64encode(d.rng.randbytes(64)).decode(),
        "heroku": "HEROKU_API" + "_KEY=" + d.uuid(),
        "twilio secret": "TWILIO_AUTH" + "_TOKEN=" + d.hex(32),
        "docker login": json.dumps({"auths": {"https://index.docker.io/v1/": {"auth": login}}}),
        "npmrc": "_auth" + "=" + login,
        "netrc": "machine api.acme.io login bot pass" + "word " + d.alnum(24),
        "wireguard": "[Interface]\nPrivate" + "Key = " + key32,
        "jwk": json.dumps({"kty": "EC", "crv": "P-256", "d": d.web(43)}),
        "bearer": "curl -H 'Author" + f"ization: Bearer {d.alnum(40)}' https://api.acme.io",
        "basic": "> Author" + "ization: Basic " + login,
        "some key": "ACME_API" + "_KEY=" + d.alnum(40),
        "flask": "app.config['SECRET" + f"_KEY'] = '{d.hex(48)}'",
        "jdbc": "jdbc:postgresql://db:5432/m?user=app&pass" + "word=" + d.alnum(24),
        "mongo": "mongodb+srv://bot:" + d.alnum(18) + "@cl0.ab1cd.mongodb.net/",
        "short password": "DB_PASS" + "WORD=" + d.alnum(16),
    }


def tokens() -> dict[str, str]:
    d = Draw()
    found = {f"github {kind}": _summed(d, "gh" + kind) for kind in "pousr"}
    found |= {
        "github pat": "github" + "_pat_" + d.alnum(22) + "_" + d.alnum(59),
        "aws id": "AK" + "IA" + d.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
        "aws secret": "aws_secret_access_key = " + d.alnum(40),
        "gitlab": "gl" + "pat-" + d.web(20),
        "slack bot": "xo" + "xb-" + d.text("0123456789", 12) + "-" + d.text("0123456789", 12) + "-" + d.alnum(24),
        "slack hook": "https://hooks.slack."
        + "com/services/T"
        + d.text("ABCDEFG123", 8)
        + "/B"
        + d.text("ABCDE123", 8)
        + "/"
        + d.alnum(24),
        "stripe": "sk" + "_live_" + d.alnum(24),
        "google key": "AI" + "za" + d.web(35),
        "google oauth": "ya" + "29." + d.web(60),
        "google secret": "GOC" + "SPX-" + d.web(28),
        "anthropic": "sk-" + "ant-api03-" + d.web(93) + "AA",
        "openai": "sk-" + "proj-" + d.web(120),
        "openai old": "sk-" + d.alnum(20) + "T3Blbk" + "FJ" + d.alnum(20),
        "azure storage": "AccountKey" + "=" + base64.b64encode(d.rng.randbytes(64)).decode(),
        "npm": _summed(d, "npm"),
        "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + d.web(140),
        "docker": "dckr" + "_pat_" + d.web(27),
        "hugging face": "hf" + "_" + d.alnum(34),
        "twilio": "S" + "K" + d.hex(32),
        "sendgrid": "S" + "G." + d.web(22) + "." + d.web(43),
        "mailgun": "ke" + "y-" + d.hex(32),
        "discord": base64.b64encode(b"274912345678901234").decode() + "." + d.web(6) + "." + d.web(38),
        "telegram": d.text("123456789", 10) + ":AA" + d.web(33),
        "digitalocean": "dop" + "_v1_" + d.hex(64),
        "linear": "lin" + "_api_" + d.alnum(40),
        "notion": "ntn" + "_" + d.alnum(46),
        "shopify": "shp" + "at_" + d.hex(32),
        "square": "sq0" + "atp-" + d.web(22),
        "databricks": "da" + "pi" + d.hex(32),
        "vault": "hv" + "s." + d.web(95),
        "terraform": d.alnum(14) + ".atlas" + "v1." + d.web(67),
        "fly": "fo" + "1_" + d.web(43),
        "supabase": "sb" + "p_" + d.hex(40),
        "vercel": "VERCEL_TOKEN=" + d.alnum(24),
        "cloudflare": "CLOUDFLARE_API_TOKEN=" + d.web(40),
        "grafana": "gl" + "sa_" + d.alnum(32) + "_" + d.hex(8),
        "new relic": "NR" + "AK-" + d.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 27),
        "datadog": "DD_API_KEY=" + d.hex(32),
        "jwt": _jwt(d),
        "age": "AGE-SECRET" + "-KEY-1" + d.text("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58),
        "url password": "https://deploy:" + d.alnum(20) + "@git.internal/a.git",
        "password": 'password: "' + d.alnum(28) + '"',
    }
    found |= _prefixed(d) | _named(d)
    found |= {kind: _pem(d, f"{kind}PRIVATE " + "KEY") for kind in ("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ")}
    return found


def leaks() -> list[Request]:
    found = []
    for name, token in tokens().items():
        header = (("content-type", "text/plain"),)
        found.append(as_json(f"{name}, json", {"messages": [{"role": "user", "content": f"see\n{token}\nthere"}]}))
        found.append(Request(f"{name}, text", "/t", header, f"a\n{token}\nb".encode()))
        found.append(get(f"{name}, query", f"/q?a=1&v={quote(token, safe='')}"))
        found.append(Request(f"{name}, base64", "/t", header, base64.b64encode(f"x: {token}".encode())))
        found.append(Request(f"{name}, hex", "/t", header, f"v {token.encode().hex()}".encode()))
        if "\n" not in token:
            found.append(get(f"{name}, header", "/", ("x-note", token)))
    return found
