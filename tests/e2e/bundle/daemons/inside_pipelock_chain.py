"""Agent, egress, pipelock's stand-in, upstream: what passes, what is refused, and by whom."""

from __future__ import annotations

import gzip
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bundle.daemons.chain import Web, chain, configure, events
from tests.e2e.bundle.rig import API, OPEN, TOKEN, Bundle, headers, until

SEED = "abandon " * 11 + "about"


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def standing(python: str, pki: Path, servers: Web, memory: Path) -> Iterator[Bundle]:
    with chain(python, pki, memory) as running:
        yield running


@pytest.fixture
def c(standing: Bundle, web: Web) -> Bundle:
    """The chain that most tests share, as at its start."""
    configure(standing, OPEN, API)
    return standing


def test_the_injected_token_passes_and_only_the_upstream_sees_it(c: Bundle, web: Web, memory: Path) -> None:
    before = len(events(memory, "tunnel_open"))
    answer = c.curl("https://api.example/v1/x")
    assert answer.status == 200
    assert headers(web[0].seen[-1])["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in answer.body
    assert [line["target"] for line in events(memory, "tunnel_open")[before:]] == ["api.example:443"]
    assert TOKEN in next(memory.glob("pipelock-*/known-secrets")).read_text()


def test_many_requests_of_one_agent_connection_need_one_tunnel(c: Bundle, memory: Path) -> None:
    # The stand-in speaks HTTP/1.1 only, and mitmproxy joins no HTTP/2 client's requests on such a connection.
    before = len(events(memory, "tunnel_open"))
    assert c.curl("https://open.example/[1-50]", "--http1.1").status == 200
    assert len(events(memory, "tunnel_open")) == before + 1


def test_what_pipelock_alone_refuses_is_told_with_its_reason(c: Bundle, web: Web) -> None:
    assert c.curl("https://open.example/", "-d", SEED).status == 200
    configure(c, OPEN, API, pipelock={"seed_phrases": True})
    web[0].seen.clear()
    answer = c.curl("https://open.example/secret", "-d", SEED)
    assert answer.status == 403
    assert "pipelock" in answer.body
    assert "BIP-39" in answer.body
    assert web[0].seen == []
    found = until(lambda: [line for line in c.activity() if line["source"] == "pipelock"])
    assert [(line["verdict"], line["host"], line["status"]) for line in found] == [("refuse", "open.example", 403)]


def test_a_compressed_request_is_unpacked_before(c: Bundle, web: Web, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(gzip.compress(b"innocent " * 1000))
    answer = c.curl("https://open.example/", "-H", "Content-Encoding: gzip", "--data-binary", f"@{body}")
    assert (answer.status, answer.json["received"]) == (200, 9000)


def test_events_stream_through_both(c: Bundle) -> None:
    proxy = ["-x", f"http://127.0.0.1:{c.port}", "--cacert", str(c.ca)]
    argv = ["curl", "-sSN", "-m", "20", *proxy, "https://open.example/sse"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        times = [time.monotonic() for line in process.stdout if line.startswith(b"data:")]
    assert len(times) == 5
    assert times[-1] - times[0] > 0.5


def test_a_host_without_a_route_never_gets_as_far_as_pipelock(c: Bundle, web: Web, memory: Path) -> None:
    before = len(events(memory, "blocked"))
    answer = c.curl("https://evil.example/")
    assert answer.status == 403
    assert "pipelock" not in answer.body
    assert len(events(memory, "blocked")) == before
    assert web[0].seen == []


def test_a_new_route_is_in_force_for_the_next_request_and_a_removed_one_at_once(c: Bundle, web: Web) -> None:
    configure(c, OPEN)
    pid = c.pid_of("pipelock")
    assert c.curl("https://api.example/v1/x").status == 403
    configure(c, OPEN, API)
    assert c.curl("https://api.example/v1/x").status == 200
    configure(c, OPEN)
    web[0].seen.clear()
    assert c.curl("https://api.example/v1/x").status == 403
    assert web[0].seen == []
    assert c.pid_of("pipelock") == pid
