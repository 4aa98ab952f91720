"""The moment in which a host process enters a bottle, and what descriptors come in with it."""

from __future__ import annotations

import json
import time

from backends.api import Values
from backends.bubblewrap.driver import BubblewrapBackend
from tests.contract.conftest import bubblewrap as bubblewrap
from tests.contract.plans import plan
from tests.contract.test_contract import quiet, until

# Looks for processes that still run the host's program, and for each tries what a debugger would. `control` is a child
# of its own, on which the same must succeed.
SPY = """
import ctypes, json, os, signal, sys, time
libc = ctypes.CDLL(None, use_errno=True)
own = os.fork()
if own == 0:
    time.sleep(60)
    os._exit(0)
def attempts(pid):
    won = []
    for name, flags in (("mem", os.O_RDWR), ("environ", os.O_RDONLY), ("maps", os.O_RDONLY), ("auxv", os.O_RDONLY)):
        try:
            os.close(os.open(f"/proc/{pid}/{name}", flags))
            won.append(name)
        except OSError:
            pass
    for name in ("fd", "ns"):
        try:
            for entry in os.listdir(f"/proc/{pid}/{name}"):
                os.readlink(f"/proc/{pid}/{name}/{entry}")
            won.append(name)
        except OSError:
            pass
    if libc.ptrace(0x4206, pid, 0, 0) == 0:  # PTRACE_SEIZE
        libc.ptrace(17, pid, 0, 0)
        won.append("ptrace")
    return won
def entering(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"backends.bubblewrap.enter" in file.read()
    except OSError:
        return False
seen, won = 0, []
control = attempts(own)
os.kill(own, signal.SIGKILL)
known = set()
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    for name in os.listdir("/proc"):
        if name.isdigit() and name not in known:
            if not entering(name):
                known.add(name)
                continue
            found = attempts(int(name))
            if entering(name):  # it had not become the command meanwhile
                seen += 1
                won += found
with open("/tmp/result.new", "w") as file:
    json.dump({"control": control, "seen": seen, "won": won}, file)
os.rename("/tmp/result.new", "/tmp/result")
"""


def test_a_process_that_enters_cannot_be_taken_over(bubblewrap: BubblewrapBackend) -> None:
    """It holds every capability of the bottle's namespace for a moment, and no filter yet."""
    slug = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    bubblewrap.exec(slug, f"cat > /tmp/spy.py <<'END'\n{SPY}\nEND\n(python3 /tmp/spy.py 6 >/tmp/spy.log 2>&1 &)")
    end = time.monotonic() + 5
    while time.monotonic() < end:
        assert bubblewrap.exec(slug, "true").status == 0
    until(lambda: bubblewrap.exec(slug, "test -e /tmp/result").status == 0)
    found = json.loads(bubblewrap.exec(slug, "cat /tmp/result").stdout)
    assert {"mem", "environ", "fd", "ptrace"} <= set(found["control"])
    assert found["seen"] > 0, "no entering process was ever seen: nothing was shown"
    assert found["won"] == []


def test_no_descriptor_of_the_host_comes_in(bubblewrap: BubblewrapBackend) -> None:
    slug = bubblewrap.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    until(lambda: bubblewrap.exec(slug, "ls -l /proc/[0-9]*/fd/255").status == 0)  # bash has its terminal
    script = "exec 9</etc/passwd; for p in $(pgrep -x bash) $$; do for f in /proc/$p/fd/*; do readlink $f; done; done"
    links = bubblewrap.exec(slug, script).stdout.split()
    assert "/etc/passwd" in links and "/dev/pts/0" in links
    assert {link.split(":")[0] for link in links} <= {"/etc/passwd", "/dev/pts/0", "/dev/null", "pipe"}
