"""The receiver over real sockets: back-pressure, stops, heartbeats, numbers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import pytest
import uvloop
from forward_parts import EVENTS, ack, entries, message, packed, packed_events, ping
from receive_parts import MemoryLog, SteppingClock, make_intake, until

from muniment.errors import StorageFailing
from muniment.receive.forward.heartbeat import MOST_A_SECOND, Heartbeat
from muniment.receive.forward.receiver import Forward
from muniment.receive.sockets import bind_pair
from muniment.settings import Address


class Bench:
    """A receiver that runs, and clients of it."""

    def __init__(self, bound: int, options: dict[str, Any]) -> None:
        self.log, self.clock = MemoryLog(), SteppingClock()
        stream, datagrams = bind_pair(Address("127.0.0.1", 0))
        self.port = stream.getsockname()[1]
        intake = make_intake(self.log, bound, self.clock)
        self.receiver = Forward(
            stream, datagrams, "forward", "nginx", intake, self.clock, "test-node", **options
        )

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    def number(self, name: str) -> float:
        """A number of the receiver by the end of its name."""
        (count,) = [c for c in self.receiver.counts if c.name == f"receive_{name}"]
        return count.value()

    def stored(self) -> list[bytes]:
        return self.log.raws("forward/nginx")


@asynccontextmanager
async def running(bound: int = 1 << 20, **options: Any) -> AsyncIterator[Bench]:
    bench = Bench(bound, options)
    await bench.receiver.start()
    try:
        yield bench
    finally:
        bench.log.refusal = None
        bench.log.release()
        await bench.receiver.stop()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Runs a scenario on both event loops: the standard one, and the one that serves."""
    asyncio.run(scenario())  # type: ignore[arg-type]
    uvloop.run(scenario())  # type: ignore[arg-type]


def test_chunks_over_a_connection_that_stays() -> None:
    async def scenario() -> None:
        async with running() as bench:
            reader, writer = await bench.connect()
            for number in range(20):
                writer.write(packed(chunk=f"c{number}"))
                assert await reader.readexactly(len(ack(f"c{number}"))) == ack(f"c{number}")
            writer.close()
            assert bench.stored() == entries() * 20
            assert bench.number("messages") == bench.number("acknowledged") == 20
            assert bench.receiver.address == f"127.0.0.1:{bench.port}"

    run(scenario)


def test_the_handshake_over_a_socket() -> None:
    async def scenario() -> None:
        async with running(shared_key="secret") as bench:
            reader, writer = await bench.connect()
            writer.write(ping(await reader.read(1_000)))
            pong = msgpack.unpackb(await reader.read(1_000))
            assert pong[:4] == ["PONG", True, "", "muniment.test-node"]
            writer.write(message("a", chunk="c"))
            assert await reader.read(1_000) == ack("c")
            writer.close()

            reader, writer = await bench.connect()
            writer.write(ping(await reader.read(1_000), key="guess"))
            refused = await reader.read()
            assert msgpack.unpackb(refused)[1] is False  # and then the connection ends
            writer.close()
            assert bench.number("unauthenticated") == bench.number("rejected") == 1

    run(scenario)


def test_senders_wait_while_the_log_is_slow_and_nothing_is_lost() -> None:
    async def scenario() -> None:
        async with running(bound=200_000) as bench:
            bench.log.hold = True
            one = packed(packed_events([(n, {"message": "x" * 200}) for n in range(100)]))

            async def sender() -> None:
                _, writer = await bench.connect()
                for _ in range(20):
                    writer.write(one)
                    await writer.drain()
                writer.close()

            senders = [asyncio.create_task(sender()) for _ in range(4)]
            await until(lambda: bench.number("pauses") > 0)
            assert bench.receiver.intake.held < 3_000_000
            bench.log.release()
            await asyncio.gather(*senders)
            await until(lambda: len(bench.stored()) == 8_000)

    run(scenario)


def test_a_stop_makes_durable_what_was_sent_and_acknowledges_it() -> None:
    async def scenario() -> None:
        bench = Bench(1 << 20, {})
        await bench.receiver.start()
        bench.log.refusal, bench.log.fails_later = StorageFailing("full", retry_after=0), True
        reader, writer = await bench.connect()
        writer.write(packed(chunk="c") + message("last"))
        await until(lambda: bench.number("messages") == 2)
        stopping = asyncio.create_task(bench.receiver.stop())
        await until(lambda: bench.receiver.server.held)
        bench.log.refusal = None
        await stopping
        assert await reader.read() == ack("c")
        writer.close()
        assert len(bench.stored()) == len(EVENTS) + 1
        assert bench.receiver.intake.abandoned == 0
        await bench.receiver.stop()

    run(scenario)


def test_a_receiver_that_never_started_can_be_stopped() -> None:
    async def scenario() -> None:
        bench = Bench(1 << 20, {})
        await bench.receiver.stop()
        await bench.receiver.stop()
        with pytest.raises(ConnectionError):
            await bench.connect()

    run(scenario)


def test_heartbeats_over_udp_are_answered() -> None:
    async def scenario() -> None:
        async with running() as bench:
            with socket.socket(type=socket.SOCK_DGRAM) as client:
                client.connect(("127.0.0.1", bench.port))
                client.setblocking(False)
                loop = asyncio.get_running_loop()
                for data in (b"", b"\0", b"x" * 1_000):
                    client.send(data)
                    if data:
                        assert await loop.sock_recv(client, 100) == b"\0"
                assert bench.number("heartbeats") == 2

    run(scenario)


class Outbox(asyncio.DatagramTransport):
    """Counts what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, object]] = []

    def sendto(self, data: bytes, addr: object = None) -> None:
        self.sent.append((data, addr))


def test_answers_to_heartbeats_are_bounded_and_never_longer_than_the_question() -> None:
    clock, outbox = SteppingClock(), Outbox()
    heartbeat = Heartbeat(clock)
    heartbeat.connection_made(outbox)
    heartbeat.datagram_received(b"", ("192.0.2.1", 1))
    assert outbox.sent == []
    for _ in range(MOST_A_SECOND + 10):
        heartbeat.datagram_received(b"\0", ("192.0.2.1", 1))
    assert outbox.sent == [(b"\0", ("192.0.2.1", 1))] * MOST_A_SECOND
    assert heartbeat.ignored == 11
    clock.seconds = 1.0
    heartbeat.datagram_received(b"\0", ("192.0.2.1", 1))
    assert heartbeat.answered == MOST_A_SECOND + 1


def test_every_number_has_a_name_of_its_own() -> None:
    async def scenario() -> None:
        async with running() as bench:
            names = [count.name for count in bench.receiver.counts]
            assert len(set(names)) == len(names)
            assert {count.receiver for count in bench.receiver.counts} == {"forward"}
            assert all(count.value() == 0 for count in bench.receiver.counts)

    run(scenario)
