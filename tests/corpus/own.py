"""Leaks of the bottle's own secrets: each kind of secret, in each form, in each place."""

from __future__ import annotations

import base64
import codecs
import gzip
import html
import json
import quopri
import zlib
from collections.abc import Callable, Iterator
from urllib.parse import quote

from tests.corpus.kit import Draw, Request, as_json, get

_DRAW = Draw()
OWN = {
    "EGRESS_TOKEN_0": "ghp" + "_" + _DRAW.alnum(36),
    "EGRESS_TOKEN_1": "sk-" + "ant-api03-" + _DRAW.web(95),
    "DATABASE_URL": "postgres://app:" + _DRAW.alnum(14) + "@db.internal:5432/production",
    "PASSWORD": "Tr0ub4dor&3-" + _DRAW.alnum(4) + "!",
    "PHRASE": "correct horse battery staple",
    "SHORT": _DRAW.alnum(10),
    "LICENCE": "-".join(_DRAW.text("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", 5) for _ in range(4)),
    "FOREIGN": "Schlüssel-Ω" + _DRAW.hex(2) + "-ключ9",
    "CYRILLIC": "пароль" + _DRAW.hex(2) + "Żółw42",
    "EMOJI": "tr🔑" + _DRAW.alnum(4) + "🐙vLm2",
    "PUNCTUATED": _DRAW.alnum(4) + "!" + _DRAW.alnum(3),
    "NUMBER": "7392048" + "155",
    "SERVICE_KEY": "-".join((_DRAW.hex(8), _DRAW.hex(4), _DRAW.hex(4), _DRAW.hex(4), _DRAW.hex(12))),
}


def _b64(data: bytes) -> bytes:
    return base64.b64encode(data)


def _percent(text: str) -> str:
    return "".join(f"%{b:02x}" for b in text.encode())


def _escaped(text: str, every: int = 1) -> str:
    return "".join(
        "".join(f"\\u{u:04x}" for u in memoryview(c.encode("utf-16-le")).cast("H"))
        if i % every == 0
        else json.dumps(c)[1:-1]
        for i, c in enumerate(text)
    )


FORMS: dict[str, Callable[[str], str]] = {
    "raw": lambda s: s,
    "upper case": str.upper,
    "lower case": str.lower,
    "swapped case": str.swapcase,
    "reversed": lambda s: s[::-1],
    "rot13": lambda s: codecs.encode(s, "rot13"),
    "spaced": " ".join,
    "dashed by fours": lambda s: "-".join(s[i : i + 4] for i in range(0, len(s), 4)),
    "separators dropped": lambda s: s.replace("-", "").replace("_", "").replace(" ", ""),
    "separators changed": lambda s: s.replace("-", ".").replace("_", " "),
    "zero width": "\u200b".join,
    "full width": lambda s: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in s),
    "lines": lambda s: "\n".join(s[i : i + 7] for i in range(0, len(s), 7)),
    "concatenated": lambda s: s[: len(s) // 2] + '" + "' + s[len(s) // 2 :],
    "url": lambda s: quote(s, safe=""),
    "url, every byte": lambda s: "".join(f"%{b:02X}" for b in s.encode()),
    "url, every third": lambda s: "".join(_percent(c) if i % 3 == 0 else quote(c, safe="") for i, c in enumerate(s)),
    "url twice": lambda s: quote("".join(_percent(c) if i % 2 == 0 else quote(c, safe="") for i, c in enumerate(s)), safe=""),  # noqa: E501
    "base64": lambda s: _b64(s.encode()).decode(),
    "base64, second alignment": lambda s: _b64(b"x" + s.encode() + b"yz").decode(),
    "base64, third alignment": lambda s: _b64(b"xy" + s.encode() + b"z").decode(),
    "base64 in a sentence": lambda s: _b64(b"the value is '" + s.encode() + b"' today").decode().rstrip("="),
    "base64url": lambda s: base64.urlsafe_b64encode(b">>?" + s.encode()).decode().rstrip("="),
    "base64 in lines": lambda s: "\n".join(t := _b64(s.encode()).decode())[:0] or "\r\n".join(t[i : i + 11] for i in range(0, len(t), 11)),  # noqa: E501
    "base64 of upper case": lambda s: _b64(s.upper().encode()).decode(),
    "base64 of reversed": lambda s: _b64(s[::-1].encode()).decode(),
    "base64 of base64": lambda s: _b64(_b64(s.encode())).decode(),
    "base64 three times": lambda s: _b64(_b64(_b64(s.encode()))).decode(),
    "base64 of hex": lambda s: _b64(s.encode().hex().encode()).decode(),
    "base64 of utf-16": lambda s: _b64(s.encode("utf-16-le")).decode(),
    "base64 reversed": lambda s: _b64(s.encode()).decode()[::-1],
    "base64 of gzip": lambda s: _b64(gzip.compress(b"see: " + s.encode() * 2, mtime=0)).decode(),
    "base64 of zlib": lambda s: _b64(zlib.compress(b"see: " + s.encode())).decode(),
    "base64 of json": lambda s: _b64(b'{"v":"' + _escaped(s, 2).encode() + b'"}').decode(),
    "base32": lambda s: base64.b32encode(s.encode()).decode(),
    "base32 lower, shifted": lambda s: base64.b32encode(b"abc" + s.encode()).decode().lower().rstrip("="),
    "hex": lambda s: s.encode().hex(),
    "hex upper": lambda s: s.encode().hex().upper(),
    "hex with colons": lambda s: s.encode().hex(":"),
    "hex with spaces": lambda s: s.encode().hex(" "),
    "hex escapes": lambda s: "".join(f"\\x{b:02x}" for b in s.encode()),
    "hex of base64": lambda s: _b64(s.encode()).hex(),
    "octal escapes": lambda s: "".join(f"\\{b:03o}" for b in s.encode()),
    "numbers": lambda s: ", ".join(str(b) for b in s.encode()),
    "bits": lambda s: " ".join(f"{b:08b}" for b in s.encode()),
    "unicode escapes": _escaped,
    "unicode escapes, every second": lambda s: _escaped(s, 2),
    "entities": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "entities, hexadecimal, every second": lambda s: "".join(f"&#x{ord(c):x};" if i % 2 else html.escape(c) for i, c in enumerate(s)),  # noqa: E501
    "quoted-printable": lambda s: "".join(f"={b:02X}" for b in s.encode()),
    "quoted-printable lines": lambda s: quopri.encodestring(("é" * 30 + s).encode()).decode(),
}  # fmt: skip


def _split(text: str, length: int) -> list[str]:
    return [text[i : i + length] for i in range(0, len(text), length)]


def _llm(text: str) -> Request:
    filler = [
        {"role": "user", "content": f"Please explain step {i} of the build, and why it is slow."} for i in range(300)
    ]
    use = {"type": "tool_use", "id": "toolu_01", "name": "bash", "input": {"command": f"echo {text} | tee out"}}
    return as_json("in a tool call", {"model": "m", "messages": [*filler, {"role": "assistant", "content": [use]}]})


def _places(text: str) -> Iterator[Request]:
    as_url = quote(text, safe="")
    yield get("path", f"/repos/{as_url}/issues")
    yield get("query", f"/search?page=2&q={as_url}&x=1")
    yield get("header", "/", ("x-request-tag", text.replace("\n", " ").replace("\r", "")))
    yield get("cookie", "/", ("cookie", f"a=1; session={as_url}"))
    yield as_json("json value", {"title": "a title", "body": f"before {text} after"})
    yield as_json("json key", {"a": {text: 1}})
    yield _llm(text)
    form = ("content-type", "application/x-www-form-urlencoded")
    yield Request("form", "/f", (form,), f"a=1&b={as_url}&c=2".encode())
    yield Request("text", "/t", (("content-type", "text/plain"),), f"notes:\n{text}\nend".encode())
    part = f'--b1\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\nx {text}\r\n--b1--\r\n'
    yield Request("multipart", "/u", (("content-type", "multipart/form-data; boundary=b1"),), part.encode())
    packed = gzip.compress(json.dumps({"log": text}).encode(), mtime=0)
    yield Request("gzip body", "/g", (("content-encoding", "gzip"), ("content-type", "application/json")), packed)
    yield Request("utf-16", "/t", (("content-type", "text/plain; charset=utf-16"),), f"notes {text}".encode("utf-16"))


def _splits(s: str) -> Iterator[Request]:
    for size in (1, 3, 5, 7):
        yield as_json(f"array of {size}", {"parts": _split(s, size)})
        yield as_json(f"adjacent keys of {size}", {f"k{i}": part for i, part in enumerate(_split(s, size))})
        yield as_json(f"objects of {size}", {"l": [{"type": "text", "text": part} for part in _split(s, size)]})
        fields = "&".join(f"p{i}={quote(part, safe='')}" for i, part in enumerate(_split(s, size)))
        yield get(f"query fields of {size}", f"/q?{fields}")
        yield Request(
            f"form fields of {size}", "/f", (("content-type", "application/x-www-form-urlencoded"),), fields.encode()
        )
        yield get(f"headers of {size}", "/", *((f"x-{i}", part) for i, part in enumerate(_split(s, size))))
        yield get(f"segments of {size}", "/a/" + "/".join(quote(part, safe="") for part in _split(s, size)))
    yield as_json("base64 pieces", {"parts": [_b64(part.encode()).decode() for part in _split(s, 6)]})
    yield as_json("hex pieces", {"parts": [part.encode().hex() for part in _split(s, 5)]})
    yield as_json("split base64", {"parts": _split(_b64(s.encode()).decode(), 9)})


def leaks() -> list[tuple[str, Request]]:
    """The name of the secret and the request; every form in every place that takes it, every split."""
    found = []
    for name, secret in OWN.items():
        for form, change in FORMS.items():
            for request in _places(change(secret)):
                found.append((name, _called(request, f"{name}, {form}, {request.label}")))
        found += [(name, _called(request, f"{name}, {request.label}")) for request in _splits(secret)]
        archive = Request(
            "", "/u", (("content-type", "application/gzip"),), gzip.compress(b"k=" + secret.encode(), mtime=0)
        )
        found.append((name, _called(archive, f"{name}, undeclared gzip")))
    return found


def _called(request: Request, label: str) -> Request:
    return Request(label, request.path, request.headers, request.body, request.method, request.host)
