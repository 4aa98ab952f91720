"""What a bundle does with real traffic. Run inside a namespace by `test_bundle.py`, never collected by itself."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bundle.rig import ROOT, Bundle, bundle, secret_holders, until
from tests.fake_upstream import Upstream, make_ca, make_leaf, upstream

PYTHON = os.environ["BOT_BOTTLE_TEST_BUNDLE_PYTHON"]
TOKEN = "sk-injected-0123456789"
AGENT = "sk-of-the-agent-9876543210"
OPEN = {"host": "open.example"}
API = {"host": "api.example", "path_allowlist": ["/v1"], "auth": {"scheme": "Bearer", "slot": "EGRESS_TOKEN_0"}}
HOSTS = ("open.example", "api.example", "evil.example", "private.example", "loop.example")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    make_ca(folder)
    return folder


@pytest.fixture(scope="module")
def servers(pki: Path) -> Iterator[tuple[Upstream, ...]]:
    leaf = make_leaf(pki, *HOSTS)
    with (
        upstream("203.0.113.10", 443, leaf) as public,
        upstream("203.0.113.10", 80) as plain,
        upstream("10.9.9.9", 443, leaf) as private,
        upstream("127.0.0.1", 443, leaf) as loop,
    ):
        yield public, plain, private, loop


@pytest.fixture
def web(servers: tuple[Upstream, ...]) -> tuple[Upstream, ...]:
    for server in servers:
        server.seen.clear()
    return servers


@pytest.fixture(scope="module")
def shared(pki: Path, servers: tuple[Upstream, ...]) -> Iterator[Bundle]:
    with bundle(PYTHON, {"BOT_BOTTLE_UPSTREAM_CA": str(pki / "ca.pem")}) as running:
        yield running


@pytest.fixture
def b(shared: Bundle) -> Bundle:
    assert shared.configure(OPEN, API, secrets={"EGRESS_TOKEN_0": TOKEN}) == "ready"
    return shared


def headers(request: Any) -> dict[str, str]:
    return {k.lower(): v for k, v in request["headers"]}


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_the_credential_is_injected_and_the_agent_s_own_never_arrives(b: Bundle, web: Any, http: str) -> None:
    own = ["-H", f"Authorization: Bearer {AGENT}", "-H", f"X-Api-Key: {AGENT}", "-H", f"Proxy-Authorization: {AGENT}"]
    answer = b.curl("https://api.example/v1/x?secret-query", http, *own, "-d", "body")
    assert answer.status == 200
    assert answer.json["received"] == 4
    (request,) = web[0].seen
    assert headers(request)["authorization"] == f"Bearer {TOKEN}"
    assert AGENT not in json.dumps(request)
    line = b.activity()[-1]
    assert (line["verdict"], line["host"], line["target"], line["status"]) == ("allow", "api.example", "/v1/x", 200)


def test_on_a_route_without_auth_the_agent_s_own_is_stripped_too(b: Bundle, web: Any) -> None:
    assert b.curl("https://open.example/", "-H", f"Authorization: {AGENT}").status == 200
    assert b.curl("http://open.example/", "-H", f"Authorization: {AGENT}").status == 200
    assert [AGENT in json.dumps(s.seen) for s in web[:2]] == [False, False]
    assert [len(s.seen) for s in web[:2]] == [1, 1]


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
@pytest.mark.parametrize(
    ("url", "args", "word"),
    [
        ("https://evil.example/x", [], "no route of bottle 'b-1' names it"),
        ("http://evil.example/x", [], "no route of bottle 'b-1' names it"),
        ("https://203.0.113.10/", [], "routes name hosts"),
        ("https://3405803786/", [], "routes name hosts"),
        ("https://open.example/", ["-H", "Host: evil.example"], "differs from the connected host"),
        ("https://evil.example/", ["-H", "Host: open.example"], "differs from the connected host"),
        ("https://api.example/v2", [], "the route allows /v1"),
        ("https://api.example/v1/../v2", ["--path-as-is"], "dot segment"),
        ("https://api.example/v1/%2e%2e/v2", ["--path-as-is"], "escaped dot"),
        ("http://api.example/v1", [], "never travels in clear"),
        ("https://open.example/r.git/info/refs?service=git-receive-pack", [], "git push"),
        ("https://open.example/r.git/git%2Dreceive-pack", ["-d", "x"], "git push"),
        ("https://open.example/", ["-X", "TRACE"], "TRACE"),
    ],
)
def test_refused_with_a_reason_and_never_sent(
    b: Bundle, web: Any, url: str, args: list[str], word: str, http: str
) -> None:
    answer = b.curl(url, http, *args)
    assert answer.status == 403
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.body.startswith("egress: ")
    assert word in answer.body
    assert [s.seen for s in web] == [[], [], [], []]
    assert b.activity()[-1]["verdict"] == "refuse"
    assert word in b.activity()[-1]["reason"]


def test_the_refused_host_is_alive_without_egress(b: Bundle, web: Any, pki: Path) -> None:
    argv = ["curl", "-sS", "--noproxy", "*", "--cacert", str(pki / "ca.pem"), "https://evil.example/x"]
    assert subprocess.run(argv, capture_output=True, timeout=10).returncode == 0
    assert len(web[0].seen) == 1


def test_a_tunnel_to_another_port_is_refused(b: Bundle) -> None:
    answer = b.raw(b"CONNECT open.example:22 HTTP/1.1\r\nHost: open.example:22\r\n\r\n")
    assert answer.startswith("HTTP/1.1 403")
    assert "egress: port 22" in answer
    assert b.activity()[-1]["method"] == "CONNECT"


@pytest.mark.parametrize("sni", ["evil.example", "api.example"])
def test_a_tls_name_of_another_host_is_refused(b: Bundle, web: Any, sni: str) -> None:
    request = b"GET /v1 HTTP/1.1\r\nHost: open.example\r\nConnection: close\r\n\r\n"
    assert "TLS name" in b.raw(request, "open.example", sni)
    fronted = request.replace(b"open.example", sni.encode())
    assert "differs from the connected host" in b.raw(fronted, "open.example", sni)
    assert web[0].seen == []


@pytest.mark.parametrize(
    "request_",
    [
        "GET /v1 HTTP/1.1\r\nHost: api.example\r\nHost: evil.example\r\n\r\n",
        "POST /v1 HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v1 HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /v1 HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5, 5\r\n\r\nhello",
        "GET /v1 HTTP/1.1\r\nHost: api.example\r\nX-A: b\x00c\r\n\r\n",
        "GET /v1 HTTP/1.1\r\nHost: api.example\r\nX-A: b\r\n folded\r\n\r\n",
        "GET /v1 HTTP/1.1\r\nHost : api.example\r\n\r\n",
        "GET https://evil.example/v1 HTTP/1.1\r\nHost: api.example\r\n\r\n",
        "GET /v1 HTTP/1.1\r\n\r\n",
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "nonsense\r\n\r\n",
        "GET /v1\r\n\r\n",
        "SSH-2.0-OpenSSH_9\r\n\r\n",
    ],
)
@pytest.mark.parametrize("tunnel", ["api.example", ""])
def test_smuggling_is_refused_in_plain_text(b: Bundle, web: Any, request_: str, tunnel: str) -> None:
    answer = b.raw(request_.encode("latin-1"), tunnel)
    if not tunnel and request_.startswith("CONNECT"):
        assert " 200 " in answer.split("\r\n")[0]
    else:
        assert answer.split(" ")[1] in ("400", "403"), answer
        assert "\r\n\r\negress: " in answer
        assert "<html" not in answer.lower()
    assert [s.seen for s in web] == [[], [], [], []]


def test_a_body_without_a_length_is_not_the_next_request(b: Bundle, web: Any, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.write_text(f"GET /v2 HTTP/1.1\r\nHost: api.example\r\nAuthorization: {AGENT}\r\n\r\n")
    with hidden.open() as body:
        answer = b.curl("https://api.example/v1", "--http2", "-X", "POST", "-T", "-", stdin=body)
    assert answer.json["received"] == hidden.stat().st_size
    assert [r["path"] for r in web[0].seen] == ["/v1"]


def test_server_sent_events_arrive_one_by_one(b: Bundle, web: Any) -> None:
    with socket.create_connection(("127.0.0.1", b.port), 10) as sock:
        sock.sendall(b"GET http://open.example/sse HTTP/1.1\r\nHost: open.example\r\n\r\n")
        times: list[float] = []
        seen = b""
        while seen.count(b"data: ") < 5:
            part = sock.recv(4096)
            assert part
            seen += part
            times += [time.monotonic()] * part.count(b"data: ")
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert all(0.1 < gap < 0.6 for gap in gaps), gaps


def test_bodies_stream_and_memory_stays_bounded(b: Bundle, web: Any, tmp_path: Path) -> None:
    b.curl("https://open.example/")
    before = b.peak_rss()
    for http in ("--http1.1", "--http2"):
        args = ["-o", "/dev/null", "-D", "/dev/stdout", "-w", "%{size_download}"]
        assert b.curl("https://open.example/big?100", http, *args, timeout=60).body == str(100 * 1024 * 1024)
    body = tmp_path / "body"
    with body.open("wb") as file:
        file.truncate(60 * 1024 * 1024)
    for args in (["-T", str(body)], ["-T", str(body), "-H", "Transfer-Encoding: chunked"]):
        assert b.curl("https://open.example/up", *args).json["received"] == body.stat().st_size
        refused = b.curl("https://evil.example/up", *args)
        assert refused.status == 403
    assert b.peak_rss() - before < 60


def test_a_refused_upload_is_answered_before_its_body(b: Bundle) -> None:
    with socket.create_connection(("127.0.0.1", b.port), 10) as sock:
        sock.sendall(b"POST http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000000\r\n\r\n")
        sock.settimeout(5)
        seen = b""
        while b"egress: host evil.example" not in seen:
            part = sock.recv(65536)
            assert part, seen
            seen += part


def test_websockets_pass(b: Bundle, web: Any) -> None:
    upgrade = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    mask, text = b"abcd", b"over the wall"
    frame = bytes([0x81, 0x80 | len(text)]) + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(text))
    with socket.create_connection(("127.0.0.1", b.port), 10) as sock:
        sock.sendall(f"GET http://open.example/ws HTTP/1.1\r\nHost: open.example\r\n{upgrade}{key}\r\n".encode())
        reader = sock.makefile("rb")
        assert b" 101 " in reader.readline()
        while reader.readline().strip():
            pass
        for _ in range(2):
            sock.sendall(frame)
            assert reader.read(2 + len(text)) == bytes([0x81, len(text)]) + text
    assert b.activity()[-1]["status"] == 101


def test_addresses_that_are_not_public(b: Bundle, web: Any) -> None:
    private, loop = {"host": "private.example"}, {"host": "loop.example"}
    b.configure(private, loop)
    for host, address in (("private.example", "10.9.9.9 (private)"), ("loop.example", "127.0.0.1 (loopback)")):
        answer = b.curl(f"https://{host}/")
        assert answer.status == 403
        assert address in answer.body
        assert b.activity()[-1]["verdict"] == "refuse"
    assert [s.seen for s in web] == [[], [], [], []]
    b.configure({**private, "ssrf_ip_allowlist": ["10.9.9.0/24"]}, loop)
    assert b.curl("https://private.example/").status == 200
    assert b.curl("https://loop.example/").status == 403
    assert [len(s.seen) for s in web] == [0, 0, 1, 0]


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
@pytest.mark.parametrize(
    ("host", "word"),
    [("dead.example", "refused"), ("unknown.example", "cannot be resolved"), ("wrong.example", "verify")],
)
def test_an_upstream_that_cannot_be_reached(b: Bundle, web: Any, host: str, word: str, http: str) -> None:
    b.configure({"host": host})
    answer = b.curl(f"https://{host}/", http)
    assert answer.status == 502
    assert answer.body.startswith(f"egress: host {host} cannot be reached")
    assert word in answer.body
    assert answer.body.count("\n") == 1
    assert web[0].seen == []
    assert b.activity()[-1]["verdict"] == "error"


def test_introspection(b: Bundle) -> None:
    answer = b.curl("http://_egress.local/allowlist")
    assert answer.json == {"routes": [OPEN, API]}
    assert TOKEN not in answer.body
    assert b.curl("http://_egress.local/else").status == 404


def test_head_and_reuse_of_a_connection(b: Bundle) -> None:
    assert b.curl("https://evil.example/", "-I").body == ""
    one = "HEAD http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    two = "GET http://_egress.local/allowlist HTTP/1.1\r\nHost: _egress.local\r\nConnection: close\r\n\r\n"
    first, second = b.raw((one + two).encode()).split("HTTP/1.1 ")[1:]
    assert (first[:3], second[:3]) == ("403", "200")


def test_rules_change_on_open_connections(b: Bundle, web: Any) -> None:
    with socket.create_connection(("127.0.0.1", b.port), 10) as sock:
        reader = sock.makefile("rb")

        def status() -> int:
            sock.sendall(b"HEAD http://open.example/ HTTP/1.1\r\nHost: open.example\r\n\r\n")
            code = int(reader.readline().split()[1])
            while reader.readline().strip():
                pass
            return code

        assert status() == 200
        b.configure(API)
        assert status() == 403
    assert len(web[1].seen) == 1


def test_needs_credentials_then_gets_them(b: Bundle, web: Any) -> None:
    route = {"host": "open.example", "auth": {"scheme": "token", "slot": "EGRESS_TOKEN_7"}}
    assert b.configure(route) == "needs-credentials"
    assert "needs credentials" in b.curl("https://open.example/").body
    assert web[0].seen == []
    assert b.ask(op="secrets", values={"EGRESS_TOKEN_7": "seven"}) == {"ok": True}
    assert b.settle() == "ready"
    assert b.curl("https://open.example/").json["headers"]["Authorization"] == "token seven"
    assert b.ask(op="secrets", values={"EGRESS_TOKEN_7": ""}) == {"ok": True}
    assert b.settle() == "needs-credentials"


def test_killed_egress_comes_back_configured_and_nothing_passes_meanwhile(b: Bundle, web: Any) -> None:
    ca = b.ask(op="hello")["ca"]
    for _ in range(2):
        pid = b.egress_pid
        os.kill(pid, signal.SIGKILL)
        results: list[tuple[int, str]] = []

        def knock(results: list[tuple[int, str]] = results) -> None:
            for url in ("https://evil.example/", "https://api.example/v1", "https://api.example/v2") * 4:
                argv = ["curl", "-s", "-m", "10", "-x", f"http://127.0.0.1:{b.port}", "--cacert", str(b.ca), url]
                done = subprocess.run(argv, capture_output=True, text=True)
                results.append((done.returncode, url + " " + done.stdout))

        thread = threading.Thread(target=knock)
        thread.start()
        thread.join(60)
        assert b.settle() == "ready"
        assert b.egress_pid != pid
        allowed = [out for code, out in results if code == 0 and "/v1" in out]
        assert any(TOKEN in out for out in allowed)
    assert {headers(r)["authorization"] for r in web[0].seen} == {f"Bearer {TOKEN}"}
    assert {r["path"] for r in web[0].seen} == {"/v1"}
    assert b.ask(op="hello")["ca"] == ca
    assert b.ask(op="health")["daemons"]["egress"]["restarts"] >= 2
    assert "[init] egress ended with 137" in b.log


def test_restart_reload_and_mistakes(b: Bundle) -> None:
    pid = b.egress_pid
    assert b.ask(op="restart", daemon="egress") == {"ok": True}
    until(lambda: b.egress_pid not in (0, pid))
    assert b.settle() == "ready"
    assert b.ask(op="reload") == {"ok": True}
    assert "no daemon 'pipelock'" in b.ask(op="restart", daemon="pipelock")["error"]
    assert "routes name hosts" in b.ask(op="configure", config={"routes": [{"host": "1.2.3.4"}]})["error"]
    os.kill(b.process.pid, signal.SIGUSR1)
    os.kill(b.process.pid, signal.SIGHUP)
    assert b.settle() == "ready"
    assert b.curl("https://open.example/").status == 200


def test_no_secret_stands_anywhere(b: Bundle, web: Any) -> None:
    b.curl("https://api.example/v1?key=s3cret-query", "-H", f"Authorization: {AGENT}")
    assert web[0].seen
    files = [p for p in b.folder.rglob("*") if p.is_file()]
    assert len(files) >= 3
    assert secret_holders([TOKEN, AGENT, "s3cret-query"], [b.process.pid, b.egress_pid], files) == []
    assert {oct(p.stat().st_mode & 0o77) for p in files if p.name not in ("log", "agent-ca.pem")} == {"0o0"}


def test_a_bug_in_the_rules_refuses(pki: Path, web: Any) -> None:
    script = ROOT / "tests" / "e2e" / "bundle" / "broken_rules.py"
    with bundle(PYTHON, {"BOT_BOTTLE_UPSTREAM_CA": str(pki / "ca.pem")}, script) as running:
        assert running.configure(OPEN) == "ready"
        for url in ("https://open.example/", "http://open.example/"):
            for args in ([], ["--http2"], ["-d", "x"]):
                answer = running.curl(url, *args)
                assert answer.status == 403
                assert answer.body.startswith("egress: the request could not be judged")
        assert [s.seen for s in web] == [[], [], [], []]
        assert "RuntimeError" in running.log
        assert "s3cret" not in running.log
        assert "Traceback" not in running.log


def test_a_container_s_way(pki: Path, web: Any, tmp_path: Path) -> None:
    routes = tmp_path / "routes.yaml"
    routes.write_text(json.dumps({"routes": [API]}))
    env = {
        "BOT_BOTTLE_UPSTREAM_CA": str(pki / "ca.pem"),
        "BOT_BOTTLE_ROUTES": str(routes),
        "BOT_BOTTLE_SLUG": "c-1",
        "EGRESS_LISTEN_HOST": "127.0.0.1",
        "EGRESS_TOKEN_0": TOKEN,
        "BOT_BOTTLE_SIDECAR_DAEMONS": " egress , nonsense",
    }
    with bundle(PYTHON, env, listen=False) as running:
        running.port = 9099
        assert running.settle() == "ready"
        assert running.curl("https://api.example/v1").json["headers"]["Authorization"] == f"Bearer {TOKEN}"
        assert running.curl("https://open.example/").status == 403
        assert secret_holders([TOKEN], [running.egress_pid], list(running.folder.rglob("*"))) == []
        routes.write_text(json.dumps({"routes": [OPEN]}))
        running.process.send_signal(signal.SIGHUP)
        until(lambda: running.curl("https://open.example/").status == 200)
        routes.write_text("{")
        running.process.send_signal(signal.SIGHUP)
        until(lambda: "cannot use" in running.log)
        assert running.curl("https://open.example/").status == 200
        assert "unknown daemon 'nonsense' ignored" in running.log


def test_tcp_is_only_listened_on_when_asked(pki: Path) -> None:
    with bundle(PYTHON, {"EGRESS_LISTEN_HOST": "127.0.0.1"}, listen=False) as running:
        assert running.settle() == "unconfigured"
        config = {"slug": "b", "routes": [OPEN]}
        assert "no listening socket" in running.ask(op="configure", config=config)["error"]
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", 9099), 1)
        running.port = 9099
        assert running.configure(OPEN, listen="tcp") == "ready"
        assert running.curl("https://evil.example/").status == 403
        assert running.configure(API, listen="tcp") == "needs-credentials"


def test_the_lifeline_ends_everything() -> None:
    with bundle(PYTHON) as running:
        running.configure(OPEN)
        pid = running.egress_pid
        spare = os.open("/dev/null", os.O_RDONLY)
        os.dup2(spare, running.lifeline)
        os.close(spare)
        assert running.process.wait(10) == 0
        assert not Path(f"/proc/{pid}").exists()
        assert not (running.folder / "control").exists()


def test_sigterm_and_shutdown_end_with_zero() -> None:
    with bundle(PYTHON) as running:
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 0
    with bundle(PYTHON) as running:
        running.configure(OPEN)
        assert running.ask(op="shutdown") == {"ok": True}
        assert running.process.wait(10) == 0


def test_without_daemons_it_idles() -> None:
    with bundle(PYTHON, {"BOT_BOTTLE_SIDECAR_DAEMONS": ""}) as running:
        assert running.ask(op="health") == {"ok": True, "daemons": {}}
        assert "no daemons selected" in running.log
        assert running.process.poll() is None
