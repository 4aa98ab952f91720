"""The outlets: names become addresses of ours, and what is dialled there reaches the name's real host, or nothing."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest

from sidecar_bundle.egress.names import FRESH, Names, refuse
from sidecar_bundle.egress.outlets import Outlets


def query(name: str, kind: int = 1, flags: int = 0x0100, count: int = 1) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", 0x1234, flags, count, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


def allowed(host: str) -> bool:
    return host == "api.example" or host.endswith(".wild.example")


def address_of(answer: bytes) -> str:
    assert answer[7] == 1, "one record"
    return socket.inet_ntoa(answer[-4:])


def test_an_allowed_name_has_one_address_and_back() -> None:
    names = Names(allowed)
    first = address_of(names.answer(query("API.example"), 0.0))
    assert first == address_of(names.answer(query("api.example"), 1.0))
    assert names.name(first) == "api.example"
    other = address_of(names.answer(query("a.wild.example"), 0.0))
    assert other != first
    assert names.name("203.0.113.1") == ""


@pytest.mark.parametrize(
    ("message", "code", "records"),
    [
        (query("api.example"), 0, 1),
        (query("api.example", 28), 0, 0),
        (query("evil.example"), 3, 0),
        (query("secret.api.example"), 3, 0),
        (query("api.example", count=2), 1, 0),
        (query("api.example", flags=0x2900), 1, 0),
        (query("api.example")[:20], 1, 0),
    ],
)
def test_every_query_has_its_answer(message: bytes, code: int, records: int) -> None:
    answer = Names(allowed).answer(message, 0.0)
    assert answer[:2] == message[:2]
    assert (answer[3] & 15, answer[7]) == (code, records)


@pytest.mark.parametrize("message", [b"", b"short", query("api.example", flags=0x8180), b"\0" * 11])
def test_what_is_no_query_has_none(message: bytes) -> None:
    assert Names(allowed).answer(message, 0.0) == b""
    assert refuse(message) == b""


@pytest.mark.parametrize("message", [query("api.example"), query("x.example", 28), query("api.example")[:20]])
def test_a_resolver_that_knows_nothing_refuses_at_once(message: bytes) -> None:
    answer = refuse(message)
    assert (answer[:2], answer[3] & 15, answer[7]) == (message[:2], 5, 0)


def test_a_name_that_was_asked_for_just_now_keeps_its_address() -> None:
    names = Names(lambda host: True)
    seen = {names.address(f"h{i}.example", float(i) / 1000) for i in range(759)}
    assert len(seen) == 759
    assert names.address("late.example", 1.0) == ""
    assert names.address("late.example", FRESH + 0.1) in seen
    assert sum(names.name(a) == "late.example" for a in seen) == 1


def _with_outlets(test: Callable[[Outlets, int, list[str]], Awaitable[None]], dial_error: str = "") -> None:
    async def run() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"echo:" + await reader.read())
            writer.close()

        upstream = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = upstream.sockets[0].getsockname()[1]
        dialled: list[str] = []

        async def dial(host: str, number: int) -> socket.socket:
            dialled.append(f"{host}:{number}")
            if dial_error:
                raise OSError(dial_error)
            return socket.create_connection(("127.0.0.1", port))

        with socket.create_server(("127.0.0.1", 0)) as https, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dns:
            dns.bind(("127.0.0.1", 0))
            outlets = Outlets(allowed, dial, lambda host, why: dialled.append(f"{host} {why}"))
            # The address that the test dials stands for one that was given out.
            outlets.names._by_address["127.0.0.1"] = "api.example"
            await outlets.serve(dns, {443: https})
            await test(outlets, https.getsockname()[1], dialled)
            outlets.close()
            upstream.close()

    asyncio.run(run())


def test_bytes_go_both_ways_and_ends_are_passed_on() -> None:
    async def test(outlets: Outlets, port: int, dialled: list[str]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x" * 1_000_000)
        writer.write_eof()
        assert await reader.read() == b"echo:" + b"x" * 1_000_000
        assert dialled == ["api.example:443"]

    _with_outlets(test)


def test_what_cannot_be_dialled_is_told_and_closed() -> None:
    async def test(outlets: Outlets, port: int, dialled: list[str]) -> None:
        reader, _ = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionResetError):
            assert await reader.read() == b""
            raise ConnectionResetError
        assert dialled == ["api.example:443", "api.example refused"]

    _with_outlets(test, "refused")


def test_a_removed_route_ends_what_is_open() -> None:
    async def test(outlets: Outlets, port: int, dialled: list[str]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        while not outlets._open:
            await asyncio.sleep(0.001)
        outlets.drop()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(), 0.05)
        outlets._allowed = lambda host: False
        outlets.drop()
        with pytest.raises(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
            raise ConnectionResetError

    _with_outlets(test)


def test_an_address_without_a_name_leads_nowhere() -> None:
    async def test(outlets: Outlets, port: int, dialled: list[str]) -> None:
        outlets.names._by_address.clear()
        reader, _ = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionResetError):
            assert await reader.read() == b""
            raise ConnectionResetError
        assert dialled == []

    _with_outlets(test)
