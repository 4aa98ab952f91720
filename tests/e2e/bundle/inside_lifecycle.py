"""Configuration, credentials, deaths and ends of a bundle, with real processes.

Run inside a namespace by `test_bundle.py`, never collected by itself.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bundle.rig import AGENT, API, OPEN, ROOT, TOKEN, Bundle, bundle, headers, secret_holders, until
from tests.fake_upstream import digest


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
        b.configure(API, {"host": "open.example", "path_allowlist": ["/v1"]})
        assert status() == 403
        b.configure(OPEN, API)
        assert status() == 200
        b.configure(API)
        assert reader.read() == b""
    assert len(web[1].seen) == 2
    assert "the routes no longer allow it" in b.activity()[-1]["reason"]


def test_rules_change_while_connections_end_by_themselves(b: Bundle, web: Any) -> None:
    pid = b.egress_pid
    for _ in range(5):
        b.configure(OPEN, API)
        agents = [socket.create_connection(("127.0.0.1", b.port), 10) for _ in range(40)]
        for agent in agents:
            agent.sendall(b"GET http://open.example/ HTTP/1.1\r\nHost: open.example\r\n\r\n")
        for agent in agents:
            assert b" 200 " in agent.recv(4096)
        for agent in agents:
            agent.close()
        assert b.configure(API) == "ready"
    assert b.egress_pid == pid


def test_needs_credentials_then_gets_them(b: Bundle, web: Any) -> None:
    route = {"host": "open.example", "auth": {"scheme": "token", "slot": "EGRESS_TOKEN_7"}}
    assert b.configure(route) == "needs-credentials"
    assert "needs credentials" in b.curl("https://open.example/").body
    assert web[0].seen == []
    assert b.ask(op="secrets", values={"EGRESS_TOKEN_7": "seven"}) == {"ok": True}
    assert b.settle() == "ready"
    assert b.curl("https://open.example/").seen("authorization") == digest("token seven")
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
        assert any(digest(f"Bearer {TOKEN}") in out for out in allowed)
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
    b.curl("https://api.example/v1?q=s3cret-query", "-H", f"Authorization: {AGENT}")
    assert web[0].seen
    files = [p for p in b.folder.rglob("*") if p.is_file()]
    assert len(files) >= 3
    assert secret_holders([TOKEN, AGENT, "s3cret-query"], [b.process.pid, b.egress_pid], files) == []
    assert {oct(p.stat().st_mode & 0o77) for p in files if p.name not in ("log", "agent-ca.pem")} == {"0o0"}


def test_a_bug_in_the_rules_refuses(python: str, pki: Path, web: Any) -> None:
    script = ROOT / "tests" / "e2e" / "bundle" / "broken_rules.py"
    with bundle(python, {"BOT_BOTTLE_UPSTREAM_CA": str(pki / "ca.pem")}, script) as running:
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


def test_a_container_s_way(python: str, pki: Path, web: Any, tmp_path: Path) -> None:
    routes = tmp_path / "routes.yaml"
    routes.write_text(json.dumps({"routes": [API]}))
    env = {
        "BOT_BOTTLE_UPSTREAM_CA": str(pki / "ca.pem"),
        "BOT_BOTTLE_ROUTES": str(routes),
        "BOT_BOTTLE_SLUG": "c-1",
        "EGRESS_LISTEN_HOST": "127.0.0.1",
        "EGRESS_TOKEN_0": TOKEN,
        "BOT_BOTTLE_SIDECAR_DAEMONS": " egress , nonsense",
        "SSLKEYLOGFILE": str(tmp_path / "keys"),
    }
    with bundle(python, env, listen=False) as running:
        running.port = 9099
        assert running.settle() == "ready"
        assert running.curl("https://api.example/v1").seen("authorization") == digest(f"Bearer {TOKEN}")
        assert running.curl("https://open.example/").status == 403
        assert secret_holders([TOKEN], [running.egress_pid], list(running.folder.rglob("*"))) == []
        assert not (tmp_path / "keys").exists()
        assert resource.prlimit(running.egress_pid, resource.RLIMIT_CORE) == (0, 0)
        routes.write_text(json.dumps({"routes": [OPEN]}))
        running.process.send_signal(signal.SIGHUP)
        until(lambda: running.curl("https://open.example/").status == 200)
        routes.write_text("{")
        running.process.send_signal(signal.SIGHUP)
        until(lambda: "cannot use" in running.log)
        assert running.curl("https://open.example/").status == 200
        assert "unknown daemon 'nonsense' ignored" in running.log


def test_tcp_is_only_listened_on_when_asked(python: str, pki: Path) -> None:
    with bundle(python, {"EGRESS_LISTEN_HOST": "127.0.0.1"}, listen=False) as running:
        assert running.settle() == "unconfigured"
        config = {"slug": "b", "routes": [OPEN]}
        assert "no listening socket" in running.ask(op="configure", config=config)["error"]
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", 9099), 1)
        running.port = 9099
        assert running.configure(OPEN, listen="tcp") == "ready"
        assert running.curl("https://evil.example/").status == 403
        assert running.configure(API, listen="tcp") == "needs-credentials"


def test_the_lifeline_ends_everything(python: str) -> None:
    with bundle(python) as running:
        running.configure(OPEN)
        pid = running.egress_pid
        spare = os.open("/dev/null", os.O_RDONLY)
        os.dup2(spare, running.lifeline)
        os.close(spare)
        assert running.process.wait(10) == 0
        assert not Path(f"/proc/{pid}").exists()
        assert not (running.folder / "control").exists()


def test_sigterm_and_shutdown_end_with_zero(python: str) -> None:
    with bundle(python) as running:
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 0
    with bundle(python) as running:
        running.configure(OPEN)
        assert running.ask(op="shutdown") == {"ok": True}
        assert running.process.wait(10) == 0


def test_without_daemons_it_idles(python: str) -> None:
    with bundle(python, {"BOT_BOTTLE_SIDECAR_DAEMONS": ""}) as running:
        assert running.ask(op="health") == {"ok": True, "daemons": {}}
        assert "no daemons selected" in running.log
        assert running.process.poll() is None
