"""On the host, outside every sandbox: between a bottle's git-gate and the operator's SSH agent, for some keys only.

`python -m sidecar_bundle.gitgate.lender SOCKET KEY...` with the gate's line as stdin; it ends with that line. So a gate
that was taken over signs with the keys of its own remotes, and learns of no other.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys

from sidecar_bundle.gitgate import agentproto

NOBODY = 65534


def main() -> int:
    """`KEY` is the base64 part of a public key."""
    path, *keys = sys.argv[1:]
    blobs = frozenset(map(agentproto.blob, keys))
    with socket.socket(fileno=0) as line, socket.socket(socket.AF_UNIX) as agent, contextlib.suppress(OSError):
        agent.connect(path)
        if not os.geteuid():
            # What is read from here on may be an attacker's.
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        while message := agentproto.receive(line):
            agentproto.send(line, agentproto.answer(message, blobs, lambda asked: _ask(agent, asked)))
    return 0


def _ask(agent: socket.socket, message: bytes) -> bytes:
    agentproto.send(agent, message)
    answer = agentproto.receive(agent)
    if not answer:
        raise ConnectionResetError
    return answer


if __name__ == "__main__":
    sys.exit(main())
