"""A secret in pieces, with others between them, in places where they are read one by one."""

from __future__ import annotations

import base64
import gzip
import json
from urllib.parse import quote

import pytest

from sidecar_bundle.dlp.engine import Engine, Unscannable

SECRET = "cfBAep" + "fJBd0Kh8oOOL8d"
SHORT = "h3Lp" + "9Qw2"
SIGNS = "p@s$: W" + "0rd!/%+x&y=Z"
DIGITS = "5820194" + "736610482"
OWN = {"TOKEN": SECRET, "SHORT": SHORT, "SIGNS": SIGNS, "DIGITS": DIGITS}
ENGINE = Engine(OWN, patterns=False)
FOUR = [SECRET[i : i + 4] for i in range(0, 20, 4)]
KEYS = {f"k{i}": part for i, part in enumerate(FOUR)}
DOCUMENT = json.dumps(KEYS).encode()
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=b"


def found(path: str = "/", body: bytes = b"", kind: str = "", headers: tuple[tuple[str, str], ...] = ()) -> set[str]:
    sent = [*headers, *([("content-type", kind)] if kind else [])]
    return {f.name for f in ENGINE.request(method="GET", host="a.example", path=path, headers=sent, body=body)}


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def part(name: str, value: str) -> str:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(b"\xef\xbb\xbf" + DOCUMENT, "application/json", id="after a byte order mark"),
        pytest.param(b" " * 200 + DOCUMENT, "application/json", id="after blanks"),
        pytest.param(json.dumps(KEYS).encode("utf-16"), "application/json", id="in UTF-16"),
        pytest.param(json.dumps(KEYS).encode("utf-16-le"), "application/json", id="in UTF-16 without a mark"),
        pytest.param(DOCUMENT + b"\n//", "application/json", id="before other bytes"),
        pytest.param(json.dumps({"a": "one two " * 600_000, **KEYS}).encode(), "application/json", id="in 4 MB"),
        pytest.param(b'{"z":' + b"[" * 3000 + b"]" * 3000 + b"," + DOCUMENT[1:], "application/json", id="in the deep"),
        pytest.param(
            b"\n".join(as_json({"seq": i, "line": p}) for i, p in enumerate(FOUR)), "", id="in lines of JSON"
        ),
        pytest.param(json.dumps({"f": {"arguments": DOCUMENT.decode()}}).encode(), "", id="in JSON in a string"),
        pytest.param(json.dumps({"c": base64.b64encode(DOCUMENT).decode()}).encode(), "", id="in JSON in base64"),
        pytest.param(gzip.compress(DOCUMENT), "", id="in JSON in gzip"),
        pytest.param((part("j", DOCUMENT.decode()) + "--b--").encode(), PARTS, id="in JSON in a part"),
        pytest.param(b"payload=" + quote(DOCUMENT).encode(), FORM, id="in JSON in a field"),
        pytest.param("&".join(f"{p}=1" for p in FOUR).encode(), FORM, id="in names of fields"),
        pytest.param("".join(part(p, "1") for p in FOUR).encode(), PARTS, id="in names of parts"),
        pytest.param(
            "".join(part(f"k{i}", p) + part(f"t{i}", "hello") for i, p in enumerate(FOUR)).encode(),
            PARTS,
            id="in parts by turns",
        ),
        pytest.param(
            "".join(part(f"k{i}", p) for i, p in enumerate(FOUR)).replace("--b", "--b;c").encode(),
            'multipart/form-data; boundary = "b;c"',
            id="in parts with an odd boundary",
        ),
        pytest.param(
            as_json([{f"t{i}": "hello", f"d{i}": p} for i, p in enumerate(FOUR)]), "", id="under numbered keys"
        ),
        pytest.param(json.dumps([x for p in FOUR for x in (p, "hello")]).encode(), "", id="in a list by turns"),
        pytest.param(
            json.dumps([x for c in SECRET for x in (c, "zz")]).encode(), "", id="in a list by turns, one by one"
        ),
        pytest.param(json.dumps(FOUR[::-1]).encode(), "", id="in a list backwards"),
        pytest.param("".join(f"<i>{p}</i>" for p in FOUR).encode(), "text/xml", id="in elements"),
        pytest.param(
            as_json(["a."] * 3000 + [base64.b64encode(p.encode()).decode() for p in FOUR]),
            "",
            id="in base64 each, among many",
        ),
    ],
)  # fmt: skip
def test_pieces_in_a_body(body: bytes, kind: str) -> None:
    assert found(body=body, kind=kind) == {"TOKEN"}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/?" + "&".join(f"{p}={i}" for i, p in enumerate(FOUR)), id="names"),
        pytest.param("/?" + "&".join(FOUR), id="names without values"),
        pytest.param("/?" + "&".join(f"p{i}={p}&id{i}=1000{i}" for i, p in enumerate(FOUR)), id="values by turns"),
        pytest.param("/?v=" + quote(DOCUMENT), id="JSON"),
        pytest.param(f"/{FOUR[0]}/x/{FOUR[1]}?a={FOUR[2]}&b=1&c={FOUR[3]}&d={FOUR[4]}", id="path and query"),
    ],
)
def test_pieces_in_a_url(path: str) -> None:
    assert found(path) == {"TOKEN"}


@pytest.mark.parametrize(
    "headers",
    [
        (("Cookie", "; ".join(f"k{i}={p}; t{i}=hello" for i, p in enumerate(FOUR))),),
        (("Cookie", "; ".join(f"{p}=1" for p in FOUR)),),
        tuple((f"X-{p}", "1") for p in FOUR),
        tuple(h for i, p in enumerate(FOUR) for h in ((f"X-{i}", p), (f"Y-{i}", "hello"))),
    ],
)
def test_pieces_in_headers(headers: tuple[tuple[str, str], ...]) -> None:
    assert found(headers=headers) == {"TOKEN"}


def test_pieces_in_cookies_are_decoded() -> None:
    cookies = "; ".join(f"c{i}={quote(SIGNS[i : i + 4], safe='')}" for i in range(0, len(SIGNS), 4))
    assert found(headers=(("Cookie", cookies),)) == {"SIGNS"}


@pytest.mark.parametrize("name", sorted(OWN))
def test_halves_in_two_places(name: str) -> None:
    first, second = (OWN[name][i * len(OWN[name]) // 2 : (i + 1) * len(OWN[name]) // 2] for i in (0, 1))
    body = json.dumps({"x": "y", "a": second}).encode()
    assert found("/s/" + quote(first, safe=""), body) == {name}
    assert found("/", body, headers=(("X-A", first),)) == {name}
    assert found("/?x=" + quote(second, safe=""), headers=(("X-A", first),)) == {name}


def test_a_part_of_a_secret_and_words_are_none() -> None:
    own = Engine({"PHRASE": "correct horse battery staple", "TOKEN": SECRET, "SHORT": SHORT}, patterns=False)
    body = json.dumps(["battery", "staple", "horse", "correct", SECRET[:8], SHORT[:4]]).encode()
    assert own.request(method="GET", host="a.example", path="/", headers=[], body=body) == []


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/", b"&" * 10_001 + b"a=b", FORM),
        ("/?" + "&" * 10_001, b"", ""),
        ("/" + "/" * 10_001, b"", ""),
        ("/", b"--b\r\n\r\n" * 10_001, PARTS),
    ],
)
def test_more_fields_than_are_looked_at_are_refused(path: str, body: bytes, kind: str) -> None:
    with pytest.raises(Unscannable, match=r"^more than 10000 (?:fields|parts)$"):
        found(path, body, kind)


def test_pieces_in_messages_one_after_the_other() -> None:
    messages = b"".join(json.dumps({"type": "input", "seq": i, "data": p}).encode() for i, p in enumerate(FOUR))
    assert [f.name for f in ENGINE.message(messages, where="websocket")] == ["TOKEN"]
    assert ENGINE.message(messages[: len(messages) // 2], where="websocket") == []
