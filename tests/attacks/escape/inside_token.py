"""The bottle's own credential, which only egress has: no place inside shows it, and no answer brings it back.

Run inside a namespace by `test_escape.py`, never collected by itself.
"""

from __future__ import annotations

from pathlib import Path

from tests.attacks.escape.bottles import GENERIC_NAME, SECRETS, TOKEN, Bottle, Ground
from tests.attacks.escape.layers import without

# Everything that a process inside can read, searched for what has the token's form (the script does not hold it) and,
# as the positive control, for a secret that the agent does have.
SEARCH = r"""
import os, re, sys
WANTED = re.compile(rb"injected-[0-9a-f]{32}|" + os.environb[b"%s"])
found = {}
def look(place, data):
    for hit in WANTED.findall(data):
        found.setdefault(hit.decode(), set()).add(place)
def read(path, limit=1 << 24):
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError:
        return b""
for pid in filter(str.isdigit, os.listdir("/proc")):
    for part in ("environ", "cmdline", "mountinfo", "status"):
        look(part, read(f"/proc/{pid}/{part}"))
    try:
        with open(f"/proc/{pid}/mem", "rb") as memory:
            for line in read(f"/proc/{pid}/maps").decode().splitlines():
                begin, end = (int(x, 16) for x in line.split()[0].split("-"))
                if " r" in line and end - begin < 1 << 28:
                    try:
                        memory.seek(begin)
                        look("memory", memory.read(end - begin))
                    except (OSError, ValueError, OverflowError):
                        pass
    except OSError:
        pass
for base, folders, names in os.walk("/"):
    if base in ("/usr", "/proc", "/sys", "/dev"):
        folders[:] = []
        continue
    for name in names:
        path = os.path.join(base, name)
        if os.path.isfile(path):
            look("file", read(path))
for hit, places in found.items():
    print(hit, *sorted(places))
"""
USE = "curl -sS -m 10 https://api.example/v1/x >/dev/null; "


def test_the_token_is_nowhere_inside(ground: Ground, bottle: Bottle) -> None:
    script = f"{USE}echo \"${GENERIC_NAME}\" > ~/mine; python3 - 2>&1 <<'END'\n{SEARCH % GENERIC_NAME}\nEND\n"
    done = bottle.run(script, 120)
    assert any(f"Bearer {TOKEN}".encode() in what for _, what in ground.log.take()), done
    lines = {line.split()[0]: set(line.split()[1:]) for line in done.stdout.splitlines()}
    assert lines.get(SECRETS[GENERIC_NAME], set()) >= {"environ", "memory", "file"}, done
    assert set(lines) == {SECRETS[GENERIC_NAME]}, done


def test_no_answer_brings_it_back(ground: Ground, bottle: Bottle) -> None:
    for words in ("", "--http2", "-v"):
        done = bottle.run(f"curl -sS -m 10 {words} https://api.example/mirror 2>&1")
        assert "the answer of api.example was cut" in done.stdout and TOKEN not in done.stdout, done
        assert any(TOKEN.encode() in what for _, what in ground.log.take())
    done = bottle.run("curl -sS -m 10 http://_egress.local/allowlist")
    assert "api.example" in done.stdout and TOKEN not in done.stdout


def test_without_the_scan_of_answers_it_comes_back(ground: Ground) -> None:
    with ground.bottle(without(["answers"])) as made:
        assert TOKEN in made.run("curl -sS -m 10 https://api.example/mirror 2>&1").stdout


def test_no_file_of_the_host_has_it(ground: Ground, bottle: Bottle) -> None:
    """Logs, activity and records, also after a refusal that had to do with it."""
    bottle.run(f"{USE}curl -sS https://api.example/mirror; curl -sS https://allowed.example/?q=no; true")
    places = [ground.base, *ground.rig.metadata()]
    files = [p for place in places for p in place.rglob("*") if p.is_file() and not p.is_symlink()]
    holders = {word: [str(p) for p in files if word.encode() in p.read_bytes()] for word in (TOKEN, "api.example")}
    assert holders[TOKEN] == [] and any(p.endswith("activity.jsonl") for p in holders["api.example"])
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        assert TOKEN.encode() not in process.read_bytes()
