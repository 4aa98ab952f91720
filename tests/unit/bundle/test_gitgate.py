"""The git-gate's pure parts: requests, lists of changes, reasons, marks, the filter before an agent."""

from __future__ import annotations

import base64
import random
import string
import struct
import subprocess
import time
import zlib
from pathlib import Path

import pytest

from sidecar_bundle.gitgate import ssh
from sidecar_bundle.gitgate.agents import FilteredAgent
from sidecar_bundle.gitgate.brought import Row, parse_raw
from sidecar_bundle.gitgate.connection import Connection
from sidecar_bundle.gitgate.gitleaks import forms
from sidecar_bundle.gitgate.mirror import FETCH_SECONDS, FIRST_FETCH_SECONDS, Mirror
from sidecar_bundle.gitgate.own import Scanners
from sidecar_bundle.gitgate.refs import allowed, updates
from sidecar_bundle.gitgate.request import Refused, error_packet, length, parse
from sidecar_bundle.gitgate.run import Done, Failed, run
from sidecar_bundle.shared.config import Remote

APP = Remote(
    "app", "git.example.org", "git", 22, "/a/app.git", "ssh://git@git.example.org/a/app.git", "ssh-ed25519 AAAA"
)
REMOTES = {"app": APP, "app2": Remote("app2", "h", "git", 22, "x", "git@h:x")}
A, B, C = "a" * 40, "b" * 40, "c" * 40
NONE = "0" * 40


def packet(text: str) -> bytes:
    return f"{len(text) + 4:04x}{text}".encode()


@pytest.mark.parametrize("path", ["/app.git", "/app.git/", "/app=", "/app=.git", "/app=/", "/app=.git/"])
def test_requests_of_declared_remotes(path: str) -> None:
    asked = parse(packet(f"git-receive-pack {path}\0host=x\0\0version=2\0"), REMOTES)
    assert (asked.service, asked.remote) == ("receive-pack", APP)


@pytest.mark.parametrize(
    "line",
    [
        *("git-upload-pack /app", "git-upload-pack /app=2", "git-upload-pack /app=2.git", "git-upload-pack app.git"),
        *("git-upload-pack /../app.git", "git-upload-pack /app.git/x", "git-upload-pack /none.git", "git-upload-pack"),
        *("git-upload-archive /app.git", "git-upload-pack-x /app.git", "", "git-upload-pack /app.git\n/x"),
    ],
)
def test_other_requests_are_refused(line: str) -> None:
    with pytest.raises(Refused):
        parse(packet(line), REMOTES)


@pytest.mark.parametrize("head", [b"0000", b"0004", b"GET ", b"ffff", b" 12a", b"-001", b""])
def test_what_is_not_the_protocol(head: bytes) -> None:
    with pytest.raises(Refused):
        length(head)


def test_reasons_travel_visible_and_bounded() -> None:
    data = error_packet("no\x1b[2J\n" + "x" * 5000)
    assert int(data[:4], 16) == len(data) < 1000 and b"\x1b" not in data and b"\n" not in data


def test_lists_of_changes() -> None:
    raw = f"{A}\0:000000 100644 {NONE} {B} A\0new.txt\0:100644 000000 {C} {NONE} D\0gone\0"
    raw += f"{B}\0::100644 100644 120000 {A} {B} {C} MM\0a b\n\0"
    assert list(parse_raw(raw.encode())) == [
        (A, [Row("100644", (NONE,), B, "new.txt"), Row("000000", (C,), NONE, "gone")]),
        (B, [Row("120000", (A, B), C, "a b\n")]),
    ]


@pytest.mark.parametrize("raw", [b"nonsense\0", b":100644 100644 a b M\0x\0", A.encode() + b"\0:100644 a\0x\0"])
def test_lists_that_cannot_be_read(raw: bytes) -> None:
    with pytest.raises(Failed):
        list(parse_raw(raw))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Host key verification failed.\nfatal: x", "is not the one that KnownHostKey of app pins"),
        ("git@h: Permission denied (publickey).\nfatal: x", "does not accept the key of app"),
        ("ssh: connect to host h port 22: Connection refused\r\nfatal: x", "Connection refused"),
        ("git-gate: cannot reach h:22: not declared\nfatal: x", "cannot reach h:22: not declared"),
        ("fatal: '/a' does not appear to be a git repository", "does not appear"),
        ("", "without a reason"),
    ],
)
def test_reasons_of_upstreams(said: str, reason: str) -> None:
    assert reason in ssh.reason(APP, Done(128, b"", said))


@pytest.mark.parametrize(
    "text",
    ["ssh-ed25519 AAAA", "git.example.org ssh-ed25519 AAAA comment", "[h]:22 ssh-ed25519 AAAA", "ssh-ed25519 AAAA x"],
)
def test_host_keys_as_people_write_them(text: str) -> None:
    assert ssh.host_key(text) == "ssh-ed25519 AAAA"


@pytest.mark.parametrize(
    "ref",
    [
        *("refs/heads/main", "refs/stash", "refs/heads/a.b/c-d@e", "refs/heads/ünï", "refs/heads/a./b", "refs/tags/{"),
        *("main", "HEAD", "refs/", "refs/heads/", "refs/heads/..", "refs/heads/.a", "refs/heads/a.", "refs//a"),
        *("refs/heads/a.lock", "refs/a.lock/b", "refs/heads/a b", "refs/heads/a\nb", "refs/heads/a:b", "refs/heads/*"),
        *("refs/heads/a~", "refs/heads/a^", "refs/heads/[", "refs/heads/a?", "refs/heads/a\\b", "refs/heads/@{"),
        *("refs/heads/a\x7f", "refs/heads/a\x01"),
    ],
)
def test_names_of_refs_as_git_has_them(ref: str) -> None:
    git = subprocess.run(["git", "check-ref-format", ref], check=False).returncode == 0
    assert allowed(ref) == (git and ref.startswith("refs/"))


@pytest.mark.parametrize("row", [[A, B], [A, B, "refs/heads/x", "y"], [A, "b", "refs/heads/x"], [A, B, "refs/\udce9"]])
def test_rows_that_are_no_update(row: list[str]) -> None:
    with pytest.raises(Failed, match=r"not taken|not the name"):
        updates([[A, B, "refs/heads/x"], row])
    assert [u.ref for u in updates([[A, B, "refs/heads/x"]])] == ["refs/heads/x"]


def test_a_forward_that_ends_after_its_client_holds_no_lock(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, tmp_path, APP, {})
    gone, here = Connection(mirror, 0.0), Connection(mirror, 0.0)
    gone.release(ended=True)
    assert mirror.lock.acquire(timeout=0)
    gone.hold()
    assert mirror.lock.acquire(timeout=0)
    here.hold()
    assert mirror.lock.locked()
    here.release()
    assert not mirror.lock.locked()


def tokens(seed: int, count: int) -> list[str]:
    """Shaped as GitHub's: with a checksum that is right."""
    draw, out = random.Random(seed), []
    digits = string.digits + string.ascii_uppercase + string.ascii_lowercase
    for _ in range(count):
        body = "".join(draw.choice(digits) for _ in range(30))
        number, end = zlib.crc32(body.encode()), ""
        while number or len(end) < 6:
            number, digit = divmod(number, 62)
            end = digits[digit] + end
        out.append("ghp" + "_" + body + end)
    return out


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Scanners:
    """Without gitleaks."""
    scanners = Scanners("", tmp_path_factory.mktemp("scan"), {})
    scanners.protect({"OWN": "7f3kd-9qpzm-44xw2"})
    return scanners


def coded(token: str) -> str:
    return base64.b64encode(f"key={token}".encode()).decode()


def test_no_mark_of_an_old_secret_hides_a_new_one(alone: Scanners) -> None:
    *old, new = tokens(1, 21)
    wrapped = base64.encodebytes(b"some text before the key is " + old[0].encode() + b" and after it").decode()
    more = base64.encodebytes(b"some text before the key is " + new.encode() + b" and after it").decode()
    cases = [
        ("".join(f"k = {t}\n" for t in old), f"k = {new}\n"),
        (f"k = {coded(old[0])}\n", f"n = {coded(new)}\n"),
        (f"k = {old[0]}\n", f"n = {coded(new)}\n"),
        (f"k = {old[0]} ", f"n = {coded(new)}\n"),
    ]
    for before, after in [*cases, (f"{wrapped}\n\n\n", more)]:
        was, now = alone([text.encode() for text in (before, before + after)], 30)
        assert was and now - was, (before, after)
    for before, _ in cases:
        was, now = alone([text.encode() for text in (before, f"# a change beside it\n{before}")], 30)
        assert not now - was, before


def test_the_first_fetch_may_take_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []

    def reach(_: Mirror, argv: list[str], deadline: float) -> Done:
        limits.append(deadline - time.monotonic())
        return Done(0, b"", "")

    monkeypatch.setattr(Mirror, "_reach", reach)
    mirror = Mirror(tmp_path, tmp_path, APP, {})
    mirror.reach(("ssh",), "")
    mirror.fetch()
    first = max(limits)
    limits.clear()
    mirror.fetch()
    assert max(limits) <= FETCH_SECONDS < FIRST_FETCH_SECONDS / 10 < first


class _Operator:
    """An agent with two keys that signs whatever it is asked to."""

    def ask(self, message: bytes) -> bytes:
        if message == b"\x0b":
            keys = b"".join(struct.pack(">I", len(p)) + p for p in (b"theirs", b"comment", b"\x01\x02\x03", b"ours"))
            return b"\x0c" + struct.pack(">I", 2) + keys
        return b"\x0esigned"


def test_the_filter_offers_and_uses_one_key_only() -> None:
    agent = FilteredAgent.__new__(FilteredAgent)
    agent._blob, agent._operator = b"\x01\x02\x03", _Operator()  # type: ignore[assignment]
    listed = agent.answer(b"\x0b")
    assert listed[:5] == b"\x0c\0\0\0\x01" and b"theirs" not in listed and b"\x01\x02\x03" in listed
    assert agent.answer(b"\x0d" + struct.pack(">I", 3) + b"\x01\x02\x03" + b"data") == b"\x0esigned"
    for message in (
        b"\x0d" + struct.pack(">I", 6) + b"theirs",
        b"\x0d",
        b"\x11",
        b"\x13",
        b"\x1b",
        b"\x0d\0\0\0\x03\x01",
    ):
        assert agent.answer(message) == b"\x05"


def test_utf_16_behind_much_else() -> None:
    assert b"k-e-y" in forms(b"text\n" * 20_000 + "k-e-y".encode("utf-16-le"))[-1]


def test_a_program_that_writes_without_end_is_stopped_early(tmp_path: Path) -> None:
    for where in ("yes", "yes >&2"):
        began = time.monotonic()
        with pytest.raises(Failed, match="wrote more than 64 MB"):
            run(["sh", "-c", where], env={"PATH": "/usr/bin:/bin"}, timeout=30, cwd=str(tmp_path))
        assert time.monotonic() - began < 15
