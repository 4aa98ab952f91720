"""What reaches the operator's screen from the activity log: an agent's texts, and files that a bundle planted."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from backends.api import Values
from backends.bubblewrap import proof
from backends.bubblewrap.driver import BubblewrapBackend
from botbottle_tui.host.launching import Host
from botbottle_tui.view.panes import activity_line
from tests.contract.conftest import bubblewrap as bubblewrap
from tests.contract.plans import plan
from tests.contract.test_contract import quiet, until

RAW = """
import socket
LONG = "a" * 3000
for line in (
    "GET http://plain.example/seen", "GET http://esc.example/%1b]0;title%07%0a{}",
    "GET http://a\\x1b[2Jb.example/", "GET http://" + LONG + "/",
    "GET http://long.example/" + LONG, "\\x1b]0;x\\x07 http://m.example/",
    "GET http://bidi.example/\\xe2\\x80\\xae", "CONNECT c\\x1b.example:443",
):
    sock = socket.create_connection(("127.0.0.1", 9099))
    host = line.split("/")[2] if "//" in line else "c.example"
    sock.sendall(f"{line} HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n".encode("latin-1"))
    sock.settimeout(5)
    try:
        while sock.recv(65536):
            pass
    except OSError:
        pass
"""


def host_of(backend: BubblewrapBackend) -> Host:
    return Host(backend.paths, (backend,))


def test_an_agent_s_texts_are_lines_without_controls(bubblewrap: BubblewrapBackend) -> None:
    slug = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    bubblewrap.exec(slug, f"python3 - <<'END'\n{RAW}\nEND\n")
    path = bubblewrap.activity_path(slug)
    assert path is not None
    lines = path.read_text().splitlines()
    assert len(lines) == len(host_of(bubblewrap).activity(slug, 100)) >= 4
    assert all(isinstance(json.loads(line), dict) and len(line) < 8000 for line in lines)
    shown = ["".join(text for _, text in activity_line(a, 0)) for a in host_of(bubblewrap).activity(slug, 100)]
    assert any("plain.example/seen" in text for text in shown)
    assert [text for text in shown if not text.isprintable()] == []


def test_what_a_bundle_plants_is_not_followed(bubblewrap: BubblewrapBackend, tmp_path: Path) -> None:
    slug = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    host = host_of(bubblewrap)
    found = proof.find(bubblewrap.root, slug)
    assert found is not None
    path = found[0] / proof.BUNDLE / "activity.jsonl"
    bubblewrap.exec(slug, "curl -s http://one.example/")
    until(lambda: [a.host for a in host.activity(slug, 10)] == ["one.example"])
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    for plant in (str(elsewhere), "/dev/zero", ""):
        path.symlink_to(plant) if plant else os.mkfifo(path)
        started = time.monotonic()
        assert host.activity(slug, 10) == ()
        assert time.monotonic() - started < 2
        path.unlink()
    elsewhere.rename(path)
    assert [a.host for a in host.activity(slug, 10)] == ["one.example"]
