"""Sockets and addresses in the network namespace of a sandbox, made from outside by a child that is gone at once."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Sequence

from backends.alive import Proc
from backends.api import BackendError
from backends.bubblewrap import syscalls
from backends.bubblewrap.sandbox import drop_to
from sidecar_bundle.shared import layout

BACKLOG = 256
_SET_ADDRESS, _SET_MASK = 0x8916, 0x891C


def listeners(first: Proc, uid: int, ports: Sequence[int]) -> list[int]:
    """Listening sockets on 127.0.0.1 of the sandbox whose first process is `first`, run by `uid` (0: by us)."""
    return _made(first, uid, lambda: [_tcp("127.0.0.1", port) for port in ports])


def outlets(first: Proc, uid: int) -> dict[str, int]:
    """Pipelock's way out in the bundle's namespace, by listener name: name service, and ports 443 and 80."""

    def make() -> list[socket.socket]:
        dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        dns.bind(("127.0.0.1", 53))
        for number, net in enumerate(layout.OUTLET_NETWORKS, 1):
            _add_to_loopback(f"lo:{number}", ipaddress.ip_network(net))
        return [dns, _tcp("0.0.0.0", 443), _tcp("0.0.0.0", 80)]

    return dict(zip(("outlet-dns", "outlet-https", "outlet-http"), _made(first, uid, make), strict=True))


def _tcp(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(BACKLOG)
    return sock


def _add_to_loopback(alias: str, net: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
    # On the loopback device a network is local as a whole.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for request, address in ((_SET_ADDRESS, net[1]), (_SET_MASK, net.netmask)):
            fcntl.ioctl(sock, request, struct.pack("16sHH4s8x", alias.encode(), socket.AF_INET, 0, address.packed))


def _join(first: Proc) -> None:
    net = os.open(f"/proc/{first.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if not first.alive():
        raise ProcessLookupError("its sandbox has ended")
    # bwrap makes a second user namespace; the network belongs to the first.
    syscalls.setns(fcntl.ioctl(net, syscalls.NS_GET_USERNS), syscalls.CLONE_NEWUSER)
    syscalls.setns(net)


def _made(first: Proc, uid: int, make: Callable[[], list[socket.socket]]) -> list[int]:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            drop_to(uid)
            _join(first)
            made = make()
            socket.send_fds(theirs, [b"1"], [sock.fileno() for sock in made])
            code = 0
        except OSError as error:
            with contextlib.suppress(OSError):
                theirs.send(b"0" + str(error).encode())
        finally:
            os._exit(code)
    theirs.close()
    with ours:
        data, fds, _, _ = socket.recv_fds(ours, 1000, 16)
    os.waitpid(pid, 0)
    if not fds:
        reason = data[1:].decode(errors="replace") or "no reason given"
        raise BackendError(f"cannot listen inside the sandbox: {reason}", "bottle-dash doctor")
    for fd in fds:
        os.set_inheritable(fd, False)
    return list(fds)
