"""Requests of real tools that hold no secret, however much some of it looks like one."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tests.corpus.kit import ALNUM, Draw, Request, as_json, get

ROOT = Path(__file__).resolve().parents[2]
TALK = (
    "Never commit a token such as ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx or sk-ant-api03-... to the repository.",
    "Set ANTHROPIC_API_KEY=sk-ant-api03-your-key-here and GITHUB_TOKEN=${GITHUB_TOKEN} in .env.",
    "The example key is AKIAIOSFODNN7" + "EXAMPLE with wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE" + "KEY.",
    "A key begins with -----BEGIN RSA PRIVATE KEY----- and ends with -----END RSA PRIVATE KEY-----.",
    "postgres://user:password@localhost:5432/db, redis://:changeme@redis:6379, https://user:<token>@host.example/x.git",
    'password = os.environ["PASSWORD"]; secret_key: "{{ secrets.SECRET_KEY }}"; api_key = get_api_key_from_vault_or_fail()',  # noqa: E501
    "Stripe test keys look like sk_test_xxxx, live ones like sk_live_xxxxxxxxxxxxxxxxxxxxxxxx.",
    'The header of a JWT is {"alg":"HS256"}; the parts are joined by dots: header.payload.signature.',
    "npm_config_registry and npm_lifecycle_event are variables; npm_ tokens have 36 characters.",
    "def hf_hub_download_to_local_directory_with_retries(repo_id, filename): ...",
)


def _lock(d: Draw) -> dict[str, str]:
    def sha512() -> str:
        return base64.b64encode(d.rng.randbytes(64)).decode()

    return {
        "npm": "\n".join(
            f'"node_modules/p{i}": {{"version": "1.{i}.0", "integrity": "sha512-{sha512()}"}},' for i in range(60)
        ),
        "yarn": "\n".join(
            f'resolved "https://r.example/p{i}.tgz#{d.hex(40)}"\n  integrity sha512-{sha512()}' for i in range(60)
        ),
        "cargo": "\n".join(f'name = "c{i}"\nchecksum = "{d.hex(64)}"' for i in range(60)),
        "poetry": "\n".join(f'{{file = "p-{i}.0-py3-none-any.whl", hash = "sha256:{d.hex(64)}"}},' for i in range(60)),
        "go": "\n".join(
            f"example.org/m{i} v1.{i}.0 h1:{base64.b64encode(d.rng.randbytes(32)).decode()}" for i in range(60)
        ),
        "pip": "\n".join(f"p{i}==1.{i} \\\n    --hash=sha256:{d.hex(64)}" for i in range(60)),
        "nix": "\n".join(f'hash = "sha256-{base64.b64encode(d.rng.randbytes(32)).decode()}";' for i in range(60)),
    }


def _llm(d: Draw) -> Iterator[Request]:
    sources = sorted(p for top in ("backends", "botbottle_tui", "manifests") for p in (ROOT / top).rglob("*.py"))
    texts = [(p.name, p.read_text()) for p in sources[:90]] + list(_lock(d).items()) + [(t[:20], t) for t in TALK]
    for name, text in texts:
        blocks = [
            {
                "type": "thinking",
                "thinking": "Let me look.",
                "signature": base64.b64encode(d.rng.randbytes(400)).decode(),
            },
            {
                "type": "tool_use",
                "id": "toolu_01" + d.alnum(22),
                "name": "Read",
                "input": {"file_path": f"/repo/{name}"},
            },
        ]
        result = {"type": "tool_result", "tool_use_id": "toolu_01" + d.alnum(22), "content": text}
        messages = [{"role": "assistant", "content": blocks}, {"role": "user", "content": [result]}]
        user = f"user_{d.hex(64)}_account__session_{d.uuid()}"
        yield as_json(
            f"messages, {name}",
            {"model": "m-4", "messages": messages, "metadata": {"user_id": user}},
            "/v1/messages?beta=true",
        )
        items = [{"type": "reasoning", "id": "rs_" + d.hex(48), "encrypted_content": "gAAAAAB" + d.web(500)}]
        call = {"type": "function_call", "call_id": "call_" + d.alnum(24), "arguments": json.dumps({"text": text})}
        yield as_json(f"responses, {name}", {"input": [*items, call], "prompt_cache_key": d.uuid()}, "/v1/responses")
    image = base64.b64encode(b"\x89PNG\r\n\x1a\n" + d.rng.randbytes(60000)).decode()
    yield as_json("an image", {"messages": [{"content": [{"source": {"type": "base64", "data": image}}]}]})


def _registries(d: Draw) -> Iterator[Request]:
    for i in range(25):
        name = f"{d.text('abcdefghij', 6)}-{i}"
        yield get(
            "pip", f"/packages/{d.hex(2)}/{d.hex(2)}/{d.hex(60)}/{name}-1.{i}.0-cp311-cp311-manylinux_2_17_x86_64.whl"
        )
        yield get(
            "npm",
            f"/@{name}/core/-/core-1.{i}.0.tgz",
            ("npm-session", d.hex(32)),
            ("if-none-match", f'W/"{d.hex(32)}"'),
        )
        yield get("docker", f"/v2/library/{name}/blobs/sha256:{d.hex(64)}", ("authorization", f"Bearer {_session(d)}"))
        yield get("go", f"/github.com/!a/{name}/@v/v0.0.0-20240102030405-{d.hex(12)}.zip")
        yield get("cargo", f"/crates/{name}/{name}-0.{i}.1.crate", ("etag", d.hex(64)))
        yield get("apt", f"/debian/pool/main/{name}_1.{i}-2+deb12u1_amd64.deb")
        yield get("gh", f"/repos/a/{name}/actions/runs/{i}?cursor={base64.b64encode(d.rng.randbytes(24)).decode()}")


def _session(d: Draw) -> str:
    parts = (
        {"alg": "RS256", "typ": "JWT"},
        {"access": [{"type": "repository", "name": "library/a"}], "jti": d.hex(20)},
    )
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts)
        + "."
        + d.web(300)
    )


def _urls(d: Draw) -> Iterator[Request]:
    for i in range(15):
        day, signature = "20260102", d.hex(64)
        key = "AS" + "IA" + d.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)
        yield get(
            "s3",
            f"/b/o{i}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={key}%2F{day}%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Signature={signature}",
        )
        yield get(
            "azure",
            f"/c/b{i}?sv=2024-05-04&se=2026-01-02T00%3A00%3A00Z&sr=b&sp=r&sig={base64.b64encode(d.rng.randbytes(32)).decode().replace('+', '%2B')}",  # noqa: E501
        )
        yield get(
            "release",
            f"/r/{i}?sp=r&sv=2018-11-09&skoid={d.uuid()}&sig={d.alnum(43)}%3D&jwt={_session(d)}&response-content-type=x",
        )
        session = "IQo" + "Jb3JpZ2luX2VjE" + quote(base64.b64encode(d.rng.randbytes(300)).decode(), safe="")
        yield get(
            "s3, session",
            f"/b/o{i}?X-Amz-Security-Token={session}&X-Amz-Credential={key}%2F{day}%2Fs3&X-Amz-Signature={signature}",
        )
        yield get("codeload", f"/a/b/legacy.tar.gz/refs/heads/main?token={key}{key[4:13]}")
        form = f"utf8=1&authenticity_token={quote(base64.b64encode(d.rng.randbytes(64)).decode(), safe='')}&commit=Save"
        yield Request("rails form", "/s", (("content-type", "application/x-www-form-urlencoded"),), form.encode())
        challenge = base64.urlsafe_b64encode(hashlib.sha256(d.alnum(9).encode()).digest()).decode().rstrip("=")
        yield get(
            "oauth",
            f"/authorize?client_id={d.uuid()}&state={d.web(43)}&code_challenge={challenge}&nonce={d.web(32)}&scope=a+b",
        )
        form = f"grant_type=authorization_code&code={d.web(60)}&code_verifier={d.web(64)}&client_id={d.hex(20)}&redirect_uri=http%3A%2F%2F127.0.0.1%3A1455"  # noqa: E501
        yield Request("oauth form", "/token", (("content-type", "application/x-www-form-urlencoded"),), form.encode())


def _git(d: Draw) -> Iterator[Request]:
    for i in range(10):
        lines = [
            f"want {d.hex(40)}" + (" multi_ack_detailed side-band-64k ofs-delta" if n == 0 else "") for n in range(20)
        ]
        body = b"".join(f"{len(line) + 5:04x}{line}\n".encode() for line in lines) + b"00000009done\n"
        kind = ("content-type", "application/x-git-upload-pack-request")
        yield Request("fetch", "/a.git/git-upload-pack", (kind,), body)
        yield Request(
            "fetch, gzip", "/a.git/git-upload-pack", (kind, ("content-encoding", "gzip")), gzip.compress(body)
        )
        source = f"def f{i}():\n    return {i}\n".encode() * 30
        packed = (
            b"PACK\0\0\0\2\0\0\0\1"
            + bytes([0xB0 | (len(source) & 15), len(source) >> 4 & 127 | 128, len(source) >> 11])
            + zlib.compress(source)
        )
        yield Request("pack", "/a.git/git-receive-pack", (), b"0000" + packed + d.rng.randbytes(20))


def _other(d: Draw) -> Iterator[Request]:
    for i in range(20):
        rows = [
            {"id": d.uuid(), "sha": d.hex(40), "node_id": base64.b64encode(f"10:Issue{i}".encode()).decode()}
            for _ in range(20)
        ]
        yield as_json("rows", {"rows": rows, "next": base64.b64encode(d.rng.randbytes(40)).decode()})
        script = ";".join(
            f"var {a}=function({a}){{return {a}.{d.text('abcxyz', 5)}({i})}}" for a in d.text(ALNUM[:52], 200)
        )
        yield Request("minified", "/s", (("content-type", "text/javascript"),), script.encode())
        events = [
            {
                "event": "tool_use",
                "session_id": d.uuid(),
                "device": d.hex(64),
                "ts": 1767225600000 + i,
                "model": "m-4-20260101",
            }
        ]
        yield as_json("telemetry", {"events": events}, "/api/event_logging/batch")


def requests() -> list[Request]:
    d = Draw()
    return [r for source in (_llm, _registries, _urls, _git, _other) for r in source(d)]
