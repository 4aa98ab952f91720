"""Requests through egress, a bare mitmdump, pipelock and nothing, in turn; run in a namespace by `traffic.py`."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bench import upstream
from tests.bench.client import Client, Refused
from tests.bench.figures import in_turn
from tests.bench.prompts import OWN, prompt
from tests.e2e.bundle.rig import Bundle, bundle, until
from tests.fake_upstream import wait_listening
from tests.pipelock.running import PORT, generated, running

HOST, UNSCANNED = "llm.example", "unscanned.example"
BLOCK, POSTS = 30, 3  # small requests and large ones that follow each other in a round
SLOW_ROUNDS = 3  # of large requests through pipelock, which takes seconds for each
Took = dict[str, list[float]]


@contextlib.contextmanager
def bare_mitmdump(python: str, folder: Path, ca: Path) -> Iterator[tuple[str, int]]:
    """A mitmdump without any rule that streams what is large; its address. Its CA is made in `folder`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    code = "from mitmproxy.tools.main import mitmdump; mitmdump()"
    settings = (f"confdir={folder}", f"ssl_verify_upstream_trusted_ca={ca}", "stream_large_bodies=1m")
    words = ["-q", "--listen-host", "127.0.0.1", "-p", str(port)]
    words += [word for setting in settings for word in ("--set", setting)]
    process = subprocess.Popen([python, "-I", "-c", code, *words], stdout=subprocess.DEVNULL)
    try:
        wait_listening("127.0.0.1", port, 30)
        yield "127.0.0.1", port
    finally:
        process.kill()
        process.wait()


def route(host: str, **more: object) -> dict[str, object]:
    """A route with a credential, as one to a language model has."""
    return {"host": host, "auth": {"scheme": "Bearer", "slot": "EGRESS_TOKEN_0"}, **more}


def set_up(b: Bundle, daemons: Sequence[str]) -> None:
    """Routes, credentials and secrets; returns when all daemons are ready."""
    config = {"slug": "b-1", "routes": [route(HOST), route(UNSCANNED, dlp="off")], "daemons": list(daemons)}
    assert b.ask(op="configure", config=config, with_listener=True) == {"ok": True}
    token, other = OWN.items()
    assert b.ask(op="secrets", values=dict([token]), protect=dict([other])) == {"ok": True}
    until(lambda: all(b.ask(op="health")["daemons"][name]["state"] == "ready" for name in daemons), 30)


def small(client: Client) -> Callable[[], list[float]]:
    """A block of small requests."""
    return lambda: [client.ask("/v1/models") for _ in range(BLOCK)]


def large(client: Client, body: bytes, count: int = POSTS) -> Callable[[], list[float]]:
    """Large requests."""
    return lambda: [client.ask("/v1/messages", body) for _ in range(count)]


def without_pipelock(rounds: int, python: str, folder: Path, ca: Path) -> Took:
    """Everything that wants egress alone."""
    body, out = prompt(), Took()
    (folder / "mitm").mkdir()
    with (
        bare_mitmdump(python, folder / "mitm", ca) as bare,
        bundle(python, {"BOT_BOTTLE_UPSTREAM_CA": str(ca)}) as b,
    ):
        set_up(b, ["egress"])
        egress = ("127.0.0.1", b.port)
        clients = {
            "direct": Client(HOST, ca),
            "bare": Client(HOST, folder / "mitm" / "mitmproxy-ca-cert.pem", bare),
            "egress": Client(HOST, b.ca, egress),
            "unscanned": Client(UNSCANNED, b.ca, egress),
        }

        def keep(kind: str, measures: dict[str, Callable[[], Sequence[float]]]) -> None:
            print(f"  {kind} ...", file=sys.stderr, flush=True)
            out.update({f"{kind} {name}": values for name, values in in_turn(rounds, **measures).items()})

        keep("small", {name: small(c) for name, c in clients.items()})
        keep("large", {name: large(c, body) for name, c in clients.items()})
        # A bare mitmdump keeps such an answer back until it is whole: nothing to compare with.
        keep("sse", {name: clients[name].delays for name in ("direct", "egress")})
        keep("download", {name: lambda c=c: [c.ask("/big")] for name, c in clients.items()})  # type: ignore[misc]
    return out


def with_pipelock(rounds: int, python: str, folder: Path, ca: Path, program: str, out: Took) -> None:
    """Pipelock alone, then behind egress, into `out`. Numbers of any but the real program mean nothing."""
    body = prompt()
    place = folder / "pipelock"
    place.mkdir()
    print("  pipelock alone ...", file=sys.stderr, flush=True)
    with contextlib.redirect_stdout(sys.stderr), running(Path(program), place, generated(place, (HOST,)), ca):
        client, direct = Client(HOST, place / "ca-cert.pem", ("127.0.0.1", PORT)), Client(HOST, ca)
        out |= {f"small pipelock {k}": v for k, v in in_turn(rounds, alone=small(client), direct=small(direct)).items()}
        slow = in_turn(min(rounds, SLOW_ROUNDS), alone=large(client, body, 1), direct=large(direct, body, 1))
        out |= {f"large pipelock {k}": v for k, v in slow.items()}
    print("  egress and pipelock ...", file=sys.stderr, flush=True)
    env = {"BOT_BOTTLE_UPSTREAM_CA": str(ca), "BOT_BOTTLE_PIPELOCK": program}
    with bundle(python, env, daemons="egress,pipelock") as b:
        set_up(b, ["egress", "pipelock"])
        both, direct = Client(HOST, b.ca, ("127.0.0.1", b.port)), Client(HOST, ca)
        out |= {f"small chain {k}": v for k, v in in_turn(rounds, both=small(both), direct=small(direct)).items()}


def main(rounds: int, python: str, program: str) -> None:
    """Prints milliseconds by name as one line of JSON; what pipelock refused is told under `refused`."""
    with tempfile.TemporaryDirectory(prefix="bottle-bench-") as name:
        folder = Path(name)
        ca = upstream.prepare(folder, HOST, UNSCANNED)
        server = subprocess.Popen([sys.executable, "-m", upstream.__name__, name], stdout=subprocess.DEVNULL)
        try:
            wait_listening(upstream.ADDRESS, 443)
            took = without_pipelock(rounds, python, folder, ca)
            refused = ""
            if program:
                try:
                    with_pipelock(rounds, python, folder, ca, program, took)
                except Refused as error:
                    refused = str(error).strip().splitlines()[-1]
        finally:
            server.kill()
            server.wait()
    print(json.dumps({**took, "refused": refused}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "")
