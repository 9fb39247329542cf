"""Accepting over real sockets: PROXY headers, TLS, and what never gets that far."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from receive_parts import SteppingClock, until
from stream_parts import listener, run
from tests.authority import SERVER, Authority

from muniment.receive.accept import Acceptor, Client
from muniment.receive.tls import tls_context

LOOPBACK = [ip_network("127.0.0.0/8")]
ELSEWHERE = [ip_network("192.0.2.0/24"), ip_network("::/0")]
HEADER = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
OF_ITSELF = (
    b"PROXY UNKNOWN\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x00\0\x04\x04\0\x01x",
)


class Kept(asyncio.Protocol):
    """Keeps what it got, and says it back."""

    def __init__(self, bench: Bench, client: Client | None) -> None:
        self.bench, self.client = bench, client
        self.data = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.bench.made.append(self)

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.transport.write(data)


class Bench:
    def __init__(self, **options: Any) -> None:
        found = listener()
        self.port = found.getsockname()[1]
        self.made: list[Kept] = []
        self.clock = SteppingClock()
        self.acceptor = Acceptor(found, self._make, "test", self.clock, **options)

    def _make(self, client: Client | None) -> Kept:
        return Kept(self, client)

    async def connect(
        self, tls: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name = SERVER if tls else None
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=tls, server_hostname=name)

    async def closed(self, reader: asyncio.StreamReader) -> None:
        """Waits until the other side has closed; nothing must have come before."""
        with suppress(ConnectionError):
            assert await reader.read() == b""


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Bench]:
    bench = Bench(**options)
    await bench.acceptor.start()
    try:
        yield bench
    finally:
        bench.acceptor.close()
        bench.acceptor.close()
        await bench.acceptor.wait_closed()
        for one in bench.made:
            one.transport.abort()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def contexts(authority: Authority) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context and a client's that trusts it."""
    server = authority.server()
    trust = ssl.create_default_context(cafile=str(authority.certificate))
    return tls_context(server.certificate, server.key), trust


def test_without_tls_and_proxies_a_connection_is_served_as_it_is() -> None:
    async def scenario() -> None:
        async with running() as bench:
            reader, writer = await bench.connect()
            writer.write(HEADER)
            assert await reader.readexactly(len(HEADER)) == HEADER
            assert bench.made[0].client is None
            assert [count.value() for count in bench.acceptor.counts] == [0, 0, 0]
            writer.close()

    run(scenario)


def test_a_header_of_a_known_proxy_names_the_client_and_the_rest_is_the_protocols() -> None:
    async def scenario() -> None:
        async with running(proxies=LOOPBACK) as bench:
            reader, writer = await bench.connect()
            writer.write(HEADER + b"PROXY is a word")
            assert await reader.readexactly(15) == b"PROXY is a word"
            assert bench.made[0].client == ("192.0.2.7", 56_324)
            writer.close()

    run(scenario)


def test_a_header_may_come_byte_by_byte() -> None:
    async def scenario() -> None:
        async with running(proxies=LOOPBACK) as bench:
            reader, writer = await bench.connect()
            for byte in HEADER + b"x":
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.001)
            assert await reader.readexactly(1) == b"x"
            assert bench.made[0].client == ("192.0.2.7", 56_324)
            writer.close()

    run(scenario)


def test_a_proxy_that_speaks_for_itself_is_the_client() -> None:
    async def scenario() -> None:
        async with running(proxies=LOOPBACK) as bench:
            for header in OF_ITSELF:
                reader, writer = await bench.connect()
                writer.write(header + b"x")
                assert await reader.readexactly(1) == b"x"
                writer.close()
            assert [one.client for one in bench.made] == [None] * len(OF_ITSELF)

    run(scenario)


def test_a_header_of_anybody_else_is_never_believed() -> None:
    async def scenario() -> None:
        async with running(proxies=ELSEWHERE) as bench:
            reader, writer = await bench.connect()
            writer.write(HEADER)
            assert await reader.readexactly(len(HEADER)) == HEADER
            assert bench.made[0].client is None
            writer.close()

    run(scenario)


def test_tls_begins_behind_the_header(authority: Authority) -> None:
    server, trust = contexts(authority)

    async def scenario() -> None:
        async with running(proxies=LOOPBACK, tls=server) as bench:
            reader, writer = await bench.connect()
            writer.write(HEADER)
            await writer.start_tls(trust, server_hostname=SERVER)
            writer.write(b"x" * 300_000)
            assert await reader.readexactly(300_000) == b"x" * 300_000
            assert bench.made[0].client == ("192.0.2.7", 56_324)
            assert bench.acceptor.pending == 0
            writer.close()

    run(scenario)


def test_a_bad_header_closes_its_connection_and_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        caplog.clear()
        async with running(proxies=LOOPBACK) as bench:
            for bad in (b"<13>hello\n", b"PROXY TCP4 x\r\n", b"PROXY " + b"x" * 200):
                reader, writer = await bench.connect()
                writer.write(bad)
                await bench.closed(reader)
                writer.close()
            reader, writer = await bench.connect()
            writer.write(HEADER[:20])
            writer.write_eof()
            await bench.closed(reader)
            writer.close()
            assert bench.acceptor.failed_headers == 4
            assert bench.made == []
            said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
            assert len(said) == 1
            assert "PROXY header" in said[0]

    run(scenario)


def test_a_probe_that_sends_nothing_is_no_failure(authority: Authority) -> None:
    """As the health checks of load balancers do, with an end or a reset, before TLS too."""
    server, _ = contexts(authority)
    reset = struct.pack("ii", 1, 0)

    async def scenario() -> None:
        async with running(proxies=LOOPBACK, tls=server) as bench:
            for begun in (b"", OF_ITSELF[1]):
                reader, writer = await bench.connect()
                writer.write(begun)
                writer.write_eof()
                await bench.closed(reader)
                writer.close()
                with socket.create_connection(("127.0.0.1", bench.port)) as probe:
                    probe.sendall(begun)
                    await until(lambda: bench.acceptor.pending == 1)
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                await until(lambda: bench.acceptor.pending == 0)
            assert [count.value() for count in bench.acceptor.counts] == [0, 0, 0]

    run(scenario)


def test_a_header_and_a_handshake_have_to_come_in_time(authority: Authority) -> None:
    server, _ = contexts(authority)

    async def scenario() -> None:
        patience = {"header_seconds": 0.05, "handshake_seconds": 0.05}
        async with running(proxies=LOOPBACK, tls=server, **patience) as bench:
            for begun in (b"", HEADER[:9], HEADER, HEADER + b"\x16\x03\x01"):
                reader, writer = await bench.connect()
                writer.write(begun)
                await bench.closed(reader)
                writer.close()
            await until(lambda: bench.acceptor.pending == 0)
            acceptor = bench.acceptor
            assert acceptor.failed_headers >= 2
            assert acceptor.failed_headers + acceptor.failed_handshakes == 4

    run(scenario)


def test_what_is_no_tls_is_a_failed_handshake(authority: Authority) -> None:
    server, _ = contexts(authority)

    async def scenario() -> None:
        async with running(tls=server) as bench:
            reader, writer = await bench.connect()
            writer.write(b"<13>in plain text\n")
            with suppress(ConnectionError):
                await reader.read()  # an alert
            writer.close()
            await until(lambda: bench.acceptor.failed_handshakes == 1)
            assert bench.made == []
            assert [count.value() for count in bench.acceptor.counts] == [1, 0, 0]

    run(scenario)


def test_those_that_never_finish_give_way_to_those_that_do(authority: Authority) -> None:
    server, trust = contexts(authority)

    async def scenario() -> None:
        async with running(tls=server, max_pending=8) as bench:
            idle = [await bench.connect() for _ in range(40)]
            reader, writer = await bench.connect(trust)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            assert bench.acceptor.pending <= 8
            assert bench.acceptor.crowded_out >= 32
            await bench.closed(idle[0][0])
            for _, one in idle:
                one.close()
            writer.close()

    run(scenario)


def test_a_stop_ends_what_is_in_its_handshake(authority: Authority) -> None:
    server, _ = contexts(authority)

    async def scenario() -> None:
        bench = Bench(tls=server, proxies=LOOPBACK)
        await bench.acceptor.start()
        silent, one = await bench.connect()
        begun, two = await bench.connect()
        two.write(HEADER + b"\x16")
        await until(lambda: bench.acceptor.pending == 2)
        await asyncio.sleep(0.01)
        bench.acceptor.close()
        await bench.acceptor.wait_closed()
        await bench.closed(silent)
        await bench.closed(begun)
        with pytest.raises(OSError):
            await bench.connect()
        one.close()
        two.close()

    run(scenario)
