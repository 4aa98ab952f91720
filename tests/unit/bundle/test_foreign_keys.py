"""At a host with `auth` no other key passes, wherever it stands and however it is written; elsewhere it does."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from urllib.parse import quote

import pytest

from sidecar_bundle.egress.decide import Allow, Refuse, Request, decide, decide_body
from sidecar_bundle.shared.routes import Route, RouteAuth

API = Route("api.example", auth=RouteAuth("Bearer", "EGRESS_TOKEN_0"))
PLAIN = Route("api.example")
KEY = "Vq27kTzLw0PmRx94Hs3B"
SEED = hashlib.sha256(b"a key of somebody else").digest()
SHAPES = {
    "letters and digits": KEY,
    "hex": SEED.hex(),
    "base64": base64.b64encode(SEED).decode(),
    "base64url": base64.urlsafe_b64encode(SEED).decode(),
    "prefixed": f"acme_live_{KEY}",
    "with dots": f"{SEED.hex()[:12]}.{KEY}.{KEY[::-1]}",
    "after a scheme": f"Bearer {KEY}",
}
HEADERS = """Passcode X-Pin X-Hmac X-Sign X-Signature Signature X-Amzn-Oidc-Data Token2 X-Access-Token2 Api-Token-V2
    x-api-keys Auth-Token1 X-Apikeyauth Ory-Kratos-Session X-Api-Key X-MBX-APIKEY X-Postmark-Server-Token npm-otp
    X-Forwarded-Authorization X-HTTP-Authorization Acme-Secret X-Acme-Credentials X-Session-Id Cookie"""
NAMES = """api_key apikey apiKey API-KEY api.key api_key[] auth[token] X-Api-Key access_token accessToken key token
    X-Amz-Security-Token X-Amz-Signature session sessionid session_id pass passphrase passwd password credential
    credentials deploy_token serp_api_key pat otp gh_token functions_key readKey writeKey oauth_token oauth_signature
    sig signature aws_access_key_id client_secret refresh_token id_token jwt private_key license_key userPassword
    acmetoken acme_secret ACME_API_KEY token2 apiKeyV2 code"""
TYPE = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "parts": "multipart/form-data; boundary=b",
}


@dataclass(frozen=True)
class Sent:
    """A request of the agent."""

    path: str = "/v1/things"
    kind: str = ""
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = field(default=())


def refused(sent: Sent, route: Route = API) -> str:
    """Why the request is refused, or ""."""
    kind = (("Content-Type", sent.kind),) if sent.kind else ()
    head = (("Host", route.host), *kind, *sent.headers)
    request = Request("POST", "https", route.host, 443, sent.path, head)
    decision = decide("b", [route], {"EGRESS_TOKEN_0"}, request)
    if isinstance(decision, Allow):
        body = decide_body(route, sent.kind, sent.body)
        return body.reason if body else ""
    assert isinstance(decision, Refuse)
    return decision.reason


def part(head: str, value: str = KEY) -> Sent:
    return Sent(kind=TYPE["parts"], body=f"--b\r\n{head}\r\n\r\n{value}\r\n--b--\r\n".encode())


def as_json(value: object, kind: str = "application/json") -> Sent:
    return Sent(kind=kind, body=value if isinstance(value, bytes) else json.dumps(value).encode())


def text(body: str, kind: str = "") -> Sent:
    return Sent(kind=kind, body=body.encode())


BATCH = "--b\r\nContent-Type: application/http\r\n\r\nGET /x%s HTTP/1.1\r\n%s\r\n\r\n--b--\r\n"
SENT = {
    "depth 4": as_json({"a": {"b": {"c": {"api_key": KEY}}}}),
    "depth 9": as_json({"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"token": KEY}}}}}}}}}),
    "in a list": as_json({"params": [{"api_key": KEY}]}),
    "in a list of lists": as_json({"params": [[{"api_key": KEY}]]}),
    "a list": as_json({"api_key": [KEY]}),
    "a number": as_json(b'{"api_key": 12345678901234}'),
    "a password that is a number": as_json(b'{"password": 482913}'),
    "a password that somebody chose": as_json({"users": [{"password": "S3cure-Pass!"}]}),
    "a value in escapes": as_json(b'{"x": [{"acme_token": "%s"}]}' % b"".join(b"\\u%04x" % ord(c) for c in KEY)),
    "a name in escapes": as_json(b'{"x": [{"api\\u005fkey": "%s"}]}' % KEY.encode()),
    "a name twice": as_json(b'{"api_key": "%s", "api_key": ""}' % KEY.encode()),
    "bytes after it": text(json.dumps({"api_key": KEY}) + " x", "text/plain"),
    "a comment in it": text('{/**/"api_key": "' + KEY + '"}', "application/json"),
    "single quotes": text("{'api_key': '" + KEY + "'}", "application/json"),
    "no quotes": text("{api_key: '" + KEY + "'}", "application/json"),
    "no quotes, no type": text('{api_key: "' + KEY + '"}'),
    "lines": text('{"a": 1}\n' + json.dumps({"api_key": KEY}), "application/x-ndjson"),
    "lines as text": text('{"a": 1}\n' + json.dumps({"api_key": KEY}), "text/plain"),
    "one after the other": text('{"a": 1}' + json.dumps({"api_key": KEY}), "application/json"),
    "as a form's type": as_json({"api_key": KEY}, TYPE["form"]),
    "in a form's value": text("payload=" + quote(json.dumps({"api_key": KEY})), TYPE["form"]),
    "RPC batch": as_json([{"params": {"token": KEY}}]),
    "headers of a batch": as_json({"requests": [{"url": "/x", "headers": {"Authorization": f"Bearer {KEY}"}}]}),
    "named headers": as_json({"headers": [{"name": "Authorization", "value": f"Bearer {KEY}"}]}),
    "headers in pairs": as_json({"x": [{"headers": [["X-Acme-Key", KEY]]}]}),
    "header lines": as_json({"requests": [{"headers": [f"Authorization: Bearer {KEY}"]}]}),
    "cookies": as_json({"requests": [{"headers": {"Cookie": f"a=b; session={KEY}"}}]}),
    "URL of a batch": as_json([{"method": "GET", "relative_url": f"me?access_token={KEY}"}]),
    "tool of a model": as_json({"tools": [{"type": "mcp", "server_url": "https://x.example", "authorization": KEY}]}),
    "beside a message": as_json({"messages": [{"role": "user", "content": "x"}], "api_key": KEY}),
    "in a message": as_json({"messages": [{"role": "user", "content": "x", "api_key": KEY}]}),
    "GraphQL": as_json({"query": 'mutation { login(password: "' + KEY + '") { id } }'}),
    "GraphQL variables": as_json({"query": "mutation M", "variables": {"input": {"token": KEY}}}),
    "YAML": text(f"a: 1\napi_key: {KEY}\n", "application/yaml"),
    "YAML, quoted": text(f'a:\n  - "api_key": "{KEY}"\n', "text/yaml"),
    "YAML, a block": text(f"api_key: |\n  {KEY}\n", "application/x-yaml"),
    "YAML without a type": text(f"api_key: {KEY}\n"),
    "XML": text(f"<r><api_key>{KEY}</api_key></r>", "application/xml"),
    "XML without a type": text(f"<r><api_key>{KEY}</api_key></r>"),
    "XML, an attribute": text(f'<r api_key="{KEY}"/>', "text/xml"),
    "XML, CDATA": text(f"<r><token><![CDATA[{KEY}]]></token></r>", "text/xml"),
    "XML, SOAP": text(f"<s:Header><wsse:Password Type='a'>{KEY}</wsse:Password></s:Header>", "application/soap+xml"),
    "XML, a parameter": text(f'<param name="api_key" value="{KEY}"/>', "text/xml"),
    "XML-RPC": text(f"<member><name>password</name><value><string>{KEY}</string></value></member>", "text/xml"),
    "JSON in UTF-16": as_json(json.dumps({"x": [{"api_key": KEY}]}).encode("utf-16")),
    "a form in UTF-16": Sent(kind=TYPE["form"] + "; charset=utf-16", body=f"api_key={KEY}".encode("utf-16")),
    "a form in UTF-16LE": Sent(kind=TYPE["form"] + "; charset=UTF-16LE", body=f"api_key={KEY}".encode("utf-16-le")),
    "a form in EBCDIC": Sent(kind=TYPE["form"] + "; charset=ibm037", body=f"api_key={KEY}".encode("cp037")),
    "XML in UTF-16": Sent(kind="application/xml", body=f"<api_key>{KEY}</api_key>".encode("utf-16")),
    "JSON in UTF-7": Sent(kind="application/json; charset=utf-7", body=b'+AHs-"api+AF8-key": "%s"}' % KEY.encode()),
    "a form's name in escapes": text(f"%61pi%5Fkey={KEY}", TYPE["form"]),
    "a form as text": text(f"api_key={KEY}&a=1", "text/plain"),
    "part: blank before the colon": part('Content-Disposition : form-data; name="token"'),
    "part: name in escapes": part('Content-Disposition: form-data; name="api%5Fkey"'),
    "part: name in pieces": part('Content-Disposition: form-data; name*0="api_"; name*1="key"'),
    "part: folded": part('Content-Disposition: form-data;\r\n name="token"'),
    "part: no blank line": part('Content-Disposition: form-data; name="api_key"\r\n--x: y'),
    "part: JSON": part(
        'Content-Disposition: form-data; name="a"\r\nContent-Type: application/json', json.dumps({"api_key": KEY})
    ),
    "request within: header": text(BATCH % ("", f"Authorization: Bearer {KEY}"), "multipart/mixed; boundary=b"),
    "request within: query": text(BATCH % (f"?api_key={KEY}", "A: b"), "multipart/mixed; boundary=b"),
    "request within: cookie": text(BATCH % ("", f"A: b\r\nCookie: session={KEY}"), "multipart/mixed; boundary=b"),
    "request within: body": text(
        BATCH % ("", f'Content-Type: application/json\r\n\r\n{{"api_key": "{KEY}"}}'), "multipart/mixed; boundary=b"
    ),
    "request as a body": text(f"GET /x HTTP/1.1\r\nX-Api-Key: {KEY}\r\n\r\n", "application/http"),
    "query: doubly encoded": Sent(f"/a?%2561pi_key={KEY}"),
    "query: plus": Sent(f"/a?api+key={KEY}"),
    "query: JSON": Sent("/a?variables=" + quote(json.dumps({"token": KEY}))),
    "query: after a second ?": Sent(f"/a?x?api_key={KEY}"),
    "query: entity": Sent(f"/a?x=1&amp;api_key={KEY}"),
    "path: matrix": Sent(f"/a;api_key={KEY}/b"),
    "path: matrix in escapes": Sent(f"/a%3Bapi_key={KEY}"),
    "path: segments": Sent(f"/a/api_key/{KEY}"),
    "path: bot": Sent(f"/bot12345:{KEY}/getMe"),
    "path: userinfo": Sent(f"//user:{KEY}@api.example/"),
    "subprotocol": Sent(headers=(("Sec-WebSocket-Protocol", f"v1, {KEY}"),)),
}


@pytest.mark.parametrize("name", HEADERS.split())
@pytest.mark.parametrize("value", SHAPES.values(), ids=SHAPES)
def test_headers(name: str, value: str) -> None:
    request = Request("GET", "https", API.host, 443, "/", (("Host", API.host), (name, value)))
    allow = decide("b", [API], {"EGRESS_TOKEN_0"}, request)
    assert isinstance(allow, Allow)
    assert name.lower() in allow.strip


def test_a_header_whose_value_is_a_key_with_its_scheme() -> None:
    request = Request("GET", "https", API.host, 443, "/", (("Host", API.host), ("X-Whatever", f"Bearer {KEY}")))
    allow = decide("b", [API], {"EGRESS_TOKEN_0"}, request)
    assert isinstance(allow, Allow)
    assert "x-whatever" in allow.strip


@pytest.mark.parametrize("name", NAMES.split())
@pytest.mark.parametrize("value", SHAPES.values(), ids=SHAPES)
def test_names(name: str, value: str) -> None:
    for sent in (
        Sent(f"/a?b=c&{quote(name)}={quote(value)}"),
        as_json({name: value}),
        text(f"b=c&{quote(name)}={quote(value)}", TYPE["form"]),
        part(f'Content-Disposition: form-data; name="{name}"', value),
    ):
        said = refused(sent)
        assert "only the bottle's credential passes" in said
        assert name in said
        assert KEY not in said
        assert not refused(sent, PLAIN)


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
def test_however_it_is_written(sent: Sent) -> None:
    said = refused(sent)
    assert "another key for api.example is not allowed" in said
    assert KEY not in said
    assert not refused(sent, PLAIN)
