"""What real tools send to a host with `auth` passes it, whatever they talk about."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from agent_image.providers import PROVIDERS
from sidecar_bundle.egress.decide import STRIPPED, Allow, Request, decide, decide_body
from sidecar_bundle.shared.routes import Route, RouteAuth

API = Route("api.example", auth=RouteAuth("Bearer", "EGRESS_TOKEN_0"))
UUID = "01987c3e-5d1a-7e22-9c41-3f0a6b7d2e15"
OURS = "egress-placeholder"
FORM = "application/x-www-form-urlencoded"


def drawn(seed: str, size: int = 32) -> bytes:
    return hashlib.shake_256(seed.encode()).digest(size)


def hexed(seed: str, digits: int) -> str:
    return drawn(seed, digits // 2).hex()


def coded(seed: str, size: int = 300) -> str:
    return base64.b64encode(drawn(seed, size)).decode()


Innocent = tuple[str, str, Mapping[str, str], str, bytes]


def get(path: str, **headers: str) -> Innocent:
    return "GET", path, headers, "", b""


def post(path: str, body: object, kind: str = "application/json", **headers: str) -> Innocent:
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return "POST", path, headers, kind, raw


def parts(*fields: tuple[str, str], **files: str) -> Innocent:
    out = "".join(f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields)
    for name, body in files.items():
        head = f'Content-Disposition: form-data; name="{name}"; filename="{name}.bin"\r\nContent-Type: text/plain'
        out += f"--b\r\n{head}\r\n\r\n{body}\r\n"
    return post("/upload", out + "--b--\r\n", "multipart/form-data; boundary=b")


CODE = f"""import os
API_KEY = "changeme"
password = "hunter2hunter2"
client = Client(api_key=os.environ["API_KEY"], token="{hexed("token", 40)}", secret='{coded("secret", 30)}')
headers = {{"Authorization": "Bearer {coded("bearer", 30)}", "X-Api-Key": api_key}}
"""
SCHEMA = {
    "type": "object",
    "properties": {
        "api_key": {"type": "string", "description": "The API key, such as sk-..."},
        "password": {"type": "string", "default": "changeme", "minLength": 8},
        "token": {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "Token"},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "key": {"type": "string", "enum": ["Enter", "Escape", "ArrowDown"]},
    },
    "required": ["api_key", "password", "session_id"],
}
CLAUDE = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,oauth-2025-04-20,interleaved-thinking-2025-05-14",
    "anthropic-dangerous-direct-browser-access": "true",
    "x-app": "cli",
    "x-stainless-lang": "js",
    "x-stainless-retry-count": "0",
    "x-stainless-package-version": "0.70.0",
    "x-stainless-helper-method": "stream",
    "X-Claude-Code-Session-Id": UUID,
    "x-client-request-id": UUID,
    "Authorization": f"Bearer {OURS}",
}
CODEX = {
    "session_id": UUID,
    "conversation_id": UUID,
    "thread-id": UUID,
    "originator": "codex_cli_rs",
    "version": "0.98.0",
    "OpenAI-Beta": "responses=experimental",
    "chatgpt-account-id": UUID,
    "x-codex-turn-state": coded("turn state", 60),
    "x-codex-turn-metadata": json.dumps({"turn_id": UUID, "sandbox": "seatbelt"}),
    "x-codex-beta-features": "multi_agent",
    "x-client-request-id": UUID,
    "Authorization": f"Bearer {OURS}",
}
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "Where do I put my api_key? It is `api_key: {hexed}` and token=abc, password: x"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "The password ...", "signature": coded("thinking", 500)},
            {"type": "redacted_thinking", "data": coded("redacted", 500)},
            {"type": "tool_use", "id": "toolu_01AbC", "name": "Write", "input": {"file_path": "a.py", "content": CODE}},
            {"type": "tool_use", "id": "toolu_02AbC", "name": "login", "input": {"password": hexed("typed", 20)}},
            {"type": "tool_use", "id": "toolu_03", "name": "get", "input": {"headers": {"X-Token": coded("got", 30)}}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_01AbC", "content": CODE}]},
]
USER_ID = json.dumps({"device_id": hexed("device", 64), "account_uuid": "", "session_id": UUID})
HTTP_BATCH = (
    "--b\r\nContent-Type: application/http\r\nContent-ID: <1>\r\n\r\nGET /files/1?fields=id HTTP/1.1\r\n\r\n--b--"
)
S3_DELETE = "<Delete><Object><Key>builds/2024/Report-7f3a9c2e8d1b4a60.tar.gz</Key></Object><Quiet>true</Quiet></Delete>"
K8S = "apiVersion: v1\nkind: Pod\nspec:\n  serviceAccountName: token-reader\n  secretName: db-password\n  key: config\n"
PACKAGES = {
    "auth-token": ["2.4.5"],
    "jsonwebtoken": ["9.0.2"],
    "password": ["0.1.1"],
    "keyv": ["4.5.4"],
    "jwt": ["0.2"],
}
LOCK = {"dependencies": {"jwt": "^1.0.0", "token": "~0.1", "@octokit/auth-token": "4.0.0", "secret": "1.0.0-beta.3"}}
GRAPHQL = (
    "query($key: String, $token: String) { search(key: $key, token: $token, first: 10) { pageInfo { endCursor } } }"
)
EVENT = {"event_type": "ClaudeCodeInternalEvent", "event_data": {"session_id": UUID, "device_id": hexed("device", 64)}}

INNOCENT: dict[str, Innocent] = {
    "Claude Code": post(
        "/v1/messages?beta=true",
        {
            "model": "claude-x",
            "max_tokens": 32000,
            "metadata": {"user_id": USER_ID},
            "system": [{"type": "text", "text": CODE, "cache_control": {"type": "ephemeral"}}],
            "tools": [{"name": "login", "description": "Takes password=...", "input_schema": SCHEMA}],
            "messages": TALK,
            "thinking": {"type": "enabled", "budget_tokens": 10000},
        },
        **CLAUDE,
    ),
    "Claude Code, older": post(
        "/v1/messages",
        {"metadata": {"user_id": f"user_{hexed('u', 64)}_account_{UUID}_session_{UUID}"}, "messages": TALK},
        **CLAUDE,
    ),
    "Claude Code, an API key": post("/v1/messages", {"messages": TALK}, **{"X-Api-Key": OURS}),
    "Claude Code, tokens": post("/v1/messages/count_tokens", {"messages": TALK, "tools": [{"input_schema": SCHEMA}]}),
    "Claude Code, events": post(
        "/api/event_logging/batch", {"events": [{**EVENT, "auth": {"account_uuid": UUID}, "uses_api_key": True}]}
    ),
    "Claude Code, features": post(
        "/api/eval/sdk-zAZezfDKGoZuXXKe", {"attributes": {"sessionId": UUID, "deviceID": UUID}}
    ),
    "Claude Code, settings": get("/api/claude_code/settings?session_id=" + UUID, **CLAUDE),
    "batch of messages": post("/v1/messages/batches", {"requests": [{"custom_id": "a", "params": {"messages": TALK}}]}),
    "Codex": post(
        "/v1/responses",
        {
            "model": "gpt-x",
            "instructions": CODE,
            "prompt_cache_key": UUID,
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": CODE}]},
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAA" + coded("r", 600)},
                {"type": "function_call", "name": "shell", "arguments": json.dumps({"token": coded("a", 30)})},
                {
                    "type": "function_call_output",
                    "call_id": "call_1",
                    "output": json.dumps({"api_key": coded("b", 30)}),
                },
            ],
            "tools": [{"type": "function", "name": "login", "strict": False, "parameters": SCHEMA}],
            "client_metadata": {"x-codex-installation-id": UUID},
        },
        **CODEX,
    ),
    "Codex, a cache key of its own": post(
        "/v1/responses", {"input": [], "prompt_cache_key": hexed("cache", 32)}, **CODEX
    ),
    "chat completions": post(
        "/v1/chat/completions",
        {
            "messages": [
                *TALK,
                {
                    "role": "assistant",
                    "tool_calls": [{"function": {"name": "f", "arguments": {"token": coded("t", 30)}}}],
                },
                {"role": "assistant", "reasoning_details": [{"type": "x", "signature": coded("s", 300)}]},
            ],
            "max_completion_tokens": 100,
            "logit_bias": {"50256": -100},
            "stop": ["</token>"],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
        },
    ),
    "Gemini": post(
        "/v1beta/models/gemini:streamGenerateContent?alt=sse",
        {
            "contents": [
                {"role": "user", "parts": [{"text": CODE}]},
                {
                    "role": "model",
                    "parts": [{"functionCall": {"args": {"token": coded("g", 30)}}, "thoughtSignature": coded("t")}],
                },
            ],
            "generationConfig": {"maxOutputTokens": 100},
            "session_id": UUID,
        },
    ),
    "Bedrock": post(
        "/model/x/converse", {"messages": TALK, "inferenceConfig": {"maxTokens": 100, "stopSequences": []}}
    ),
    "local model": post("/api/chat", {"messages": TALK, "keep_alive": "5m", "options": {"num_ctx": 4096, "stop": []}}),
    "embeddings": post("/v1/embeddings", {"input": ["api key", "password"], "encoding_format": "base64"}),
    "tokens of a text": post(
        "/tokenize", {"content": "x", "add_special_tokens": True, "eos_token": "</s>", "tokens": [1, 2]}
    ),
    "model's answer with words": post("/v1/moderations", {"input": CODE}),
    "an agent's trace": post(
        "/v1/traces", {"attributes": [{"key": "gen_ai.usage.input_tokens", "value": {"intValue": "42"}}]}
    ),
    "MCP call": post(
        "/mcp",
        {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "x", "_meta": {"progressToken": 1}}},
        **{"Mcp-Session-Id": hexed("mcp", 32), "Mcp-Protocol-Version": "2025-06-18"},
    ),
    "MCP tools": post("/mcp", {"jsonrpc": "2.0", "result": {"tools": [{"name": "login", "inputSchema": SCHEMA}]}}),
    "git refs": get("/a/b.git/info/refs?service=git-upload-pack", **{"Git-Protocol": "version=2"}),
    "git fetch": post(
        "/a/b.git/git-upload-pack",
        b"0011command=fetch0032want " + b"ab" * 20 + b"\n0009done\n0000",
        "application/x-git-upload-pack-request",
    ),
    "git LFS": post(
        "/a/b.git/info/lfs/objects/batch",
        {"operation": "download", "objects": [{"oid": hexed("o", 64)}]},
        "application/vnd.git-lfs+json",
    ),
    "npm metadata": get("/@octokit%2fauth-token", **{"npm-command": "install", "npm-auth-type": "web"}),
    "npm tarball": get("/jsonwebtoken/-/jsonwebtoken-9.0.2.tgz"),
    "npm audit": post("/-/npm/v1/security/advisories/bulk", PACKAGES),
    "npm audit, full": post("/-/npm/v1/security/audits", {"requires": {"jwt": "^1.0.0"}, **LOCK}),
    "npm search": get("/-/v1/search?text=api+key&size=20&from=0"),
    "npm publish": post("/auth-token", {"name": "auth-token", "versions": {"1.0.0": LOCK}}),
    "pip index": get("/simple/python-jose/", Accept="application/vnd.pypi.simple.v1+json"),
    "pip upload": parts(
        (":action", "file_upload"),
        ("sha256_digest", hexed("w", 64)),
        ("keywords", "api,key,token"),
        ("attestations", json.dumps([{"envelope": {"statement": "x", "signature": coded("att", 70)}}])),
        content=CODE,
    ),
    "cargo": post(
        "/api/v1/crates/new",
        b"\x10\x00\x00\x00" + json.dumps({"name": "token", "keywords": ["key"]}).encode(),
        "application/octet-stream",
    ),
    "Go module": get("/github.com/golang-jwt/jwt/v5/@v/v5.2.1.info"),
    "registry manifest": get("/v2/library/vault/manifests/sha256:" + hexed("m", 64)),
    "registry manifest, old": post(
        "/v2/a/manifests/b", {"signatures": [{"header": {"alg": "ES256"}, "signature": coded("m")}]}
    ),
    "S3 listing": get("/bucket?list-type=2&prefix=a/&continuation-token=" + quote(coded("c", 60)) + "&key-marker=a"),
    "S3 listing, start": get("/bucket?list-type=2&start-after=keys/" + hexed("k", 20)),
    "S3 deletion": post("/bucket?delete", S3_DELETE, "application/xml"),
    "S3 form": parts(("key", "uploads/2024/report.pdf"), ("Content-Type", "application/pdf"), file="x"),
    "log groups": post(
        "/", {"logGroupName": "x", "nextToken": coded("n", 60), "limit": 50}, "application/x-amz-json-1.1"
    ),
    "cloud stack": post(
        "/", {"ClientToken": UUID, "ClientRequestToken": UUID, "StackName": "x"}, "application/x-amz-json-1.0"
    ),
    "a table": post(
        "/", {"TableName": "x", "Key": {"id": {"S": hexed("i", 40)}}, "ExclusiveStartKey": {"id": {"S": "a"}}}
    ),
    "a stream": post("/", {"PartitionKey": hexed("p", 32), "Data": coded("d")}, "application/x-amz-json-1.1"),
    "KMS": post("/", {"KeyId": f"arn:aws:kms:us-east-1:123456789012:key/{UUID}", "kms_key_id": UUID}),
    "pages": get("/v1/items?page_token=" + hexed("page", 40) + "&maxResults=5"),
    "next pages": get("/v1/items?next_page_token=" + hexed("page", 40) + "&pageToken=" + hexed("q", 40)),
    "pages in a body": post("/v1/items", {"filter": {}, "pageToken": coded("p", 40), "nextPageToken": coded("n", 40)}),
    "sync": get("/calendar/v3/events?syncToken=" + hexed("sync", 40)),
    "cluster objects": get("/api/v1/secrets?limit=500&continue=" + quote(coded("k", 90))),
    "cluster apply": post("/api/v1/pods", K8S, "application/apply-patch+yaml"),
    "cluster config": post(
        "/api/v1/pods", {"spec": {"env": [{"name": "API_KEY", "valueFrom": {"secretKeyRef": {"key": "token"}}}]}}
    ),
    "CSRF header": post("/save", {"a": 1}, **{"X-CSRF-Token": hexed("csrf", 64), "X-XSRF-TOKEN": hexed("xsrf", 64)}),
    "CSRF form": post(
        "/save",
        urlencode({"authenticity_token": coded("at", 60), "commit": "Save", "csrf_token": hexed("c", 40)}),
        FORM,
    ),
    "CSRF of Django": post("/save", f"csrfmiddlewaretoken={hexed('dj', 64)}&name=x", FORM),
    "CSRF in a body": post("/save", {"csrf_token": hexed("csrf", 40), "csrfToken": hexed("csrf", 40)}),
    "idempotency": post(
        "/v1/charges",
        "amount=1&currency=eur&idempotency_key=" + hexed("idem", 40),
        FORM,
        **{"Idempotency-Key": hexed("idem", 40), "X-Idempotency-Key": UUID},
    ),
    "idempotency in a body": post("/v1/charges", {"idempotency_key": hexed("idem", 40), "amount": 1}),
    "search for key": get("/search?q=api_key+token%3Dabc&sort=key&fields=token,key,password"),
    "search by key": get("/rest/api/2/issue?key=PROJ-1234&issueKey=PROJ-1&projectKey=PROJ&sort_key=created_at"),
    "search of code": get("/search/code?q=" + quote('password "Bearer ' + hexed("s", 40) + '" language:python')),
    "cache by key": get(
        "/_apis/artifactcache/cache?keys=linux-node-" + hexed("lock", 64) + "&version=" + hexed("v", 64)
    ),
    "GraphQL nulls": post(
        "/graphql", {"query": GRAPHQL, "variables": {"token": None, "key": None, "after": coded("cur", 40)}}
    ),
    "GraphQL ids": post(
        "/graphql", {"query": GRAPHQL, "variables": {"id": "PVTSSF_" + hexed("g", 30), "key": coded("k", 20)}}
    ),
    "GraphQL by hash": get("/graphql?variables=" + quote(json.dumps({"id": UUID, "token": None}))),
    "issue with code": post("/repos/a/b/issues", {"title": "api_key leaks", "body": CODE, "labels": ["token"]}),
    "file with code": post(
        "/repos/a/b/contents/x.py", {"message": "add api key", "content": coded("file", 3000), "sha": hexed("f", 40)}
    ),
    "gist with code": post(
        "/gists", {"files": {"a.py": {"content": CODE}, "token.py": {"content": CODE}}, "public": False}
    ),
    "secret of a repository": post(
        "/repos/a/b/actions/secrets/X", {"encrypted_value": coded("e", 60), "key_id": "568250167242549743"}
    ),
    "deploy key": post(
        "/repos/a/b/keys", {"title": "x", "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + coded("ssh", 30) + " a@b"}
    ),
    "public keys": get("/users/a/keys?per_page=100"),
    "signing a commit": post(
        "/repos/a/b/git/commits", {"message": "x", "signature": "-----BEGIN PGP SIGNATURE-----\n\nab\n"}
    ),
    "transparency log": post(
        "/api/v1/log/entries",
        {"spec": {"signature": {"content": coded("r", 70), "publicKey": {"content": coded("p")}}}},
    ),
    "session of a browser": post("/api/x", {"sessionId": UUID, "session": {"id": UUID, "model": "x"}}),
    "realtime": post(
        "/v1/realtime/sessions", {"session": {"type": "realtime", "instructions": CODE}, "tool_choice": "auto"}
    ),
    "errors": post(
        "/api/1/envelope/",
        json.dumps({"event_id": hexed("e", 32), "trace": {"public_key": hexed("p", 32)}}),
        "application/x-sentry-envelope",
    ),
    "metrics": post("/v1/metrics", drawn("protobuf", 4000), "application/x-protobuf"),
    "compressed": post("/u", b"\x1f\x8b" + drawn("gzip", 4000), "application/octet-stream"),
    "a file as text": post("/put", CODE, "text/plain"),
    "a file that begins with a brace": post(
        "/put", '{\n  // "api_key" goes here\n  "key": "ctrl+k",\n  "token": "x",\n}\n', "text/plain"
    ),
    "a log as text": post("/put", "[INFO] password check of user a: token=abc ok\n" * 5, "text/plain"),
    "a manual": post("/put", "the api_key = value of a manual, and more & more", "text/plain"),
    "a page": post(
        "/put", "<p>Your <b>api_key</b>: <code>sk-...</code></p><input name='password' type='password'>", "text/html"
    ),
    "uploaded code": parts(("purpose", "assistants"), file=CODE + '{"api_key": "x"}\n'),
    "uploaded lines": parts(
        ("purpose", "batch"), file="".join(json.dumps({"body": {"messages": TALK}}) + "\n" for _ in "ab")
    ),
    "elastic bulk": post(
        "/_bulk", '{"index": {}}\n{"message": "token=abc", "keyword": "key"}\n', "application/x-ndjson"
    ),
    "a hub's commit": post(
        "/api/x/commit", '{"key": "header", "value": {}}\n{"key": "lfsFile", "value": {}}\n', "application/x-ndjson"
    ),
    "batch of requests": post("/batch", HTTP_BATCH, "multipart/mixed; boundary=b"),
    "batch with our own": post("/batch", {"requests": [{"headers": {"Authorization": f"Bearer {OURS}"}}]}),
    "our own in a body": post("/v1/x", {"api_key": OURS, "token": f"Bearer {OURS}"}),
    "our own in a query": get(f"/v1/x?api_key={OURS}"),
    "a webhook": post("/repos/a/b/hooks", {"config": {"url": "https://x.example/?a=b", "content_type": "json"}}),
    "a path with words": get("/v1/auth/token/lookup-self/secret/data/api-key/password"),
    "keys of an organisation": get("/v1/organizations/api_keys/apikey_01Rj2N8SVvo6BePZj99NhmiT"),
    "session in a path": get("/v1/sessions/session_011CUaBcDeF2GhJkLmNpQrSt/events"),
    "scoped path": get("/proxy/https://files.example/@scope/pkg"),
    "WebSocket": get(
        "/ws",
        Upgrade="websocket",
        Connection="Upgrade",
        **{
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol": "graphql-transport-ws, v4.channel.k8s.io",
        },
    ),
}


@pytest.mark.parametrize("sent", INNOCENT.values(), ids=INNOCENT)
def test_it_passes(sent: Innocent) -> None:
    method, path, headers, kind, body = sent
    head = (("Host", API.host), *((("Content-Type", kind),) if kind else ()), *headers.items())
    allow = decide("b", [API], {"EGRESS_TOKEN_0"}, Request(method, "https", API.host, 443, path, head))
    assert isinstance(allow, Allow), allow
    assert allow.strip <= STRIPPED
    said = decide_body(API, kind, body)
    assert said is None, said


def test_the_placeholder_is_what_agents_are_given() -> None:
    given = {value for provider in PROVIDERS.values() for value in provider.placeholder_env.values()}
    assert given == {OURS}
    for value in given:
        assert decide_body(API, "application/json", json.dumps({"api_key": value}).encode()) is None
        assert decide_body(API, "application/json", json.dumps({"api_key": value + "x"}).encode()) is not None
