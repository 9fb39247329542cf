"""Syslog over TCP, over real sockets: every message once, and senders that have to wait."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import uvloop
from receive_parts import MemoryLog, SteppingClock, make_intake, until

from muniment.errors import StorageFailing
from muniment.receive.intake import MAX_RECORD
from muniment.receive.sockets import bind_pair
from muniment.receive.syslog import SyslogTcp
from muniment.settings import Address


class Bench:
    """A receiver that runs, and senders to it."""

    def __init__(self, log: MemoryLog, bound: int, connections: int, idle: float) -> None:
        self.log, self.clock = log, SteppingClock()
        stream, datagrams = bind_pair(Address("127.0.0.1", 0))
        datagrams.close()
        self.port = stream.getsockname()[1]
        intake = make_intake(log, bound, self.clock)
        self.receiver = SyslogTcp(
            stream, "syslog", intake, self.clock, max_connections=connections, idle_seconds=idle
        )

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, data: bytes) -> None:
        """One connection that sends this and ends."""
        reader, writer = await self.connect()
        writer.write(data)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


@asynccontextmanager
async def running(
    bound: int = 1 << 20, connections: int = 10, idle: float = 60.0
) -> AsyncIterator[Bench]:
    bench = Bench(MemoryLog(), bound, connections, idle)
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


def test_messages_arrive_as_they_are_in_either_framing() -> None:
    async def scenario() -> None:
        async with running() as bench:
            await bench.send(b"<13>a line \xff\r\n<14>the last, without an end")
            await bench.send(b"9 <13>a\nb\0c12 <165>1 - - -")
            await until(lambda: len(bench.log.entries) == 4)
            assert bench.log.raws() == [
                b"<13>a line \xff\r",
                b"<14>the last, without an end",
                b"<13>a\nb\0c",
                b"<165>1 - - -",
            ]
            header = bench.log.split()[0][0]
            assert (header["via"], header["as"], header["node"]) == (
                "syslog-tcp",
                "syslog",
                "test-node",
            )
            assert header["peer"].startswith("127.0.0.1:")
            assert bench.log.own() == []

    run(scenario)


def test_many_senders_in_any_pieces_each_in_order() -> None:
    async def scenario() -> None:
        async with running() as bench:
            choose = random.Random(7)

            async def sender(name: int) -> None:
                _, writer = await bench.connect()
                texts = [b"<13>%d %d" % (name, number) for number in range(500)]
                stream = b"".join(b"%d %s" % (len(t), t) if name % 2 else t + b"\n" for t in texts)
                while stream:
                    cut = choose.randint(1, 700)
                    writer.write(stream[:cut])
                    await writer.drain()
                    stream = stream[cut:]
                writer.close()

            await asyncio.gather(*(sender(name) for name in range(8)))
            await until(lambda: len(bench.log.entries) == 4_000)
            for name in range(8):
                prefix = b"<13>%d " % name
                of_sender = [raw for raw in bench.log.raws() if raw.startswith(prefix)]
                assert of_sender == [prefix + b"%d" % number for number in range(500)]

    run(scenario)


def test_a_message_longer_than_an_entry_is_cut_and_said_to_be() -> None:
    async def scenario() -> None:
        async with running() as bench:
            await bench.send(b"<13>" + b"x" * 100_000 + b"\n<13>next\n")
            await until(lambda: len(bench.log.entries) == 3)
            first, second = bench.log.raws()
            assert (len(first), second) == (MAX_RECORD, b"<13>next")
            notice = bench.log.own()[0]
            assert notice["action"] == "syslog.cut"
            assert (notice["kept"], notice["lost"]) == (MAX_RECORD, 100_004 - MAX_RECORD)
            assert notice["peer"].startswith("127.0.0.1:")
            assert bench.receiver.cut == 1

    run(scenario)


def test_while_the_log_refuses_senders_wait_and_nothing_is_lost() -> None:
    async def scenario() -> None:
        async with running(bound=100_000) as bench:
            bench.log.refusal = StorageFailing("No space left on device", retry_after=0)
            texts = [b"<13>%06d %s" % (number, b"x" * 200) for number in range(50_000)]
            sending = asyncio.create_task(bench.send(b"".join(text + b"\n" for text in texts)))
            await until(lambda: bench.receiver.server.held)
            taken = bench.receiver.server.bytes
            for _ in range(50):
                await asyncio.sleep(0)
            assert bench.receiver.server.bytes == taken
            assert bench.receiver.intake.held < 1_000_000
            assert not sending.done()

            bench.log.refusal = None
            await sending
            await until(lambda: len(bench.log.entries) == len(texts))
            assert bench.log.raws() == texts
            assert bench.receiver.server.pauses >= 1

    run(scenario)


def test_a_new_connection_waits_too_while_the_log_refuses() -> None:
    async def scenario() -> None:
        async with running(bound=1_000) as bench:
            bench.log.hold = True
            _, early = await bench.connect()
            early.write(b"<13>" + b"x" * 2_000 + b"\n")
            await until(lambda: bench.receiver.server.held)
            _, writer = await bench.connect()
            writer.write(b"<13>late\n")
            await until(lambda: len(bench.receiver.server.connections) == 2)
            before = bench.receiver.server.bytes
            for _ in range(50):
                await asyncio.sleep(0)
            assert bench.receiver.server.bytes == before
            bench.log.release()
            await until(lambda: len(bench.log.entries) == 2)
            early.close()
            writer.close()

    run(scenario)


def test_connections_over_the_bound_are_refused_and_counted() -> None:
    async def scenario() -> None:
        async with running(connections=2) as bench:
            kept = [await bench.connect() for _ in range(2)]
            await until(lambda: len(bench.receiver.server.connections) == 2)
            reader, writer = await bench.connect()
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            assert bench.receiver.server.refused == 1
            for _, other in kept:
                other.close()
            await until(lambda: not bench.receiver.server.connections)
            await bench.send(b"<13>room again\n")
            await until(lambda: len(bench.log.entries) == 1)

    run(scenario)


def test_a_connection_that_is_silent_for_long_is_closed() -> None:
    async def scenario() -> None:
        async with running(idle=60.0) as bench:
            reader, writer = await bench.connect()
            writer.write(b"<13>half a mess")
            await until(lambda: bench.receiver.server.bytes == 15)
            bench.clock.seconds = 61.0
            assert await reader.read() == b""
            assert bench.receiver.server.idle == 1
            writer.close()
            await until(lambda: len(bench.log.entries) == 1)
            assert bench.log.raws() == [b"<13>half a mess"]

    run(scenario)


def test_a_stop_takes_all_that_was_sent_before_it() -> None:
    async def scenario() -> None:
        bench = Bench(MemoryLog(), 1 << 30, 10, 60.0)
        await bench.receiver.start()
        texts = [b"<13>%d" % number for number in range(20_000)]
        _, writer = await bench.connect()
        writer.write(b"".join(text + b"\n" for text in texts) + b"<13>unfinished")
        await writer.drain()
        await bench.receiver.stop()
        assert bench.log.raws() == [*texts, b"<13>unfinished"]
        await bench.receiver.stop()
        writer.close()

    run(scenario)


def test_a_sender_that_looks_for_the_end_loses_nothing_at_a_stop() -> None:
    """It is told before the last is read: what it sent until it saw that is taken."""

    async def scenario() -> None:
        bench = Bench(MemoryLog(), 1 << 30, 10, 60.0)
        await bench.receiver.start()
        reader, writer = await bench.connect()
        texts: list[bytes] = []

        async def send() -> None:
            while not reader.at_eof():
                texts.append(b"<13>%d" % len(texts))
                writer.write(texts[-1] + b"\n")
                await asyncio.sleep(0.001)
            writer.close()

        sending = asyncio.create_task(send())
        reading = asyncio.create_task(reader.read())
        await until(lambda: len(bench.log.entries) > 10)
        await bench.receiver.stop()
        assert await reading == b""
        await sending
        assert bench.log.raws() == texts

    run(scenario)


def test_a_receiver_that_was_not_started_can_be_stopped() -> None:
    async def scenario() -> None:
        bench = Bench(MemoryLog(), 1, 1, 1.0)
        await bench.receiver.stop()

    run(scenario)


def test_hostile_bytes_close_nothing_and_raise_nothing() -> None:
    async def scenario() -> None:
        async with running() as bench:
            choose = random.Random(11)
            for _ in range(50):
                await bench.send(choose.randbytes(choose.randint(0, 3_000)))
            await bench.send(b"<13>still here\n")
            await until(lambda: b"<13>still here" in bench.log.raws())

    run(scenario)
