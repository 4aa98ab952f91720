"""What an agent asks of the kernel itself: calls, other call tables and ioctls that the filter must refuse."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path

import pytest

from backends.api import Values
from backends.bubblewrap.driver import BubblewrapBackend
from tests.contract.conftest import bubblewrap as bubblewrap
from tests.contract.plans import plan
from tests.contract.test_contract import quiet

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="call numbers of x86-64")

# Each call in a process of its own: some of them change or end whoever makes them. Outside the bottle only those of
# `HARMLESS` are made, and never as root: the rest would do to this machine what they do.
CALLS = """
import ctypes, errno, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
CALLS = {
    "getpid": (39,), "memfd_create": (319, b"x", 0),
    "unshare(user)": (272, 0x10000000), "clone(user)": (56, 0x10000011, 0, 0, 0, 0), "clone3": (435, 0, 0),
    "io_uring_setup": (425, 1, ctypes.create_string_buffer(256)), "userfaultfd": (323, 1),
    "keyctl": (250, 0, -3), "add_key": (248, b"user", b"attack", b"v", 1, -3),
    "request_key": (249, b"user", b"x", 0, 0),
    "bpf": (321, 0, 0, 0), "perf_event_open": (298, 0, 0, 0, 0, 0), "open_by_handle_at": (304, -1, 0, 0),
    "mount": (165, b"none", b"/tmp", b"tmpfs", 0, 0), "fsopen": (430, b"proc", 0), "open_tree": (428, -100, b"/usr", 1),
    "open_tree_attr": (467, -100, b"/usr", 1, 0, 0), "mount_setattr": (442, -100, b"/", 0, 0, 0),
    "pivot_root": (155, b".", b"."), "chroot": (161, b"/tmp"), "setns": (308, 0, 0), "fanotify": (300, 0, 0),
    "getpid (x32)": (0x40000000 | 39,),
}
out = {}
for name, call in CALLS.items():
    if name not in sys.argv and "every" not in sys.argv:
        continue
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        result = libc.syscall(*call)
        if name.startswith("clone") and result == 0:
            os._exit(0)
        os.write(write, b"" if result >= 0 else errno.errorcode[ctypes.get_errno()].encode())
        os._exit(0)
    os.close(write)
    out[name] = os.read(read, 100).decode() or "done"
    os.waitpid(pid, 0)
print(json.dumps(out))
"""
ALLOWED = ("getpid", "memfd_create")
HARMLESS = (*ALLOWED, "unshare(user)", "clone(user)")
NOBODY = 65534

FAMILIES = """
import json, socket
out = []
for family in (1, 2, 10, 16, 17, 29, 31, 38, 40):
    for kind in (1, 2, 3, 5):
        try:
            socket.socket(family, kind).close()
            out.append(family)
        except OSError:
            pass
print(json.dumps(sorted(set(out))))
"""

OLD_CALL_TABLE = """
import ctypes, mmap, sys
def run(code):
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex(code))
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
print(run("b827000000" "0f05" "c3") > 0, flush=True)  # getpid by `syscall`
print(run("b814000000" "cd80" "c3") > 0, flush=True)  # getpid by `int 0x80`
"""

TERMINAL = """
import ctypes, json, os
TRIED = (0x5412, 0x100005412, 0x541C)  # TIOCSTI, the same with a high bit, TIOCLINUX
libc = ctypes.CDLL(None, use_errno=True)
master, slave = os.openpty()
pid = os.fork()
if pid == 0:
    os.setsid()
    libc.ioctl(slave, ctypes.c_ulong(0x540E), 0)  # TIOCSCTTY: now it is our own terminal
    size = libc.ioctl(slave, ctypes.c_ulong(0x5413), ctypes.create_string_buffer(8))
    tries = [libc.ioctl(slave, ctypes.c_ulong(c), ctypes.create_string_buffer(b"x")) for c in TRIED]
    print(json.dumps([size, tries]), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""


def inside(backend: BubblewrapBackend, script: str, *args: str) -> subprocess.CompletedProcess[str]:
    slug = backend.launch(plan("bubblewrap"), Values(), None, quiet).agent.slug
    done = backend.exec(slug, f"python3 - {' '.join(args)} <<'END'\n{script}\nEND\n")
    return subprocess.CompletedProcess([], done.status, done.stdout, done.stderr)


def outside(script: str, *args: str) -> subprocess.CompletedProcess[str]:
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": ()} if os.geteuid() == 0 else {}
    argv = ["/usr/bin/python3", "-c", script, *args]
    return subprocess.run(argv, cwd="/", capture_output=True, text=True, timeout=30, **who)  # type: ignore[call-overload,no-any-return]


def test_calls_are_refused(bubblewrap: BubblewrapBackend) -> None:
    found = json.loads(inside(bubblewrap, CALLS, "every").stdout)
    assert {name for name, result in found.items() if result == "done"} == set(ALLOWED)
    assert {found[name] for name in found if name not in ALLOWED} == {"EPERM", "ENOSYS"}
    assert json.loads(outside(CALLS, *HARMLESS).stdout) == dict.fromkeys(HARMLESS, "done")


def test_sockets_of_other_kinds_are_refused(bubblewrap: BubblewrapBackend) -> None:
    allowed = {1, 2, 10, 16}
    assert set(json.loads(inside(bubblewrap, FAMILIES).stdout)) <= allowed
    assert set(json.loads(outside(FAMILIES).stdout)) - allowed, "this kernel offers no other kind: nothing was shown"


def test_the_32_bit_call_table_kills(bubblewrap: BubblewrapBackend) -> None:
    done = inside(bubblewrap, OLD_CALL_TABLE)
    assert (done.stdout, done.returncode) == ("True\n", 128 + 31)
    free = outside(OLD_CALL_TABLE)
    if free.returncode != -11:  # a kernel without that table ends it with SIGSEGV
        assert free.stdout == "True\nTrue\n"


def test_nothing_is_typed_into_a_terminal(bubblewrap: BubblewrapBackend) -> None:
    assert json.loads(inside(bubblewrap, TERMINAL).stdout) == [0, [-1, -1, -1]]
    switch = Path("/proc/sys/dev/tty/legacy_tiocsti")  # older kernels always allow it
    if not switch.exists() or switch.read_text().strip() == "1":
        assert json.loads(outside(TERMINAL).stdout)[1][0] == 0
