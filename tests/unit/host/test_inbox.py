"""The inbox: bounded, believing nothing of what a bundle wrote, and quick to see what changed."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from backends.api import BackendError, Decision
from sidecar_bundle.shared import queue
from sidecar_bundle.shared.proposal import Proposal, RouteRequest
from tests.unit.host.deskrig import Rig

ROUTE = RouteRequest("files.example.org", ("/a",), "the data is there")


@pytest.fixture
def rig(own_state: Path) -> Rig:
    return Rig(own_state)


def test_the_inbox_is_bounded_and_believes_nothing(rig: Rig) -> None:
    folder = rig.exchange().queue
    old = rig.ask("egress-block", ROUTE)
    path = folder / f"{old}.proposal.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "created": 5.0, "bottle": "another-bottle"}))
    (folder / f"{'b' * 32}.proposal.json").write_text("{")
    (folder / f"{'c' * 32}.proposal.json").symlink_to("/etc/passwd")
    (rig.exchange().answers / f"{'d' * 32}.response.json").write_text("{")
    waiting, faults = rig.desk.inbox.waiting()
    assert [w.slug for w in waiting] == [rig.slug] and waiting[0].proposal.created > time.time() - 120
    assert len(faults) == 1 and "and 1 more" in faults[0].message
    for i in range(3000):
        (folder / f"{i:032x}.proposal.json").write_text("x")
    start = time.monotonic()
    assert len(rig.waiting()) <= 100 and time.monotonic() - start < 2


def test_one_bottle_s_file_does_not_hide_the_others_proposals(rig: Rig) -> None:
    other = rig.start()
    rig.ask("egress-block", ROUTE, slug=other)
    raw = {"schema": 1, "id": "a" * 32, "kind": [], "bottle": "x", "created": 1.0, "payload": {}}
    for ident, kind, created in (("a", [], "1.0"), ("b", "ask-operator", "1" + "0" * 400)):
        text = json.dumps({**raw, "id": ident * 32, "kind": kind}).replace("1.0", created)
        (rig.exchange().queue / f"{ident * 32}.proposal.json").write_text(text)
    waiting, faults = rig.desk.inbox.waiting()
    assert [w.slug for w in waiting] == [other] and [f.source for f in faults] == [f"proposals of {rig.slug}"]
    with pytest.raises(BackendError, match="cannot be read: kind"):
        rig.desk.preview(rig.slug, "a" * 32)


def test_a_queue_that_is_slow_to_read_takes_a_share_of_the_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    read = queue.proposals

    def slow(folder: Path, known: queue.Known) -> tuple[tuple[Proposal, ...], tuple[str, ...]]:
        looks.append(time.monotonic())
        time.sleep(0.1)
        return read(folder, known)

    monkeypatch.setattr(queue, "proposals", slow)
    mark = ""
    end = time.monotonic() + 2
    while time.monotonic() < end:
        rig.exchange().queue.touch()
        mark, _, _ = rig.desk.watch(mark, 5)
    assert 2 <= len(looks) <= 6


def test_the_watch_sees_what_comes_and_what_was_answered(rig: Rig) -> None:
    mark, waiting, _ = rig.desk.watch("", 1)
    assert waiting == ()
    mark, waiting, _ = rig.desk.watch(mark, 0.3)
    threading.Timer(0.2, lambda: rig.ask("egress-block", ROUTE)).start()
    start = time.monotonic()
    while not waiting:
        mark, waiting, _ = rig.desk.watch(mark, 5)
    assert time.monotonic() - start < 2
    rig.desk.decide([Decision(rig.slug, waiting[0].proposal.id, "reject")], print)
    while waiting:
        mark, waiting, _ = rig.desk.watch(mark, 5)
    time.sleep(0.15)
    mark, _, _ = rig.desk.watch(mark, 0.2)
    start = time.monotonic()
    assert rig.desk.watch(mark, 0.3)[0] == mark and time.monotonic() - start >= 0.3, "nothing new: it waits"


def test_a_change_within_the_same_tick_of_the_clock_is_seen(rig: Rig) -> None:
    folder = rig.exchange().queue
    folder.touch()
    times = folder.stat()
    mark, waiting, _ = rig.desk.watch("", 1)
    rig.ask("egress-block", ROUTE)
    os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))
    start = time.monotonic()
    while not waiting and time.monotonic() - start < 4:
        mark, waiting, _ = rig.desk.watch(mark, 5)
    assert waiting and time.monotonic() - start < 2
