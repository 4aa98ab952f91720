"""What else we count on in pipelock v2.3.0: its start, its rules, reloads, kill switch, log, and where it dials."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from sidecar_bundle.shared.routes import Route
from tests.fake_upstream import Upstream
from tests.pipelock.conftest import Start
from tests.pipelock.running import (
    GITHUB,
    HOST,
    KNOWN,
    PORT,
    changed,
    check,
    generated,
    make_ca,
    prepare,
    refused_start,
    until,
)

SEED = "abandon " * 11 + "about"


def test_our_configuration_passes_its_check_and_its_start(start: Start, program: Path, folder: Path) -> None:
    assert check(program, folder, generated(folder)) == 0
    health = start().health()
    assert health["mode"] == "strict"
    assert health["status"] and health["version"]
    done = subprocess.run([program, "healthcheck", "--addr", f"127.0.0.1:{PORT}"], capture_output=True, timeout=10)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"surprise": 1}, "surprise"),
        ({"forward_proxy__surprise": 1}, "surprise"),
        ({"api_allowlist": []}, "api_allowlist"),
    ],
    ids=["top", "section", "empty"],
)
def test_a_configuration_with_a_fault_is_refused(
    program: Path, folder: Path, change: dict[str, object], says: str
) -> None:
    code, said = refused_start(program, folder, changed(generated(folder), **change))
    assert code == 1
    assert says in said


def test_only_a_private_sec1_key_will_do(program: Path, folder: Path) -> None:
    _, key = make_ca(folder)
    key.chmod(0o644)
    assert refused_start(program, folder, generated(folder))[0] == 1
    key.chmod(0o600)
    other = folder / "pkcs8.pem"
    subprocess.run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", key, "-out", other], check=True, timeout=10)
    other.chmod(0o600)
    values = changed(generated(folder), tls_interception__ca_key=str(other))
    # Its own check does not look.
    assert check(program, folder, values) == 0
    assert refused_start(program, folder, values)[0] == 1


def test_a_port_in_use_ends_it(program: Path, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", PORT)):
        assert refused_start(program, folder, generated(folder))[0] == 1


def test_sigterm_ends_it_with_0(start: Start) -> None:
    ours = start()
    ours.process.terminate()
    assert ours.process.wait(5) == 0


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (f'{{"text": "my {GITHUB}"}}', "application/json", "GitHub Token"),
        (f"a={GITHUB}", "application/x-www-form-urlencoded", "GitHub Token"),
        (f"text {KNOWN}", "text/plain", "Known Secret Leak"),
        (base64.b64encode(KNOWN.encode()).decode(), "text/plain", "Known Secret Leak"),
    ],
    ids=["json", "form", "known", "base64"],
)
def test_a_secret_in_a_body(start: Start, web: Upstream, body: str, kind: str, says: str) -> None:
    status, said, headers = start().ask("/", body.encode(), content_type=kind)
    assert (status, said) == (403, f"blocked: request body contains secret: {says}")
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"
    assert web.seen == []


def test_a_body_that_is_no_json_is_refused(start: Start) -> None:
    assert start().ask("/", b"{", content_type="application/json")[0] == 403


def test_a_secret_in_a_url(start: Start) -> None:
    ours = start()
    assert ours.ask(f"/?q={GITHUB}")[1].startswith("blocked: core DLP match: GitHub Token")
    assert ours.ask(f"/?q={KNOWN}")[0] == 403
    assert ours.ask("/?q=nothing")[0] == 200


@pytest.mark.parametrize("on", [False, True], ids=["off", "on"])
def test_seed_phrases(start: Start, folder: Path, on: bool) -> None:
    ours = start(generated(folder, seed_phrases=on))
    assert ours.ask("/", SEED.encode(), content_type="text/plain")[0] == (403 if on else 200)


def test_entropy(start: Start, folder: Path) -> None:
    query = "/?state=" + base64.urlsafe_b64encode(bytes(range(0, 250, 5))).decode().rstrip("=")
    ours = start()
    assert ours.ask(query)[0] == 200
    ours.process.terminate()
    ours.process.wait(5)
    default = start(changed(generated(folder), fetch_proxy__monitoring__entropy_threshold=None))
    assert default.ask(query)[1].startswith("blocked: high entropy")


def test_media(start: Start, folder: Path) -> None:
    ours = start()
    assert ours.ask("/image")[0] == 200
    ours.process.terminate()
    ours.process.wait(5)
    default = start(changed(generated(folder), media_policy=None))
    assert default.ask("/image")[0] == 403


def test_an_event_with_a_finding_ends_the_stream_unless_it_is_a_warning(start: Start, folder: Path) -> None:
    ours = start()
    assert "data: 2" in ours.ask("/bad-event")[1]
    ours.process.terminate()
    ours.process.wait(5)
    default = start(changed(generated(folder), response_scanning__sse_streaming=None))
    status, body, _ = default.ask("/bad-event")
    assert (status, "data: 0" in body, "data: 2" in body) == (200, True, False)


def test_a_long_tunnel_is_cut_by_default_and_not_by_ours(start: Start, folder: Path) -> None:
    values = generated(folder)
    assert values["forward_proxy"]["max_tunnel_seconds"] >= 86400
    short = start(changed(values, forward_proxy__max_tunnel_seconds=1))
    began = time.monotonic()
    with contextlib.suppress(Exception), contextlib.closing(short.tunnel()) as tunnel:
        tunnel.request("GET", "/slow?8")
        tunnel.getresponse().read()
    assert time.monotonic() - began < 6


def test_passthrough_is_not_decrypted_and_its_wildcard_has_our_meaning(start: Start, folder: Path, pki: Path) -> None:
    wild = Route("*.open.example", tls_passthrough=True)
    ours = start(generated(folder, (HOST, wild)))
    for host, ca in (("sub.open.example", pki / "ca.pem"), (HOST, folder / "ca-cert.pem")):
        with contextlib.closing(ours.tunnel(host, ca)) as tunnel:
            tunnel.request("POST", "/", GITHUB.encode())
            assert tunnel.getresponse().status == (200 if host != HOST else 403)


def test_a_wildcard_of_the_allowlist_matches_the_name_itself_too(start: Start, folder: Path) -> None:
    # Wider than ours: egress decides.
    ours = start(generated(folder, ("*.open.example",)))
    assert ours.ask("/", host="sub.open.example")[0] == 200
    assert ours.ask("/", host=HOST)[0] == 200
    assert b" 403 " in ours.connect("other.example:443")


def test_private_addresses_need_the_routes_word(start: Start, folder: Path) -> None:
    ours = start(generated(folder, ("loop.example",)))
    assert b" 403 " in ours.connect("loop.example:443")
    ours.process.terminate()
    ours.process.wait(5)
    routes = (Route("loop.example", ssrf_ip_allowlist=("127.0.0.0/8",)),)
    assert start(generated(folder, routes)).ask("/", host="loop.example")[0] == 200


def test_an_upstream_that_is_not_trusted_and_one_that_is_dead(start: Start, folder: Path) -> None:
    ours = start(generated(folder, (HOST, "dead.example")), trust=False)
    assert ours.ask("/")[0] == 502
    assert b" 502 " in ours.connect("dead.example:443")


def test_plain_http(start: Start, web: Upstream) -> None:
    ours = start()
    get = f"GET http://{HOST}/p?q=1&agent=x HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
    assert b" 200 " in ours.raw(get.encode()).partition(b"\r\n")[0]
    # Its own parameter goes.
    assert web.seen[-1]["path"] == "/p?q=1"
    body = f"t={GITHUB}"
    post = f"POST http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    assert b" 403 " in ours.raw(post.encode()).partition(b"\r\n")[0]
    assert b" 403 " in ours.raw(get.replace(HOST, "evil.example").encode()).partition(b"\r\n")[0]


def test_a_request_for_another_host_inside_a_tunnel(start: Start) -> None:
    assert start().ask("/", host=HOST, Host="other.example")[0] == 403


def test_a_reload_is_taken_soon_and_confirmed_by_its_hash(start: Start, folder: Path) -> None:
    ours = start()
    assert b" 403 " in ours.connect("other.example:443")
    began = time.monotonic()
    ours.rewrite(generated(folder, (HOST, "other.example")))
    digest = hashlib.sha256(ours.config.read_bytes()).hexdigest()
    until(lambda: any(line["config_hash"] == digest for line in ours.audit("config_reload")), 2)
    assert time.monotonic() - began < 1
    assert ours.ask("/", host="other.example")[0] == 200


def test_a_reload_brings_new_secrets(start: Start, folder: Path) -> None:
    ours = start()
    fresh = "another-" + "secret-value-" + "987654"
    assert ours.ask("/", fresh.encode())[0] == 200
    known = folder / "known-secrets"
    known.write_text(f"{KNOWN}\n{fresh}\n")
    ours.rewrite(generated(folder))
    until(lambda: ours.audit("config_reload"))
    assert ours.ask("/", fresh.encode())[0] == 403


@pytest.mark.parametrize("how", ["passthrough", "private", "seed", "mode", "secrets"])
def test_strict_mode_takes_nothing_weaker(start: Start, folder: Path, how: str) -> None:
    ours = start(generated(folder, seed_phrases=True))
    # The control: what may change does, afterwards.
    good = generated(folder, (HOST, "other.example"), seed_phrases=True)
    weaker = {
        "passthrough": changed(good, tls_interception__passthrough_domains=[HOST]),
        "private": changed(good, ssrf__ip_allowlist=["10.0.0.0/8"]),
        "seed": changed(good, seed_phrase_detection__enabled=False),
        "mode": changed(good, mode="audit"),
        "secrets": changed(good, dlp__secrets_file="other-secrets"),
    }[how]
    prepare(folder, weaker)
    (folder / "other-secrets").write_text(f"{KNOWN}\n")
    (folder / "other-secrets").chmod(0o600)
    ours.rewrite(weaker, 2)
    until(lambda: any("reload" in str(line) for line in ours.audit("error")) or "reload" in said(folder))
    assert b" 403 " in ours.connect("other.example:443")
    assert ours.audit("config_reload") == []
    time.sleep(0.3)  # Past its debounce of the file's change.
    ours.rewrite(good, 3)
    until(lambda: ours.audit("config_reload"))
    assert ours.ask("/", host="other.example")[0] == 200


def said(folder: Path) -> str:
    return (folder / "said").read_text(errors="replace").lower()


def test_the_kill_switch_by_file_and_by_signal(start: Start, folder: Path) -> None:
    ours = start()
    for on, off in (
        (lambda: (folder / "KILL").touch(), lambda: (folder / "KILL").unlink()),
        (lambda: ours.process.send_signal(signal.SIGUSR1), lambda: ours.process.send_signal(signal.SIGUSR1)),
    ):
        assert ours.ask("/")[0] == 200
        on()
        answer = until(lambda: (a := ours.connect(f"{HOST}:443")).startswith(b"HTTP/1.1 503") and a)
        assert b'"error":"kill_switch_active"' in answer.replace(b'": "', b'":"')
        assert ours.health()["kill_switch_active"] is True
        off()
        until(lambda: not ours.health()["kill_switch_active"])


def test_the_log_is_private_json_with_what_we_read(start: Start, folder: Path) -> None:
    ours = start()
    ours.ask("/p?q=1", f"x {KNOWN}".encode())
    ours.connect("evil.example:443")
    blocked = until(lambda: (b := ours.audit("blocked")) and len(b) == 2 and b)
    assert stat.S_IMODE((folder / "audit.jsonl").stat().st_mode) == 0o600
    assert [line["scanner"] for line in blocked] == ["body_dlp", "allowlist"]
    assert all(line["component"] == "pipelock" and line["time"] and line["reason"] for line in blocked)
    assert KNOWN not in repr(blocked)


def test_an_end_leaves_the_log_whole(start: Start) -> None:
    ours = start()
    ours.process.terminate()
    ours.process.wait(5)
    assert next(line["event"] for line in ours.audit()) == "startup"
