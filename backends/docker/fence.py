"""Closes the agent's network but for its bundle, and proves it after each launch: in that network, from outside it.

An internal network without a gateway is not enough: what an unprivileged process sends as on-link still reaches every
address of the engine's host. So a container that shares the agent's network puts a filter there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from backends.api import BackendError
from backends.docker import spec
from sidecar_bundle.shared import layout

SECONDS = 0.6
# What goes elsewhere is refused at once: a tool that does not use the proxy shall not hang.
FENCE = """table inet bottle {{
  chain out {{ type filter hook output priority -300; policy drop; oif "lo" accept; ip daddr {0} accept;
    reject with icmpx type admin-prohibited; }}
  chain in {{ type filter hook input priority -300; policy drop; iif "lo" accept; ip saddr {0} accept; }}
}}
"""
# Run by the bundle's Python in a container that shares the agent's network and nothing else. It knows of each place
# whether somebody answers there: an open port, a refusal and a reset are answers, silence and "no route" are none.
SCRIPT = """
import errno, json, os, select, socket, subprocess, sys, time
places, door, seconds, fence = json.loads(sys.argv[1])
subprocess.run(["nft", "-f", "-"], input=fence.encode(), check=True)
reached, waiting = [], {}
for host, port in places:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
    try: sock.sendto(b"", (host, port))
    except OSError: continue
    reached.append([host, port])
def family(host): return socket.AF_INET6 if ":" in host else socket.AF_INET
for host, port in places + [door]:
    sock = socket.socket(family(host), socket.SOCK_STREAM)
    sock.setblocking(False)
    error = sock.connect_ex((host, port))
    if error == errno.EINPROGRESS: waiting[sock.fileno()] = (sock, host, port)
    elif error in (0, errno.ECONNREFUSED): reached.append([host, port])
poll, end = select.poll(), time.monotonic() + seconds
for fd in waiting: poll.register(fd, select.POLLOUT)
name = os.urandom(8).hex().encode()
query = b"bb\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0" + bytes([len(name)]) + name + b"\\7invalid\\0\\0\\1\\0\\1"
dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    dns.sendto(query, ("127.0.0.11", 53))
    poll.register(dns.fileno(), select.POLLIN)
except OSError: pass
while waiting and (left := end - time.monotonic()) > 0:
    for fd, _ in poll.poll(left * 1000):
        poll.unregister(fd)
        if fd == dns.fileno():
            try: answer = dns.recv(512)
            except OSError: continue
            # "No such name" can only come from a resolver outside.
            if len(answer) > 3 and answer[3] & 15 in (0, 3): reached.append(["a resolver", 53])
            continue
        sock, host, port = waiting.pop(fd)
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (0, errno.ECONNREFUSED): reached.append([host, port])
    if not [w for w in waiting.values() if [w[1], w[2]] != door] and door in reached: break
print(json.dumps(reached))
"""


def places(api: Any, slug: str, address: str) -> list[tuple[str, int]]:
    """Where the engine's host, other networks and clouds would answer: (address, port)."""
    names = spec.Names.of(slug)
    hosts = {"169.254.169.254"}
    for network in (names.inner, names.outer, "bridge"):
        for one in api.inspect_network(network)["IPAM"]["Config"] or ():
            if gateway := one.get("Gateway"):
                hosts.add(str(gateway).partition("/")[0])
    outer = api.inspect_container(names.sidecars)["NetworkSettings"]["Networks"][names.outer]["IPAddress"]
    hosts.add(str(outer))
    hosts.discard(address)
    # Any port tells of a host by refusing; one of the bundle's must not be open on its outer side.
    return [(host, layout.EGRESS_PORT) for host in sorted(hosts)]


def close(api: Any, slug: str, image: str, address: str, owner: spec.Owner, agent: str = "") -> None:
    """From here on the agent reaches its bundle at `address` alone; `BackendError` when that cannot be proved.

    `agent` is its container where that does not have its usual name.
    """
    agent = agent or spec.Names.of(slug).agent
    door = [address, layout.EGRESS_PORT]
    argument = json.dumps([places(api, slug, address), door, SECONDS, FENCE.format(address)])
    wanted = spec.prober(slug, owner, image, [spec.PYTHON, "-I", "-S", "-c", SCRIPT, argument])
    host = api.create_host_config(**wanted["host"], network_mode=f"container:{agent}")
    ident = api.create_container(**wanted["config"], name=wanted["name"], host_config=host)["Id"]
    try:
        api.start(ident)
        status = api.wait(ident, timeout=30)["StatusCode"]
        said = api.logs(ident).decode(errors="replace").strip()
    finally:
        api.remove_container(ident, force=True)
    reached = _parse(said) if status == 0 else None
    if reached is None:
        last = said.splitlines()[-1:] or ["no reason given"]
        raise BackendError(f"the agent's network cannot be closed: {last[0][:200]}", "bottle-dash doctor")
    if around := [one for one in reached if one != door]:
        where = f"{around[0][0]}:{around[0][1]}"
        raise BackendError(
            f"the agent's network leads round the bundle, to {where}: not started",
            "this engine does not keep the network closed; use another backend or a newer engine",
        )
    if door not in reached:
        raise BackendError("the agent does not reach its bundle: not started", "bottle-dash doctor")


def _parse(text: str) -> Sequence[Any] | None:
    try:
        out = json.loads(text.splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return out if isinstance(out, list) else None
