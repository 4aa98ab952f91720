"""What a request must not carry: refused before a byte of it leaves, redacted, or held for the operator.

Run inside a namespace by `test_bundle.py`, never collected by itself.
"""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar_bundle.shared import queue
from sidecar_bundle.shared.proposal import HeldRequest, Response
from tests.e2e.bundle.rig import API, OPEN, TOKEN, Bundle, headers, secret_holders, until
from tests.e2e.bundle.servers import MIB

OWN = "Zq7" + "wX3kLm9bT5vR2yHc8NdJ4sF6gPu"


def token() -> str:
    """A GitHub token of the right form: 30 characters and their checksum."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    body = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1"
    check, out = zlib.crc32(body.encode()), ""
    while check:
        check, digit = divmod(check, 62)
        out = digits[digit] + out
    return "ghp_" + body + out.rjust(6, "0")


@pytest.fixture
def d(shared: Bundle) -> Iterator[Bundle]:
    """The bundle with a value that must not leave, and a route of each mode."""
    assert shared.ask(op="secrets", values={"EGRESS_TOKEN_0": TOKEN}, protect={"MY_KEY": OWN}) == {"ok": True}
    assert shared.configure(OPEN, API) == "ready"
    yield shared


def mode(d: Bundle, dlp: str) -> None:
    assert d.configure({**OPEN, "dlp": dlp}, API) == "ready"


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
@pytest.mark.parametrize(
    ("path", "args", "where"),
    [
        (f"/{OWN}", [], "url path"),
        (f"/?q={OWN}", [], "query q"),
        ("/", ["-H", f"X-Note: {OWN}"], "header X-Note"),
        ("/", ["-d", f"a={OWN}"], "body"),
        ("/", ["-H", "Content-Type: application/json", "-d", json.dumps({"a": [1, {"b": OWN}]})], "body"),
        ("/", ["-X", "POST", "-H", "Transfer-Encoding: chunked", "-d", OWN], "body"),
        ("/", ["-H", f"Cookie: s={OWN}"], "ookie"),
    ],
    ids=["path", "query", "header", "form", "json", "chunked", "cookie"],
)
def test_a_protected_value_never_leaves(d: Bundle, web: Any, path: str, args: list[str], where: str, http: str) -> None:
    for scheme in ("https", "http"):
        answer = d.curl(f"{scheme}://open.example{path}", http, *args)
        assert answer.status == 403
        assert answer.body.startswith("egress: request to open.example refused: it carries the value of $MY_KEY (")
        assert where.lower() in answer.body.lower()
        assert OWN not in answer.body
        line = d.activity()[-1]
        assert (line["verdict"], line["host"], line["status"]) == ("refuse", "open.example", 403)
        assert "$MY_KEY" in line["reason"]
    assert [s.seen for s in web] == [[], [], [], []]
    assert secret_holders([OWN], [d.process.pid, d.egress_pid], [p for p in d.folder.rglob("*") if p.is_file()]) == []
    # Positive control: the same request without the value passes.
    clean = [arg.replace(OWN, "nothing") for arg in args]
    assert d.curl(f"https://open.example{path.replace(OWN, 'nothing')}", http, *clean).status == 200


def test_a_token_s_shape_and_the_injected_token_are_refused_too(d: Bundle, web: Any) -> None:
    answer = d.curl("https://open.example/", "-d", f"look: {token()} here")
    assert (answer.status, "github" in answer.body.lower()) == (403, True)
    assert "$EGRESS_TOKEN_0" in d.curl("https://open.example/", "-d", TOKEN).body
    assert web[0].seen == []


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_large_bodies_are_scanned_beside_the_loop(d: Bundle, web: Any, tmp_path: Path, http: str) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"some innocent text \n" * 200_000 + OWN.encode() + b"\n more")
    assert "$MY_KEY" in d.curl("https://open.example/", http, "--data-binary", f"@{body}").body
    assert web[0].seen == []
    body.write_bytes(b"some innocent text \n" * 200_000)
    assert d.curl("https://open.example/", http, "--data-binary", f"@{body}").json["received"] == body.stat().st_size


def test_off_lets_everything_pass(d: Bundle, web: Any) -> None:
    mode(d, "off")
    assert d.curl("https://open.example/", "-d", OWN).json["received"] == len(OWN)
    assert "carries" not in d.curl(f"https://open.example/?q={OWN}").body


def test_where_a_credential_is_added_off_lets_no_other_key_out_and_no_credential_back(d: Bundle, web: Any) -> None:
    d.configure(OPEN, {**API, "dlp": "off"})
    assert d.curl("https://api.example/v1", "-d", OWN).json["received"] == len(OWN)
    assert d.curl("https://api.example/v1", "-d", "api_key=other-1").status == 403
    assert len(web[0].seen) == 1
    answer = d.curl("https://api.example/v1/mirror")
    assert (answer.status, TOKEN in answer.body) == (502, False), answer.body


def test_redact_sends_the_rest(d: Bundle, web: Any) -> None:
    mode(d, "redact")
    answer = d.curl("https://open.example/mirror", "-H", f"X-Note: a {OWN} b", "-d", json.dumps({"a": OWN, "b": 2}))
    assert answer.status == 200
    (request,) = web[0].seen
    assert "[redacted]" in headers(request)["x-note"]
    assert OWN not in json.dumps(request)
    assert answer.json["received"] == int(headers(request)["content-length"]) == len('{"a": "[redacted]", "b": 2}')
    assert "redacted: the value of $MY_KEY" in d.activity()[-1]["reason"]


def ask(d: Bundle, *args: str) -> tuple[threading.Thread, list[Any]]:
    out: list[Any] = []
    thread = threading.Thread(target=lambda: out.append(d.curl("https://open.example/held?x=1", *args)))
    thread.start()
    return thread, out


@pytest.mark.parametrize("status", ["approved", "rejected"])
def test_ask_holds_the_request_for_the_operator(d: Bundle, web: Any, status: Any) -> None:
    mode(d, "ask")
    thread, out = ask(d, "-d", OWN)
    (one,), _ = until(lambda: (found := queue.proposals(d.folder / "queue"))[0] and found)
    assert isinstance(one.payload, HeldRequest)
    assert (one.kind, one.payload.method, one.payload.host, one.payload.path) == (
        "dlp-ask",
        "POST",
        "open.example",
        "/held",
    )
    assert "$MY_KEY" in one.payload.findings[0]
    assert OWN not in str(one)
    time.sleep(0.3)
    assert (out, web[0].seen) == ([], [])
    # Others are served meanwhile.
    assert d.curl("https://open.example/").status == 200
    (d.folder / "answers").mkdir(exist_ok=True)
    queue.put_response(d.folder / "answers", Response(one.id, status, "not that one"))
    thread.join(10)
    if status == "approved":
        assert out[0].json["received"] == len(OWN)
        assert "approved by the operator" in d.activity()[-1]["reason"]
    else:
        assert out[0].status == 403
        assert "the operator said no: not that one" in out[0].body
    assert queue.proposals(d.folder / "queue") == ((), ())


@pytest.mark.parametrize("end", ["client", "route"])
def test_a_held_request_ends_with_its_client_or_its_route(d: Bundle, web: Any, end: str) -> None:
    mode(d, "ask")
    with socket.create_connection(("127.0.0.1", d.port), 10) as sock:
        head = f"POST http://open.example/ HTTP/1.1\r\nHost: open.example\r\nContent-Length: {len(OWN)}\r\n\r\n{OWN}"
        sock.sendall(head.encode())
        until(lambda: queue.proposals(d.folder / "queue")[0])
        if end == "route":
            d.configure({**OPEN, "path_allowlist": ["/v1"], "dlp": "ask"})
            (one,), _ = queue.proposals(d.folder / "queue")
            (d.folder / "answers").mkdir(exist_ok=True)
            queue.put_response(d.folder / "answers", Response(one.id, "approved"))
            assert b" 403 " in sock.recv(4096)
    until(lambda: queue.proposals(d.folder / "queue") == ((), ()))
    assert d.curl("https://api.example/v1").status == (200 if end == "client" else 403)
    assert web[1].seen == []


@pytest.mark.parametrize(
    "args",
    [
        ["-H", "X-Api-Key: other-key-1"],
        ["-H", "Api-Key: other-key-1"],
        ["-H", "Private-Token: other-key-1"],
        ["-H", "X-Auth-Token: other-key-1"],
        ["-H", "Cookie: session=other-key-1"],
        ["-H", "Authorization: Basic other-key-1"],
    ],
    ids=lambda args: args[1].partition(":")[0],
)
def test_other_keys_in_headers_do_not_reach_a_host_with_auth(d: Bundle, web: Any, args: list[str]) -> None:
    assert d.curl("https://api.example/v1", *args).status == 200
    assert "other-key-1" not in json.dumps(web[0].seen)
    assert headers(web[0].seen[-1])["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("query", "args", "word"),
    [
        ("?api_key=other-1", [], "query parameter api_key"),
        ("?a=1&access%5Ftoken=other-1", [], "query parameter access_token"),
        ("", ["-d", "x=1&client_secret=other-1"], "body field client_secret"),
        ("", ["-H", "Content-Type: application/json", "-d", '{"a": 1, "api\\u005fkey": "other-1"}'], "body field api"),
        ("", ["-F", "token=other-1"], "body field token"),
    ],
)
def test_other_keys_elsewhere_are_refused(d: Bundle, web: Any, query: str, args: list[str], word: str) -> None:
    answer = d.curl(f"https://api.example/v1{query}", *args)
    assert answer.status == 403
    assert word in answer.body
    assert "only the bottle's credential passes there" in answer.body
    assert "other-1" not in answer.body
    assert web[0].seen == []


def compressed(how: str, data: bytes, python: str) -> bytes:
    if how == "gzip":
        return gzip.compress(data)
    module = {"br": "import brotli as m", "zstd": "import zstandard as m"}[how]
    code = f"{module}; import sys; sys.stdout.buffer.write(m.compress(sys.stdin.buffer.read()))"
    return subprocess.run([python, "-I", "-c", code], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("how", ["gzip", "br", "zstd"])
def test_compressed_bodies_are_scanned_and_bombs_refused(
    f: Bundle, web: Any, python: str, tmp_path: Path, how: str
) -> None:
    f.ask(op="secrets", protect={"MY_KEY": OWN})
    f.settle()
    body = tmp_path / "body"

    def send(data: bytes) -> Any:
        body.write_bytes(data)
        return f.curl("https://open.example/", "-H", f"Content-Encoding: {how}", "--data-binary", f"@{body}")

    assert "$MY_KEY" in send(compressed(how, b"text " * 100 + OWN.encode(), python)).body
    clean = compressed(how, b"text " * 100, python)
    # What was scanned is what is sent: there is no room for more behind the compressed data.
    assert send(clean).json["received"] == 500
    assert "content-encoding" not in headers(web[0].seen[-1])
    assert "it cannot be scanned" in send(b"not compressed at all").body
    bomb = compressed(how, b"\0" * (120 * MIB), python)
    before, started = f.peak_rss(), time.monotonic()
    refused = send(bomb)
    assert (refused.status, "expands beyond" in refused.body) == (403, True)
    assert time.monotonic() - started < 10
    assert f.peak_rss() - before < 320


def test_a_body_is_bounded_whether_its_size_is_said_or_not(f: Bundle, web: Any, tmp_path: Path) -> None:
    body = tmp_path / "body"
    with body.open("wb") as file:
        file.truncate(64 * MIB + 1)
    for args in ([], ["-H", "Transfer-Encoding: chunked"]):
        for http in ("--http1.1", "--http2"):
            answer = f.curl("https://open.example/up", http, "-T", str(body), *args)
            assert (answer.status, "larger than 64 MB" in answer.body) == (413, True)
    assert sum("larger than 64 MB" in line["reason"] for line in f.activity()) == 4
    assert web[0].seen[2:] == []
    with body.open("wb") as file:
        file.truncate(64 * MIB)
    assert f.curl("https://open.example/up", "-T", str(body)).json["received"] == 64 * MIB


def test_many_large_bodies_at_once_stay_bounded(f: Bundle, web: Any) -> None:
    head = f"POST http://open.example/ HTTP/1.1\r\nHost: open.example\r\nContent-Length: {60 * MIB}\r\n\r\n".encode()
    answers: list[bytes] = []

    def send() -> None:
        with socket.create_connection(("127.0.0.1", f.port), 30) as sock:
            sock.sendall(head)
            piece = b"some text of no interest\n" * 40960
            left = 60 * MIB
            try:
                while left:
                    left -= len(part := piece[:left])
                    sock.sendall(part)
            except OSError:
                pass
            sock.settimeout(60)
            answers.append(sock.recv(65536))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    codes = sorted(answer.split()[1] for answer in answers if answer)
    assert len(codes) == 8
    assert set(codes) <= {b"200", b"503"}
    assert b"503" in codes
    assert f.peak_rss() < 700
    assert f.curl("https://open.example/").status == 200
