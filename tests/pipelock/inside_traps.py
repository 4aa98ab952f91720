"""The twelve traps of pipelock v2.3.0: each is there with its defaults, and our configuration or code avoids it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import time
from pathlib import Path

import pytest

from sidecar_bundle.pipelock.audit import entry
from sidecar_bundle.shared.routes import Route
from tests.fake_upstream import Upstream
from tests.pipelock.conftest import Start
from tests.pipelock.running import GITHUB, HOST, KNOWN, changed, generated, until

BASIC = "Basic " + base64.b64encode(f"user:{KNOWN}".encode()).decode()


def seen(web: Upstream, name: str) -> str:
    headers = web.seen[-1]["headers"]
    assert isinstance(headers, list)
    return str({k.lower(): v for k, v in headers}[name])


@pytest.mark.parametrize("value", [f"Bearer {GITHUB}", f"token {KNOWN}", BASIC], ids=["bearer", "known", "basic"])
def test_1_what_egress_injects_is_a_leak_unless_its_headers_are_left_out(
    start: Start, folder: Path, web: Upstream, value: str
) -> None:
    ours = start()
    assert ours.ask(authorization=value)[0] == 200
    assert seen(web, "authorization") == value
    assert ours.ask(x_other=value)[0] == 403
    ours.process.terminate()
    ours.process.wait(5)
    part = "request_body_scanning__"
    default = start(changed(generated(folder), **{f"{part}header_mode": "sensitive", f"{part}ignore_headers": None}))
    assert default.ask(authorization=value)[:2] == (403, "blocked: request header contains secret")


def test_2_a_tunnel_serves_many_requests_only_without_sni_verification(start: Start, folder: Path) -> None:
    ours = start()
    with contextlib.closing(ours.tunnel()) as tunnel:
        for _ in range(100):
            tunnel.request("GET", "/")
            assert tunnel.getresponse().read()
    assert len(ours.audit("tunnel_open")) == 1
    ours.process.terminate()
    ours.process.wait(5)
    default = start(changed(generated(folder), forward_proxy__sni_verification=None))
    with contextlib.closing(default.tunnel()) as tunnel:
        tunnel.request("GET", "/")
        answer = tunnel.getresponse()
        assert answer.read()
        assert answer.getheader("Connection") is None
        with pytest.raises((http.client.HTTPException, OSError)):
            tunnel.request("GET", "/")
            tunnel.getresponse()


def test_3_large_bodies_are_slow_but_pass(start: Start, folder: Path) -> None:
    # Its speed is the real program's alone; that size is no reason to refuse is ours.
    body = b"x " * (3 << 20)
    assert start().ask("/", body)[0] == 200


def test_3_without_our_sizes_they_are_refused(start: Start, folder: Path) -> None:
    default = changed(
        generated(folder), request_body_scanning__max_body_bytes=None, tls_interception__max_response_bytes=None
    )
    pipelock = start(default)
    assert pipelock.ask("/", b"x " * (3 << 20))[0] == 403
    assert pipelock.ask("/big?6")[:2] == (403, "blocked: response too large for scanning")


def test_4_response_scanning_that_is_off_blocks_more_than_a_warning(start: Start, folder: Path) -> None:
    ours = start()
    assert ours.ask("/instruction")[0] == 200
    found = until(lambda: ours.audit("response_scan"))
    assert found[0]["action"] == "warn"
    ours.process.terminate()
    ours.process.wait(5)
    off = start(changed(generated(folder), response_scanning={"enabled": False}))
    assert off.ask("/instruction")[:2] == (403, "blocked: response contains injection")


def test_5_compressed_bodies_are_refused_both_ways(start: Start, web: Upstream) -> None:
    # So egress decodes requests before, and asks for identity.
    ours = start()
    status, body, _ = ours.ask("/", b"\x1f\x8b" + bytes(20), content_encoding="gzip")
    assert (status, body.startswith("blocked: ")) == (403, True)
    assert web.seen == []
    assert ours.ask("/gzip")[:2] == (403, "blocked: compressed response cannot be scanned")
    assert ours.ask("/", accept_encoding="gzip")[0] == 200
    assert seen(web, "accept-encoding") == "identity"


def test_6_a_reload_does_not_reach_an_open_tunnel_but_the_kill_switch_does(start: Start, folder: Path) -> None:
    ours = start(generated(folder, (HOST, "other.example")))
    with contextlib.closing(ours.tunnel()) as tunnel:
        tunnel.request("GET", "/")
        assert tunnel.getresponse().read()
        ours.rewrite(generated(folder, ("other.example",)))
        until(lambda: ours.audit("config_reload"))
        assert b"403" in ours.connect(f"{HOST}:443")
        tunnel.request("GET", "/")
        answer = tunnel.getresponse()
        assert answer.read()
        assert answer.status == 200
        (folder / "KILL").touch()
        tunnel.request("GET", "/")
        assert tunnel.getresponse().status == 503


def test_7_what_it_allows_is_no_verdict(start: Start) -> None:
    ours = start()
    assert ours.ask("/path?q=1")[0] == 200
    until(lambda: ours.audit("tunnel_close"))
    events = {line["event"] for line in ours.audit()}
    assert "anomaly" in events
    assert "forward_http" not in events
    assert [entry(line, (Route(HOST),), ()) for line in ours.audit_lines()] == [None] * len(ours.audit_lines())


def test_8_the_audit_log_holds_the_secret_and_our_activity_does_not(start: Start) -> None:
    ours = start()
    assert ours.ask(f"/p/{GITHUB}?q={GITHUB}")[0] == 403
    until(lambda: ours.audit("blocked"))
    assert any(GITHUB.encode() in line for line in ours.audit_lines())
    found = [e for line in ours.audit_lines() if (e := entry(line, (Route(HOST),), (KNOWN,)))]
    assert [(e.verdict, e.host, e.status) for e in found] == [("refuse", HOST, 403)]
    assert GITHUB not in repr(found)


def test_9_a_refused_connect_says_why(start: Start) -> None:
    # mitmproxy would keep this from the agent; egress decides on hosts before, and passes this text on.
    answer = start().connect("evil.example:443")
    assert answer.startswith(b"HTTP/1.1 403")
    assert answer.endswith(b"CONNECT blocked: domain not in allowlist: evil.example")


def arrivals(answer: http.client.HTTPResponse) -> list[float]:
    start, out = time.monotonic(), []
    while line := answer.readline():
        if line.strip():
            out.append(time.monotonic() - start)
    return out


def test_10_only_events_stream(start: Start) -> None:
    ours = start()
    for path, streams in (("/events", True), ("/lines", False)):
        with contextlib.closing(ours.tunnel()) as tunnel:
            tunnel.request("GET", path)
            times = arrivals(tunnel.getresponse())
        assert len(times) == 4
        assert (times[-1] - times[0] > 0.6) is streams, (path, times)


def test_11_a_websocket_does_not_survive(start: Start, web: Upstream) -> None:
    # So egress dials these past it.
    websocket = {"connection": "Upgrade", "upgrade": "websocket", "sec_websocket_key": "x" * 22 + "=="}
    assert start().ask("/ws", **websocket)[0] == 200
    assert "upgrade" not in repr(web.seen[-1]["headers"]).lower().replace("upgrade-insecure", "")


def test_12_it_uses_no_proxy_of_its_own(start: Start, web: Upstream) -> None:
    # A proxy that nobody serves: whoever used it would fail.
    nobody = "http://127.0.0.1:9"
    ours = start(HTTPS_PROXY=nobody, HTTP_PROXY=nobody, https_proxy=nobody, http_proxy=nobody)
    assert ours.ask("/")[0] == 200
    assert len(web.seen) == 1
