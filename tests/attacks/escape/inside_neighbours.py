"""Another bottle on the same machine: its services, and its secrets.

Run inside a namespace by `test_escape.py`, never collected by itself.
"""

from __future__ import annotations

import json

from tests.attacks.escape.bottles import Bottle, Ground

SERVE = """
(python3 - >/dev/null 2>&1 <<'END'
import socket, threading
def serve(sock):
    while True:
        line, _ = sock.accept()
        line.sendall(b"neighbour")
        line.close()
abstract = socket.socket(socket.AF_UNIX)
abstract.bind("\\0neighbour")
abstract.listen()
threading.Thread(target=serve, args=(abstract,)).start()
serve(socket.create_server(("0.0.0.0", 9555)))
END
) &
"""
REACH = """
python3 - <<'END'
import json, socket, time
out = {}
places = ("tcp", socket.AF_INET, ("127.0.0.1", 9555)), ("abstract", socket.AF_UNIX, "\\0neighbour")
for name, family, address in places:
    for attempt in range(TRIES):
        with socket.socket(family) as sock:
            sock.settimeout(3)
            try:
                sock.connect(address)
                out[name] = sock.recv(100).decode()
                break
            except OSError as error:
                out[name] = error.strerror
                time.sleep(0.1)
print(json.dumps(out))
END
"""


def test_a_neighbour_s_services_are_out_of_reach(ground: Ground, bottle: Bottle) -> None:
    with ground.bottle() as other:
        other.run(SERVE)
        own = json.loads(other.run(REACH.replace("TRIES", "50")).stdout)
        assert own == {"tcp": "neighbour", "abstract": "neighbour"}
        assert set(json.loads(bottle.run(REACH.replace("TRIES", "1")).stdout).values()) == {"Connection refused"}
        # Through egress: whatever name leads to the machine itself, no other port than the web's, no other bottle.
        for port in (9099, 9418, 9100, 9555):
            done = bottle.run(f"curl -sS -m 5 -w ' %{{http_code}}' --noproxy '' http://127.0.0.1:{port}/ 2>&1")
            assert done.stdout.endswith(" 403") and "neighbour" not in done.stdout, done
        seen = bottle.run("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; hostname").stdout
        assert bottle.slug in seen and other.slug not in seen
    assert ground.log.take() == []
