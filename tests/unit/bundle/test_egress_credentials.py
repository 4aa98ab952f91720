"""Keys that a request brings along: which names authenticate, and what is content however it is named."""

from __future__ import annotations

import json
import time

import pytest

from sidecar_bundle.egress.credentials import in_body, in_protocols, in_query
from sidecar_bundle.egress.decide import Allow, Refuse, Request, decide, decide_body
from sidecar_bundle.egress.keyed import DEEP, authenticates, carries_header, opaque
from sidecar_bundle.shared.routes import Route, RouteAuth

KEY = "Vq27kTzLw0PmRx94Hs3B"
API = Route("api.example", auth=RouteAuth("Bearer", "EGRESS_TOKEN_0"))
JSON = "application/json; charset=utf-8"
FORM = "application/x-www-form-urlencoded"


AUTHENTICATE = """Authorization Proxy-Authorization X-Authorization X-Api-Key X-API-KEY api-key ApiKey x_api_key
    X-Goog-Api-Key Private-Token PRIVATE-TOKEN Job-Token Deploy-Token X-Auth-Token X-Access-Token X-Vault-Token
    X-Figma-Token Token DD-API-KEY DD-APPLICATION-KEY Ocp-Apim-Subscription-Key X-Auth-Key X-Functions-Key
    X-Client-Secret X-Shopify-Access-Token X-Amz-Security-Token Cookie X-Session-Token X-Token X-Secret Password
    Authentication X-Session-Id Bearer X-ApiSecret CF-Access-Client-Id X-JFrog-Art-Api DPoP
    Circle-Api-Token Circle-Token X-Plex-Token Fastly-Key X-License-Key X-RapidAPI-Key X-Sentry-Auth Jwt"""
DO_NOT = """Sec-WebSocket-Key Idempotency-Key X-CSRF-Token X-Request-Id ETag If-None-Match Accept User-Agent
    anthropic-version OpenAI-Organization X-Stainless-Lang Content-Type Git-Protocol Surrogate-Key X-Amz-Content-Sha256
    Author X-Idempotency-Key X-Cache-Key X-Ms-Continuation-Token X-Page-Token Monkey Mcp-Session-Id"""

NO_KEYS = """password true 1.2.3 ^1.0.0 PROJ-1234 linux-node-20 uploads/2024/report.pdf getUserIdByKey Attachments
    ec2InstanceType DBClusterParameterGroups AIWorkloadConfigs https://example.org/cb?a=b us-east-1 application/json
    ${ACME_TOKEN} {{token}} process.env.API_KEY your-api-key-here xxxxxxxxxxxxxxxxxxxx egress-placeholder
    123456789012345678 01987c3e-5d1a-7e22-9c41-3f0a6b7d2e15 arn:aws:iam::aws:policy/IAMUserChangePassword"""


@pytest.mark.parametrize("name", AUTHENTICATE.split())
def test_headers_that_authenticate(name: str) -> None:
    assert carries_header(name, KEY)


@pytest.mark.parametrize("name", DO_NOT.split())
def test_headers_that_do_not(name: str) -> None:
    assert not carries_header(name, KEY)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("a=1&api_key=x", "api_key"),
        ("API-KEY=x", "API-KEY"),
        ("access%5Ftoken=x", "access_token"),
        (f"key={KEY}", "key"),
        ("key=linux-node-20&sort_key=created", ""),
        ("token=x", "token"),
        (f"X-Amz-Signature={KEY}", "X-Amz-Signature"),
        ("a=1;api_key=x", "api_key"),
        ("token=", ""),
        ("page_token=x&max_tokens=3&monkey=x&keyword=y", ""),
        ("state=abc&code_challenge=x&nonce=y", ""),
        ("", ""),
    ],
)
def test_queries(query: str, name: str) -> None:
    assert in_query(query) == name


@pytest.mark.parametrize(
    ("kind", "body", "name"),
    [
        (JSON, {"api_key": "x"}, "api_key"),
        (JSON, {"a": {"auth": {"accessToken": "x"}}}, "accessToken"),
        (JSON, {"token": "x"}, "token"),
        (JSON, [{"a": 1}, {"variables": {"token": "x"}}], "token"),
        ("text/plain", {"client_secret": "x"}, "client_secret"),
        (JSON, {"max_tokens": 100, "token": None, "api_key": ""}, ""),
        (JSON, {"messages": [{"role": "user", "content": '{"api_key": "x"}', "token": "x"}]}, ""),
        (JSON, {"tools": [{"input_schema": {"properties": {"api_key": {"type": "string"}}}}]}, ""),
        (JSON, {"password_hint": "x", "tokenizer": "x", "keyboard": "x"}, ""),
    ],
)
def test_json_bodies(kind: str, body: object, name: str) -> None:
    assert in_body(kind, json.dumps(body).encode()) == name


def test_other_bodies() -> None:
    assert in_body(JSON, b'{"api\\u005fkey": "x"}') == "api_key"
    assert in_body(JSON, b'{"api_key": "x", "api_key": ""}') == "api_key"
    assert in_body(JSON, b'{"a": 1}\n{"api_key": "x"}\n') == "api_key"
    assert in_body("application/x-ndjson", b'{"a": ["api_key"]}\n{"b": [{"token": "x"}]}\n') == ""
    # What cannot be read is not let through, when there is such a name in it.
    assert "cannot be read" in in_body(JSON, b'{"api_key": "x",}')
    assert "too deeply" in in_body(JSON, b'{"api_key": "x", "a": ' + b"[" * 100_000)
    assert in_body(JSON, b'{"a": 1,}') == ""
    assert in_body(FORM, b"a=b&client_secret=x") == "client_secret"
    assert in_body(FORM, b"a=b&to%6ben=x") == "token"
    assert in_body(FORM, b"a=b&c=d") == ""
    assert in_body("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="token"\r\n\r\nx')
    assert in_body("application/x-git-upload-pack-request", b"0032want token=x") == ""


def request(path: str = "/", *headers: tuple[str, str]) -> Request:
    return Request("POST", "https", "api.example", 443, path, (("Host", "api.example"), *headers))


def test_at_a_host_with_auth_headers_are_stripped_and_the_rest_refused() -> None:
    allow = decide(
        "b", [API], {"EGRESS_TOKEN_0"}, request("/", ("X-Auth-Token", "x"), ("Cookie", "y"), ("X-Other", "z"))
    )
    assert isinstance(allow, Allow)
    assert allow.strip >= {"x-auth-token", "cookie"}
    assert "x-other" not in allow.strip
    refuse = decide("b", [API], {"EGRESS_TOKEN_0"}, request("/?api_key=hidden-1"))
    assert isinstance(refuse, Refuse)
    assert "query parameter api_key" in refuse.text
    assert "hidden-1" not in refuse.text
    assert decide_body(API, JSON, b'{"api_key": "x"}') is not None


def test_elsewhere_they_pass() -> None:
    plain = Route("api.example")
    allow = decide("b", [plain], (), request("/?api_key=x", ("X-Auth-Token", "x"), ("Cookie", "y")))
    assert isinstance(allow, Allow)
    assert not allow.strip & {"x-auth-token", "cookie"}
    assert decide_body(plain, JSON, b'{"api_key": "x"}') is None


def test_json_in_another_coding() -> None:
    for coding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"):
        assert in_body(JSON, '{"api_key": "x"}'.encode(coding)) == "api_key", coding
        assert in_body(JSON, '{"a": "x"}'.encode(coding)) == "", coding
    assert "cannot be read" in in_body(JSON, '{"api_key": "x"}'.encode("utf-16-le") + b"\0")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('form-data; name="api_key"', "api_key"),
        ("form-data; name = api_key", "api_key"),
        ('form-data;\r\n name="api_key"', "api_key"),
        ("form-data; name*=utf-8''api_key", "api_key"),
        ('form-data; name="a"; name="api_key"', "api_key"),
        ('form-data; name="a"; filename="token"', ""),
    ],
)
def test_parts_of_a_form(line: str, name: str) -> None:
    body = f"--B\r\nContent-Disposition: {line}\r\n\r\nx\r\n--B--\r\n"
    assert in_body("multipart/form-data; boundary=B", body.encode()) == name


def test_keys_among_subprotocols() -> None:
    assert in_protocols("realtime, openai-insecure-api-key.x, openai-beta.realtime-v1")
    assert in_protocols("base64url.bearer.authorization.k8s.io.x")
    assert not in_protocols("graphql-transport-ws, mqtt, realtime")


@pytest.mark.parametrize(
    "name", ["github_token", "circle-token", "hapikey", "user_key", "personal_access_token", "pwd"]
)
def test_fields_of_other_services(name: str) -> None:
    assert in_query(f"a=1&{name}=x") == name
    assert in_body("application/json", f'{{"{name}": "x"}}'.encode()) == name


@pytest.mark.parametrize("kind", ["", "text/plain"])
def test_a_form_or_json_that_does_not_say_so(kind: str) -> None:
    assert in_body(kind, b"a=1&api_key=x") == "api_key"
    assert in_body(kind, b"\xef\xbb\xbf" + b" " * 100 + b'{"api_key": "x"}') == "api_key"
    assert in_body(kind, b"the api_key = value of a manual, and more & more") == ""


@pytest.mark.parametrize("value", NO_KEYS.split())
def test_what_looks_like_no_key(value: str) -> None:
    assert not opaque(value)
    assert not authenticates("session", value)
    assert not authenticates("api_key", value, DEEP) or value.count("-") == 4


def test_a_uuid_is_a_key_only_where_the_name_is_sure() -> None:
    value = "01987c3e-5d1a-7e22-9c41-3f0a6b7d2e15"
    assert all(authenticates(name, value, DEEP) for name in ("api_key", "access_token", "acme_token"))
    assert not any(authenticates(name, value) for name in ("session_id", "key", "client_token", "project_key"))


@pytest.mark.parametrize(
    ("kind", "piece"),
    [
        (JSON, b'\\"'),
        (JSON, b'"'),
        (JSON, b'{"token":['),
        (JSON, b"{a: 'token-a.b"),
        ("application/yaml", b"a.b.c-token:"),
        ("application/xml", b"<token a"),
        (FORM, b"a={token&"),
        ("multipart/form-data", b"\n--Content-Disposition: form-data; name=key "),
        ("multipart/mixed", b"content-type:a/"),
        ("multipart/mixed", b"\nGET / HTTP/1.1\r\n\r\n"),
    ],
)
def test_time_grows_with_the_size_alone(kind: str, piece: bytes) -> None:
    start = time.process_time()
    in_body(kind, b'{"a": "' + piece * (1_000_000 // len(piece)) if kind == JSON else piece * (1_000_000 // len(piece)))
    assert time.process_time() - start < 8
