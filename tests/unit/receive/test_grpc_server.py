"""The gRPC server against peers that are slow, hostile or gone, and while it stops."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from threading import Event
from typing import Any, cast

import grpc
import pytest
from grpc_parts import EXPORT, STREAM, Bench, Raw, bodies, framed, request, run, running
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import H2Error
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st
from receive_parts import until

from muniment.access import Caller, Scope
from muniment.budget import Budget
from muniment.errors import InputError, TooLarge
from muniment.receive.coding import Coding
from muniment.receive.grpc.call import Bounds, Call
from muniment.receive.grpc.frames import FrameBounds
from muniment.receive.grpc.session import MAX_CALLS, MAX_IDLE_FRAMES, GrpcSession
from muniment.receive.grpc.status import Code, Status

MIB = 1 << 20


def conversation() -> bytes:
    """What an ordinary client says: two calls, a ping, a stream."""
    client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    client.initiate_connection()
    for path, messages in ((EXPORT, [request("one")]), (STREAM, [b"\x12\x03\x0a\x01a"] * 3)):
        call = client.get_next_available_stream_id()
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "m")]
        client.send_headers(call, [*fields, ("content-type", "application/grpc")])
        for message in messages:
            client.send_data(call, framed(message))
        client.ping(b"12345678")
        client.end_stream(call)
    return client.data_to_send()


GOOD = conversation()


async def still_well(bench: Bench) -> None:
    """An ordinary sender goes on."""
    await bench.export(request("still here"))
    assert bodies(bench)[-1] == "still here"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
        b"x" * MIB,
    ],
)
def test_garbage_closes_its_own_connection(data: bytes) -> None:
    async def scenario() -> None:
        async with running() as bench:
            raw = await Raw.connect(bench)
            raw.writer.write(data)
            await raw.closed()
            assert bench.counts["grpc", "receive_garbage"] == 1
            raw.close()
            await still_well(bench)

    run(scenario)


@pytest.mark.parametrize(
    "fields",
    [
        {"content_type": "text/html"},
        {"content_type": "application/grpc-web"},
        {"content_type": "application/json"},
        {":method": "GET"},
    ],
)
def test_what_is_no_grpc_is_told_so(fields: dict[str, str]) -> None:
    async def scenario() -> None:
        async with running() as bench:
            raw = await Raw.connect(bench)
            call = raw.open(EXPORT, **fields)
            await raw.send(call, b"{}", end=True)
            assert (await raw.status(call))[":status"] == "415"
            raw.close()
            await still_well(bench)

    run(scenario)


def test_connections_over_the_bound_are_refused() -> None:
    async def scenario() -> None:
        async with running(max_connections=1) as bench:
            first = await Raw.connect(bench)
            await first.read()
            second = await Raw.connect(bench)
            await second.closed()
            assert bench.counts["grpc", "receive_refused"] == 1
            call = first.open()
            await first.send(call, framed(request("x")), end=True)
            assert (await first.status(call))["grpc-status"] == "0"
            first.close()

    run(scenario)


def test_a_bomb_is_refused_before_it_costs_memory() -> None:
    async def scenario() -> None:
        async with running(max_message=MIB, buffer=8 * MIB) as bench:
            bomb = gzip.compress(bytes(64 * MIB), 9)
            assert len(bomb) < MIB
            raw = await Raw.connect(bench)
            call = raw.open(grpc_encoding="gzip")
            await raw.send(call, framed(bomb, 1), end=True)
            fields = await raw.status(call)
            assert (fields["grpc-status"], "unpacks" in fields["grpc-message"]) == ("3", True)
            raw.close()
            await still_well(bench)

    asyncio.run(scenario())


def test_a_message_that_is_compressed_as_was_not_said_is_refused() -> None:
    async def scenario() -> None:
        async with running() as bench:
            raw = await Raw.connect(bench)
            for flag in (1, 2, 255):
                call = raw.open()
                await raw.send(call, framed(request("x"), flag), end=True)
                assert (await raw.status(call))["grpc-status"] == "3"
            damaged = raw.open(grpc_encoding="gzip")
            await raw.send(damaged, framed(b"\x1f\x8b no gzip", 1), end=True)
            assert (await raw.status(damaged))["grpc-status"] == "3"
            raw.close()
            assert bench.log.entries == []

    run(scenario)


def test_all_messages_together_have_a_bound_and_those_over_it_come_again() -> None:
    async def scenario() -> None:
        async with running(max_message=MIB, buffer=MIB) as bench:
            holders = [await Raw.connect(bench) for _ in range(3)]
            half = framed(bytes(700_000))[:500_000]
            calls = []
            for raw in holders:
                calls.append(raw.open())
                with suppress(H2Error):  # the server ends the last one
                    await raw.send(calls[-1], half)
            assert (await holders[2].status(calls[2]))["grpc-status"] == "14"
            assert 900_000 < bench.server.memory.held <= MIB
            for raw in holders:
                raw.close()
            await until(lambda: bench.server.memory.held == 0)
            await still_well(bench)

    asyncio.run(scenario())


def test_an_answer_waits_for_room_in_the_clients_window() -> None:
    async def scenario() -> None:
        async with running() as bench:
            raw = await Raw.connect(bench)
            raw.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
            call = raw.open()
            await raw.send(call, framed(request("x")), end=True)
            await until(lambda: len(bench.log.entries) == 1)
            raw.h2.increment_flow_control_window(4, call)
            await raw.flush()
            await asyncio.sleep(0.05)
            raw.h2.increment_flow_control_window(1, call)
            assert (await raw.status(call))["grpc-status"] == "0"
            raw.close()

    run(scenario)


def test_a_message_that_drips_is_ended_and_others_on_the_connection_go_on() -> None:
    async def scenario() -> None:
        async with running() as bench:
            raw = await Raw.connect(bench)
            slow = raw.open()
            whole = framed(request("slow"))
            await raw.send(slow, whole[:8])
            await until(lambda: bench.server.memory.held == 8)
            for second in range(2, 70, 2):
                bench.clock.seconds = float(second)
                raw.h2.ping(bytes(8))
                await raw.read()
            assert (await raw.status(slow))["grpc-status"] == "4"
            quick = raw.open()
            await raw.send(quick, framed(request("quick")), end=True)
            assert (await raw.status(quick))["grpc-status"] == "0"
            assert bodies(bench) == ["quick"]
            raw.close()

    run(scenario)


def test_a_message_that_is_begun_and_left_gives_its_memory_back() -> None:
    async def scenario() -> None:
        async with running() as bench:
            raw = await Raw.connect(bench)
            left = raw.open()
            await raw.send(left, framed(request("left"))[:8])
            await until(lambda: bench.server.memory.held == 8)
            while bench.server.memory.held:
                bench.clock.seconds += 1.0
                await asyncio.sleep(0.01)
            assert (await raw.status(left))["grpc-status"] == "4"
            raw.close()

    run(scenario)


def pings(raw: Raw) -> None:
    raw.h2.ping(bytes(8))


def resets(raw: Raw) -> None:
    raw.h2.reset_stream(raw.open())


def calls_that_are_reset(raw: Raw) -> None:
    call = raw.open()
    raw.h2.send_data(call, framed(request("x"))[:9])
    raw.h2.reset_stream(call)


def settings_frames(raw: Raw) -> None:
    raw.writer.write(bytes.fromhex("000000040000000000"))


@pytest.mark.parametrize("frame", [pings, resets, calls_that_are_reset, settings_frames])
def test_floods_of_frames_without_data_end_the_connection(frame: Callable[[Raw], None]) -> None:
    async def scenario() -> None:
        async with running() as bench:
            raw = await Raw.connect(bench)
            await raw.read()
            for _ in range(MAX_IDLE_FRAMES + 500):
                frame(raw)
                await raw.flush()
            await raw.closed()
            assert bench.counts["grpc", "receive_floods"] == 1
            raw.close()
            await still_well(bench)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "data",
    [
        GOOD[:24] + b"\xff\xff\xff\0\0\0\0\0\1",
        GOOD[:24] + b"\0\x40\1\0\0\0\0\0\1",
        GOOD[:24]
        + b"\0\x40\0\1\0\0\0\0\1"
        + bytes(16_384)
        + 2 * (b"\0\x40\0\x09\0\0\0\0\1" + bytes(16_384)),
    ],
)
def test_frames_that_are_too_long_are_refused_at_their_head(data: bytes) -> None:
    async def scenario() -> None:
        async with running() as bench:
            raw = await Raw.connect(bench)
            raw.writer.write(data)
            await raw.closed()
            assert bench.counts["grpc", "receive_garbage"] == 1
            raw.close()

    run(scenario)


@given(st.lists(st.integers(0, 16_384), max_size=5), st.lists(st.integers(0, 90_000), max_size=9))
def test_frames_within_the_bounds_pass_in_any_pieces(sizes: list[int], cuts: list[int]) -> None:
    frames = [size.to_bytes(3, "big") + bytes(6) + b"\xff" * size for size in sizes]
    data = GOOD[:24] + b"".join(frames)
    for last in (b"", b"\0\x40\1" + bytes(6)):
        bounds = FrameBounds()
        whole = data + last
        places = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
        pieces = [whole[start:end] for start, end in pairwise(places)]
        if not last:
            for piece in pieces:
                bounds.check(piece)
            continue
        with pytest.raises(TooLarge):
            for piece in pieces:
                bounds.check(piece)


def test_a_client_that_does_not_know_the_settings_yet_may_open_more_calls() -> None:
    async def scenario() -> None:
        async with running() as bench:
            raw = await Raw.connect(bench)
            raw.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 1_000
            raw.h2.remote_settings.acknowledge()
            calls = [raw.open() for _ in range(3 * MAX_CALLS)]
            for call in calls:
                raw.h2.send_data(call, framed(request("x")), end_stream=True)
            for call in calls:
                assert (await raw.status(call))["grpc-status"] == "0"
            assert raw.h2.remote_settings.max_concurrent_streams == MAX_CALLS
            raw.close()

    run(scenario)


def test_metadata_without_end_closes_the_connection() -> None:
    async def scenario() -> None:
        async with running() as bench:
            raw = await Raw.connect(bench)
            raw.open(EXPORT, *[(f"x-{number}", "y" * 1_000) for number in range(40)])
            await raw.flush()
            await raw.closed()
            assert bench.counts["grpc", "receive_garbage"] == 1
            raw.close()
            await still_well(bench)

    run(scenario)


def test_refused_calls_cost_no_memory_however_much_they_send() -> None:
    async def scenario() -> None:
        async with running(required=True) as bench:
            raw = await Raw.connect(bench)
            call = raw.open()
            await raw.flush()
            assert (await raw.status(call))["grpc-status"] == "16"
            assert bench.server.memory.held == 0
            raw.close()

    run(scenario)


def test_a_stop_answers_what_is_under_way_and_takes_what_was_sent() -> None:
    async def scenario() -> None:
        async with running() as bench:
            bench.log.hold = True
            sent = [b"\x12\x03\x0a\x01a", b"\x12\x03\x0a\x01b"]
            open_end = Event()

            def messages() -> Iterator[bytes]:
                yield from sent
                open_end.wait(20)

            unary = asyncio.create_task(bench.export(request("one")))
            stream = asyncio.create_task(bench.stream(messages()))
            await until(lambda: len(bench.log.held) == 2)
            stopping = asyncio.create_task(bench.server.stop())
            await asyncio.sleep(0.3)
            assert not stopping.done()
            bench.log.release()
            assert await unary == b""
            assert await stream == b""
            open_end.set()
            await stopping
            assert sorted(record for _, record in bench.log.split()) == sorted(
                [*sent, request("one")]
            )
            with pytest.raises(grpc.RpcError):
                await bench.export(request("late"))

    run(scenario)


def test_a_server_that_was_not_started_can_be_stopped() -> None:
    async def scenario() -> None:
        async with running() as bench:
            await bench.server.stop()
            await bench.server.stop()

    run(scenario)


def test_explanations_are_one_line_of_ascii() -> None:
    (_, message) = Status(Code.INVALID_ARGUMENT, "a\nb % ü \ud800" + "x" * 5_000).trailers
    assert message[1].startswith(b"a%0Ab %25 %C3%BC ")
    assert len(message[1]) < 1_100


class Wire:
    """A connection that keeps what is written."""

    peer, sender, closing = "127.0.0.1:1", "", False

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closing = True


hostile = st.one_of(
    st.binary(max_size=200).map(lambda data: GOOD[:24] + data),
    st.tuples(st.integers(0, len(GOOD)), st.binary(min_size=1, max_size=9)).map(
        lambda change: GOOD[: change[0]] + change[1] + GOOD[change[0] + len(change[1]) :]
    ),
    st.tuples(st.integers(24, len(GOOD)), st.integers(24, len(GOOD))).map(
        lambda cut: GOOD[: cut[0]] + GOOD[cut[1] :]
    ),
    st.just(GOOD),
)


@pytest.mark.fuzz
@settings(deadline=None)
@given(hostile, st.lists(st.integers(0, 2_000), max_size=5))
def test_any_bytes_leave_whole_entries_and_no_memory(data: bytes, cuts: list[int]) -> None:
    async def scenario() -> None:
        async with running() as bench:
            wire = Wire()
            session = GrpcSession(bench.server, cast(Any, wire))
            places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
            for start, end in pairwise(places):
                if not wire.closing:
                    session.feed(data[start:end])
                await asyncio.sleep(0)
            session.end()
            await until(lambda: bench.counts["grpc", "receive_calls"] == 0)
            assert bench.server.memory.held == 0
            assert len(wire.written) <= 2_000 + 20 * len(data)
            raws = [raw for _, raw in bench.log.split()]
            if data == GOOD:
                assert raws == [request("one"), *[b"\x12\x03\x0a\x01a"] * 3]
            assert len(raws) <= 4 + len(data)

    asyncio.run(scenario())


@pytest.mark.fuzz
@given(
    st.lists(st.binary(max_size=50), max_size=6),
    st.binary(max_size=8),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_messages_come_out_as_they_went_in_whatever_the_pieces(
    messages: list[bytes], rest: bytes, cuts: list[int]
) -> None:
    async def scenario() -> None:
        consumed = 0

        def more(flow: int) -> None:
            nonlocal consumed
            consumed += flow

        budget = Budget(MIB)
        bounds = Bounds(40, budget, cast(Any, None))
        caller = Caller("someone", frozenset({Scope.WRITE}))
        call = Call(b"/", caller, "", "default", Coding.IDENTITY, bounds, more)
        data = b"".join(map(framed, messages)) + rest
        places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
        for start, end in pairwise(places):
            call.feed(data[start:end], end - start)
        call.finish()
        found = []
        try:
            while (message := await call.message()) is not None:
                found.append(message)
        except InputError:
            pass
        short = [len(message) <= 40 for message in messages]
        expected = messages[: short.index(False)] if False in short else messages
        assert found[: len(expected)] == expected
        call.close()
        assert (consumed, budget.held) == (len(data), 0)

    asyncio.run(scenario())


def test_random_noise_after_a_good_beginning_does_not_stop_the_server() -> None:
    async def scenario() -> None:
        async with running() as bench:
            choose = random.Random(7)
            for _ in range(40):
                raw = await Raw.connect(bench)
                raw.writer.write(GOOD[: choose.randint(24, len(GOOD))] + choose.randbytes(300))
                raw.writer.write_eof()
                await raw.closed()
                raw.close()
            await still_well(bench)

    run(scenario)
