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
