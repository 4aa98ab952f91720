"""SSH's ProxyCommand inside the bundle: asks the dialer for a connected socket and passes it to SSH."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sidecar_bundle.shared import layout
from sidecar_bundle.shared.dialer_client import dial


def main() -> int:
    """`connect.py HOST PORT`: stdout is the socket on which SSH waits for a descriptor."""
    host, port = sys.argv[1], int(sys.argv[2])
    try:
        connected, _address = dial(os.environ[layout.DIALER_ENV], host, port, (), layout.GIT_GATE)
        socket.send_fds(socket.socket(fileno=1), [b"\0"], [connected.fileno()])
    except OSError as error:
        sys.stderr.write(f"git-gate: cannot reach {host}:{port}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
