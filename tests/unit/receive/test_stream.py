"""The stream server over real sockets: sessions, back-pressure, and connections over a bound."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network
from typing import Any

import pytest
from receive_parts import SteppingClock, until
from stream_parts import Echo, listener, run

from muniment.receive import stream
from muniment.receive.stream import Connection, StreamServer

LARGE = 8 << 20


class Bench:
    """A server of echoes, and connections to it."""

    def __init__(self, **options: Any) -> None:
        found = listener()
        self.port = found.getsockname()[1]
        self.clock = SteppingClock()
        self.sessions: list[Echo] = []
        self.server = StreamServer(found, "echo", self._make, self.clock, **options)

    def _make(self, connection: Connection) -> Echo:
        self.sessions.append(Echo(connection))
        return self.sessions[-1]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def quiet(self, session: Echo) -> None:
        """A little while in which the session must hear nothing."""
        before = session.heard
        await asyncio.sleep(0.05)
        assert session.heard == before


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Bench]:
    bench = Bench(**options)
    await bench.server.start()
    try:
        yield bench
    finally:
        await bench.server.stop()
        assert all(one.ended == 1 for one in bench.sessions)
        assert not bench.server.connections


def test_a_session_hears_answers_and_closes() -> None:
    async def scenario() -> None:
        async with running() as bench:
            reader, writer = await bench.connect()
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            port = writer.get_extra_info("sockname")[1]
            assert bench.sessions[0].connection.peer == f"127.0.0.1:{port}"
            assert bench.sessions[0].connection.sender == ""
            writer.write(b"bye")
            assert await reader.read() == b"bye"
            writer.close()
            await until(lambda: bench.sessions[0].ended == 1)
            counts = {count.name: count.value() for count in bench.server.counts}
            assert counts["receive_bytes"] == 8
            assert counts["receive_connections"] == 0

    run(scenario)


def test_the_client_that_a_known_proxy_names_is_the_peer() -> None:
    async def scenario() -> None:
        async with running(proxies=[ip_network("127.0.0.1/32")]) as bench:
            reader, writer = await bench.connect()
            writer.write(b"PROXY TCP6 2001:db8::7 ::1 4711 1\r\nhello")
            assert await reader.readexactly(5) == b"hello"
            assert bench.sessions[0].connection.peer == "[2001:db8::7]:4711"
            writer.close()

    run(scenario)


def test_a_session_that_fails_costs_its_own_connection_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        async with running() as bench:
            reader, writer = await bench.connect()
            other, other_writer = await bench.connect()
            writer.write(b"boom")
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            await until(lambda: bench.sessions[0].ended == 1)
            other_writer.write(b"hello")
            assert await other.readexactly(5) == b"hello"
            writer.close()
            other_writer.close()

    caplog.set_level(logging.CRITICAL)
    run(scenario)


def test_a_connection_is_read_while_neither_it_nor_the_server_is_held() -> None:
    async def scenario() -> None:
        async with running() as bench:
            reader, writer = await bench.connect()
            writer.write(b"a")
            assert await reader.readexactly(1) == b"a"
            session = bench.sessions[0]
            session.connection.hold()
            bench.server.hold_all()
            bench.server.hold_all()
            writer.write(b"b")
            await bench.quiet(session)
            bench.server.release_all()
            await bench.quiet(session)
            bench.server.hold_all()
            session.connection.release()
            await bench.quiet(session)
            bench.server.release_all()
            assert await reader.readexactly(1) == b"b"
            assert bench.server.pauses == 2
            writer.close()

    run(scenario)


def test_a_new_connection_is_not_read_while_the_server_is_held() -> None:
    async def scenario() -> None:
        async with running() as bench:
            bench.server.hold_all()
            reader, writer = await bench.connect()
            writer.write(b"a")
            await until(lambda: len(bench.sessions) == 1)
            await bench.quiet(bench.sessions[0])
            bench.server.release_all()
            assert await reader.readexactly(1) == b"a"
            writer.close()

    run(scenario)


def test_a_peer_that_does_not_read_is_not_read_either_and_closed_in_the_end() -> None:
    async def scenario() -> None:
        async with running() as bench:
            sender = socket.create_connection(("127.0.0.1", bench.port))
            sender.setblocking(False)
            loop = asyncio.get_running_loop()
            sending = asyncio.create_task(loop.sock_sendall(sender, b"x" * (4 * LARGE)))
            await until(lambda: bool(bench.sessions))
            connection = bench.sessions[0].connection
            await until(lambda: connection.deaf_since is not None and connection.waits)
            await bench.quiet(bench.sessions[0])
            assert len(bench.sessions[0].heard) < 4 * LARGE
            bench.clock.seconds += stream.DEAF_SECONDS + 1
            await until(lambda: bench.sessions[0].ended == 1)
            assert bench.server.deaf == 1
            with suppress(ConnectionError):
                await sending
            sender.close()

    run(scenario)


def test_silence_is_closed_but_not_that_of_a_held_connection() -> None:
    async def scenario() -> None:
        async with running(idle_seconds=60) as bench:
            reader, writer = await bench.connect()
            kept, kept_writer = await bench.connect()
            await until(lambda: len(bench.sessions) == 2)
            bench.sessions[1].connection.hold()
            bench.clock.seconds = 61.0
            assert await reader.read() == b""
            assert bench.server.idle == 1
            bench.sessions[1].connection.release()
            kept_writer.write(b"x")
            assert await kept.readexactly(1) == b"x"
            writer.close()
            kept_writer.close()

    run(scenario)


def test_connections_over_the_bound_are_refused_and_counted() -> None:
    async def scenario() -> None:
        async with running(max_connections=2) as bench:
            kept = [await bench.connect() for _ in range(2)]
            await until(lambda: len(bench.server.connections) == 2)
            reader, writer = await bench.connect()
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            assert bench.server.refused == 1
            assert len(bench.sessions) == 2
            for _, one in kept:
                one.close()

    run(scenario)


def test_a_stop_does_not_wait_for_a_peer_that_takes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "CLOSE_SECONDS", 0.05)

    async def scenario() -> None:
        async with running() as bench:
            sender = socket.create_connection(("127.0.0.1", bench.port))
            await until(lambda: bool(bench.sessions))
            bench.sessions[0].connection.write(b"x" * LARGE)
            bench.sessions[0].connection.close()
            bench.sessions[0].connection.close()
            bench.sessions[0].connection.write(b"too late")
        sender.close()

    run(scenario)


def test_a_server_that_was_not_started_can_be_stopped() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.server.stop()
        await bench.server.stop()

    run(scenario)
