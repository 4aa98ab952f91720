"""What pipelock is told, when it has to start anew, and what of its audit log becomes activity."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from sidecar_bundle.pipelock.audit import HIDDEN, Entry, entry
from sidecar_bundle.pipelock.config import MOST_SECRETS, Paths, known_secrets, must_restart, settings, text
from sidecar_bundle.pipelock.tail import Tail
from sidecar_bundle.shared.activity_log import ActivityLog
from sidecar_bundle.shared.config import BundleConfig, Pipelock
from sidecar_bundle.shared.routes import Route

PATHS = Paths("/ca.pem", "/ca-key.pem", "/tmp/known", "/state/audit.jsonl", "/state/KILL")
A, B = Route("a.example"), Route("b.example")
SECRET = "a-secret/" + "value+" + "0123456789"


def made(*routes: Route, seed: bool = False, direct: bool = True) -> dict[str, Any]:
    return settings(BundleConfig("b-1", routes, pipelock=Pipelock(seed_phrases=seed)), PATHS, direct)


def test_the_whole_configuration() -> None:
    # Written out: one key that v2.3.0 does not know refuses its start, one that is missing has a default that hurts.
    routes = (
        Route("b.example", ("/v1",), ssrf_ip_allowlist=("10.2.0.0/16",)),
        Route("*.a.example", tls_passthrough=True),
    )
    assert made(*routes, seed=True) == {
        "version": 1,
        "mode": "strict",
        "enforce": True,
        "api_allowlist": ["*.a.example", "b.example"],
        "fetch_proxy": {
            "listen": "127.0.0.1:8888",
            "monitoring": {
                "max_url_length": 8192,
                "entropy_threshold": 8.0,
                "subdomain_entropy_threshold": 4.0,
                "max_requests_per_minute": 1_000_000,
            },
        },
        "forward_proxy": {
            "enabled": True,
            "max_tunnel_seconds": 86400,
            "idle_timeout_seconds": 3600,
            "sni_verification": False,
        },
        "tls_interception": {
            "enabled": True,
            "ca_cert": "/ca.pem",
            "ca_key": "/ca-key.pem",
            "passthrough_domains": ["*.a.example"],
            "max_response_bytes": 100 << 20,
        },
        "request_body_scanning": {
            "enabled": True,
            "action": "block",
            "max_body_bytes": 64 << 20,
            "scan_headers": True,
            "header_mode": "all",
            "ignore_headers": ["Authorization", "X-Api-Key", "X-Goog-Api-Key"],
        },
        "response_scanning": {
            "enabled": True,
            "action": "warn",
            "sse_streaming": {"enabled": True, "action": "warn", "max_event_bytes": 1 << 20},
        },
        "media_policy": {"enabled": False},
        "taint": {"enabled": False},
        "ssrf": {"ip_allowlist": ["10.2.0.0/16"]},
        "dlp": {"scan_env": False, "secrets_file": "/tmp/known"},
        "seed_phrase_detection": {"enabled": True},
        "logging": {"format": "json", "output": "file", "file": "/state/audit.jsonl"},
        "metrics_listen": "127.0.0.1:8889",
        "kill_switch": {"sentinel_file": "/state/KILL"},
    }


def test_private_networks_only_where_it_dials_by_itself() -> None:
    route = Route("a.example", ssrf_ip_allowlist=("10.2.0.0/16",))
    assert made(route, direct=False)["ssrf"] == {"ip_allowlist": []}
    assert made(route, direct=True)["ssrf"] == {"ip_allowlist": ["10.2.0.0/16"]}


def test_each_writing_is_another_file() -> None:
    one, two = text(made(A), 1), text(made(A), 2)
    assert one != two
    assert json.loads(one.partition("\n")[2]) == json.loads(two.partition("\n")[2]) == made(A)
    assert "\t" not in one


@pytest.mark.parametrize(
    ("old", "new", "restart"),
    [
        (made(A), made(A), False),
        (made(A), made(A, B), False),
        (made(A, B), made(B), False),
        (made(A), made(Route("a.example", tls_passthrough=True)), True),
        (made(Route("a.example", tls_passthrough=True)), made(A), False),
        (made(A), made(Route("a.example", ssrf_ip_allowlist=("10.0.0.0/8",))), True),
        (made(Route("a.example", ssrf_ip_allowlist=("10.0.0.0/8",))), made(A), False),
        (made(A), made(A, seed=True), False),
        (made(A, seed=True), made(A), True),
        (made(A), {**made(A), "metrics_listen": ""}, True),
    ],
    ids=["same", "host", "less", "pass", "no-pass", "net", "no-net", "seed", "no-seed", "other"],
)
def test_when_a_reload_would_be_refused(old: dict[str, Any], new: dict[str, Any], restart: bool) -> None:
    assert must_restart(old, new) is restart


def test_known_secrets() -> None:
    key = "-----BEGIN KEY-----\n" + "k" * 64 + "\n-----END KEY-----\n"
    values = [SECRET, "short", f"  {SECRET} ", f"#{'h' * 20}", key, "t" * 16, "t" * 15]
    assert known_secrets(values) == (SECRET, "h" * 20, "k" * 64, "t" * 16)
    assert len(known_secrets(f"{n:020}" for n in range(5000))) == MOST_SECRETS


def line(event: str, **fields: Any) -> bytes:
    common = {"level": "warn", "component": "pipelock", "time": "2026-04-24T10:00:00.123456789Z", "message": "m"}
    return json.dumps({**common, "event": event, **fields}).encode()


def read(event: str, **fields: Any) -> Entry | None:
    return entry(line(event, **fields), (A, Route("*.b.example")), (SECRET,))


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (
            read("blocked", method="GET", url="https://a.example/p?q=1", scanner="entropy", reason="x"),
            Entry(1777024800.123456, "refuse", "GET", "a.example", "/p", "entropy: x", 403),
        ),
        (
            read("blocked", method="CONNECT", target="evil.example:443", scanner="allowlist", reason="not allowed"),
            Entry(1777024800.123456, "refuse", "CONNECT", "evil.example", "", "allowlist: not allowed", 403),
        ),
        (
            read("response_scan", method="GET", url="https://a.example/", action="warn", patterns=["Jailbreak"]),
            Entry(1777024800.123456, "allow", "GET", "a.example", "/", "response_scan: m (Jailbreak)", 0),
        ),
        (
            read("kill_switch_deny", method="CONNECT", target="a.example:443"),
            Entry(1777024800.123456, "refuse", "CONNECT", "a.example", "", "m", 503),
        ),
        (
            read("error", target="a.example:443", error="no such host"),
            Entry(1777024800.123456, "error", "", "a.example", "", "no such host", 0),
        ),
    ],
    ids=["blocked", "connect", "finding", "killed", "error"],
)
def test_a_verdict(found: Entry | None, wanted: Entry) -> None:
    assert found == wanted


@pytest.mark.parametrize(
    "data",
    [
        line("tunnel_open", target="a.example:443"),
        line("tunnel_close"),
        line("forward_http", url="http://a.example/", status_code=200),
        line("config_reload", status="success"),
        line("startup"),
        line("anomaly", message="TLS MITM interception active"),
        line("error", error="read tcp: use of closed network connection"),
        b"",
        b"{",
        b"[]",
        b"7",
        b'"event"',
        b'{"event": []}',
        b'{"event": {}}',
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({"event": "startup", "time": 10**400}).encode(),
    ],
)
def test_noise(data: bytes) -> None:
    assert entry(data, (A,), ()) is None


@pytest.mark.parametrize("strange", [None, [], {}, 7, "x" * 100_000, "9999-99-99", "https://[", "//", "\0"])
@pytest.mark.parametrize("key", ["time", "method", "url", "target", "scanner", "reason", "patterns", "error"])
def test_strange_fields_never_raise(key: str, strange: Any) -> None:
    for event in ("blocked", "error", "response_scan"):
        found = entry(line(event, **{key: strange}), (A,), ())
        assert found is not None
        assert found.time >= 0


@pytest.mark.parametrize("form", [SECRET, SECRET.replace("/", "%2F").replace("+", "%2B")])
def test_a_secret_is_nowhere_in_an_entry(form: str) -> None:
    token = "ghp_" + "Zx9" * 12
    urls = [f"https://a.example/x/{form}?q={form}", f"https://{token}.b.example/{token}", f"https://a.example/{token}"]
    for scanner in ("core_dlp", "dlp", "body_dlp"):
        for url in urls:
            found = read("blocked", method="GET", url=url, scanner=scanner, reason=f'in "{token}" of {form}')
            assert found is not None
            assert token not in repr(found)
            assert form not in repr(found)
            assert found.host in ("a.example", "*.b.example")
    encoded = base64.b64encode(SECRET.encode()).decode()
    found = read("blocked", method="GET", url=f"https://a.example/{encoded}", scanner="length", reason=f"not {encoded}")
    assert found is not None
    assert encoded.rstrip("=") not in repr(found)
    assert HIDDEN in found.target


def test_the_audit_log_is_read_once_and_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text("of an earlier run\n")
    tail = Tail(path, limit=10_000)
    assert tail.lines() == []
    seen: list[bytes] = []
    with path.open("ab", buffering=0) as log:
        for number in range(1000):
            log.write(b"%d " % number + b"x" * 90 + b"\n")
            if number % 10 == 9:
                seen += tail.lines()
        log.write(b"half a ")
        assert tail.lines() == []
        log.write(b"line\n")
        assert tail.lines() == [b"half a line"]
    assert [int(one.split()[0]) for one in seen] == list(range(1000))
    assert path.stat().st_size < 12_000


def test_a_long_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    tail = Tail(path)
    path.write_bytes(b"y" * 3_000_000 + b"\nnext\n")
    found: list[bytes] = []
    for _ in range(10):
        found += tail.lines()
    assert found[-1] == b"next"
    assert max(map(len, found)) <= 65536


def test_two_daemons_write_one_activity(tmp_path: Path) -> None:
    limit = 20_000
    logs = [ActivityLog(str(tmp_path), limit, source) for source in ("egress", "pipelock")]
    for number in range(400):
        logs[number % 2].write("refuse", "GET", "a.example", f"/{number}", "r" * 100, 403, float(number))
    files = {path.name: path.read_text().splitlines() for path in tmp_path.iterdir()}
    assert set(files) == {"activity.jsonl", "activity.jsonl.1"}
    found = [json.loads(one) for one in (*files["activity.jsonl.1"], *files["activity.jsonl"])]
    # Nothing of the last two files is lost, out of order or in an older one.
    numbers = [int(one["time"]) for one in found]
    assert numbers == list(range(numbers[0], 400))
    assert {(one["source"], one["time"] % 2) for one in found} == {("egress", 0), ("pipelock", 1)}
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= limit


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    tail = Tail(path)
    (tmp_path / "other").write_text("secret\n")
    path.symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic"):
        tail.lines()
