"""The system call filter of agent and bundle, as a classic BPF program made without any library.

What it refuses: other ABIs, new namespaces and mounts, keyrings, kernel interfaces with a history (bpf, io_uring,
userfaultfd, perf), typing into terminals, sockets that a network namespace does not bound (vsock, packet, alg...), and
setuid or setgid files (the workspace lies on the host's disk).
"""

from __future__ import annotations

import errno
import platform
import struct

_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16

_O_CREAT, _SETID = 0o20000100, 0o6000  # O_CREAT and O_TMPFILE's own bit
_TERMINAL_INJECTION = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_FAMILIES = (1, 2, 10, 16)  # unix, inet, inet6, netlink
_NEW_NAMESPACES = 0x7E020080  # NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET NEWTIME

_X86_64 = {
    "ioctl": 16, "socket": 41, "socketpair": 53, "clone": 56, "clone3": 435, "open": 2, "creat": 85, "openat": 257,
    "openat2": 437, "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "mknod": 133, "mknodat": 259,
    "_sysctl": 156, "acct": 163, "add_key": 248, "adjtimex": 159, "bpf": 321, "clock_adjtime": 305,
    "clock_settime": 227, "create_module": 174, "delete_module": 176, "finit_module": 313, "fsconfig": 431,
    "fsmount": 432, "fsopen": 430, "fspick": 433, "init_module": 175, "io_uring_enter": 426, "io_uring_register": 427,
    "io_uring_setup": 425, "ioperm": 173, "iopl": 172, "kexec_file_load": 320, "kexec_load": 246, "keyctl": 250,
    "lookup_dcookie": 212, "mount": 165, "mount_setattr": 442, "move_mount": 429, "nfsservctl": 180,
    "open_by_handle_at": 304, "open_tree": 428, "perf_event_open": 298, "pivot_root": 155, "quotactl": 179,
    "quotactl_fd": 443, "reboot": 169, "request_key": 249, "setdomainname": 171, "sethostname": 170, "setns": 308,
    "settimeofday": 164, "swapoff": 168, "swapon": 167, "syslog": 103, "umount2": 166, "unshare": 272, "uselib": 134,
    "userfaultfd": 323, "vhangup": 153, "vserver": 236,
}  # fmt: skip
_AARCH64 = {
    "ioctl": 29, "socket": 198, "socketpair": 199, "clone": 220, "clone3": 435, "openat": 56, "openat2": 437,
    "fchmod": 52, "fchmodat": 53, "fchmodat2": 452, "mknodat": 33, "acct": 89, "add_key": 217, "adjtimex": 171,
    "bpf": 280, "clock_adjtime": 266, "clock_settime": 112, "delete_module": 106, "finit_module": 273,
    "fsconfig": 431, "fsmount": 432, "fsopen": 430, "fspick": 433, "init_module": 105, "io_uring_enter": 426,
    "io_uring_register": 427, "io_uring_setup": 425, "kexec_file_load": 294, "kexec_load": 104, "keyctl": 219,
    "lookup_dcookie": 18, "mount": 40, "mount_setattr": 442, "move_mount": 429, "nfsservctl": 42,
    "open_by_handle_at": 265, "open_tree": 428, "perf_event_open": 241, "pivot_root": 41, "quotactl": 60,
    "quotactl_fd": 443, "reboot": 142, "request_key": 218, "setdomainname": 162, "sethostname": 161, "setns": 268,
    "settimeofday": 170, "swapoff": 225, "swapon": 224, "syslog": 116, "umount2": 39, "unshare": 97,
    "userfaultfd": 282, "vhangup": 58,
}  # fmt: skip
# What a debugger needs: an agent may have one, the daemons of a bundle may not look into each other.
_DEBUGGING = {
    "x86_64": {"ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_getfd": 438},
    "aarch64": {"ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "pidfd_getfd": 438},
}
MACHINES = {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}

# name -> (index of the mode argument, index of a flags argument that must hold O_CREAT, or -1)
_MODES = {
    "chmod": (1, -1), "fchmod": (1, -1), "fchmodat": (2, -1), "fchmodat2": (2, -1), "creat": (1, -1),
    "mknod": (1, -1), "mknodat": (2, -1), "open": (2, 1), "openat": (3, 2),
}  # fmt: skip
_PRETEND_ABSENT = ("clone3", "openat2", "io_uring_setup")  # callers fall back to what the filter can read


def _op(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, k)


def _fail(number: int) -> bytes:
    return _op(_RET, _ERRNO | number)


def _argument(index: int) -> bytes:
    return _op(_LD, _ARGS + 8 * index)


def _rule(name: str) -> list[bytes]:
    """What follows once the call's number matched: instructions that always end in a return."""
    if name in _PRETEND_ABSENT:
        return [_fail(errno.ENOSYS)]
    if name in ("socket", "socketpair"):
        tests = [_op(_JEQ, family, len(_FAMILIES) - i, 0) for i, family in enumerate(_FAMILIES)]
        return [_argument(0), *tests, _fail(errno.EAFNOSUPPORT), _op(_RET, _ALLOW)]
    if name == "ioctl":
        first, second = _TERMINAL_INJECTION
        return [_argument(1), _op(_JEQ, first, 1, 0), _op(_JEQ, second, 0, 1), _fail(errno.EPERM), _op(_RET, _ALLOW)]
    if name == "clone":
        return [_argument(0), _op(_JSET, _NEW_NAMESPACES, 0, 1), _fail(errno.EPERM), _op(_RET, _ALLOW)]
    if name in _MODES:
        mode, flags = _MODES[name]
        test = [_argument(mode), _op(_JSET, _SETID, 0, 1), _fail(errno.EPERM), _op(_RET, _ALLOW)]
        return test if flags < 0 else [_argument(flags), _op(_JSET, _O_CREAT, 0, 3), *test]
    return [_fail(errno.EPERM)]


def program(machine: str = "", *, debugging: bool = True) -> bytes:
    """The filter for a machine (default: this one), without `debugging` also against looking into other processes.

    `LookupError` for a machine without a table.
    """
    machine = machine or platform.machine()
    if machine not in MACHINES:
        raise LookupError(f"no system call table for {machine}")
    arch, numbers = MACHINES[machine]
    code = [_op(_LD, _ARCH), _op(_JEQ, arch, 1, 0), _op(_RET, _KILL), _op(_LD, _NR)]
    if machine == "x86_64":  # the x32 ABI numbers calls from 1 << 30
        code += [_op(_JGE, 0x40000000, 0, 1), _fail(errno.ENOSYS)]
    refused = numbers if debugging else {**numbers, **_DEBUGGING[machine]}
    for name, number in refused.items():
        rule = _rule(name)
        code += [_op(_JEQ, number, 0, len(rule)), *rule]
    return b"".join([*code, _op(_RET, _ALLOW)])
