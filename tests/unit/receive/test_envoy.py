"""Envoy's access log service: messages of many entries become messages of one entry each."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpc_parts import STREAM, Bench, Raw, framed, run, running
from hypothesis import given
from hypothesis import strategies as st
from receive_parts import until

from muniment.budget import Budget, Hold
from muniment.errors import MunimentError, StorageFailing
from muniment.receive.grpc.envoy import cut_message
from muniment.receive.protobuf import varint

MIB = 1 << 20


def field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + varint(len(content)) + content


def identifier(extensions: int = 3, *, log: bytes = b"web") -> bytes:
    """An Identifier as Envoy writes it: id, cluster, metadata, locality, extensions; log_name."""
    node = field(1, b"edge-1") + field(2, b"edge") + field(3, b"\x0a\x03\x0a\x01k")
    node += field(4, field(2, b"zone-a")) + field(6, b"envoy")
    node += field(9, field(1, b"envoy.filters.http.router")) * extensions
    return field(1, node) + field(2, log)


SHORT = field(1, field(1, b"edge-1") + field(2, b"edge") + field(4, field(2, b"zone-a")))
SHORT += field(2, b"web")


def message(*entries: bytes, number: int = 2, first: bytes = b"", others: bytes = b"") -> bytes:
    head = field(1, first) if first else b""
    return head + field(number, b"".join(field(1, entry) for entry in entries)) + others


def cut(data: bytes, known: bytes = b"", room: int = 64 * MIB) -> Any:
    return cut_message(data, known, Hold(Budget(room)).grow)


def test_the_first_message_gives_its_identifier_once_and_its_main_parts_to_each_entry() -> None:
    found = cut(message(b"\x0a\x00", b"\x12\x00", first=identifier()))
    assert found.identifier == SHORT
    assert found.records == [
        field(1, identifier()),
        field(1, SHORT) + field(2, field(1, b"\x0a\x00")),
        field(1, SHORT) + field(2, field(1, b"\x12\x00")),
    ]


@pytest.mark.parametrize("number", [2, 3])
def test_later_messages_get_the_identifier_of_the_first(number: int) -> None:
    found = cut(message(b"a", b"b", number=number), SHORT)
    assert found.identifier == b""
    assert found.records == [
        field(1, SHORT) + field(number, field(1, entry)) for entry in (b"a", b"b")
    ]


def test_what_is_not_known_stays_in_every_record() -> None:
    unknown = field(9, b"later version")
    assert cut(message(b"a", others=unknown)).records == [unknown + field(2, field(1, b"a"))]
    assert cut(unknown, SHORT).records == [field(1, SHORT) + unknown]
    assert cut(b"").records == []


def test_http_and_tcp_entries_in_one_message_are_not_multiplied() -> None:
    found = cut(message(b"a", b"b") + message(b"c", b"d", number=3))
    assert found.records == [
        field(number, field(1, entry))
        for number, entry in ((2, b"a"), (2, b"b"), (3, b"c"), (3, b"d"))
    ]


def test_a_long_identifier_does_not_make_every_entry_long() -> None:
    found = cut(message(*[b"entry"] * 100, first=identifier(3_000)))
    assert len(found.records[0]) > 80_000
    assert {len(record) for record in found.records[1:]} == {len(field(1, SHORT)) + 9}


pieces = st.one_of(
    st.binary(max_size=40),
    st.builds(field, st.integers(1, 15), st.binary(max_size=20)),
    st.builds(message, st.binary(max_size=20), st.binary(max_size=20)),
    st.builds(lambda a: message(a, number=3), st.binary(max_size=20)),
    st.just(field(1, identifier())),
)


@pytest.mark.fuzz
@given(st.lists(pieces, max_size=6).map(b"".join), st.sampled_from([b"", SHORT]))
def test_any_bytes_are_cut_or_refused_in_proportion(data: bytes, known: bytes) -> None:
    try:
        found = cut(data, known)
    except MunimentError:
        return
    size = sum(map(len, found.records))
    assert size <= (len(found.records) + 1) * (2 * len(data) + len(known) + 32)
    assert len(found.records) <= len(data) + 1
    for record in found.records:
        again = cut(record)  # each is a whole message of one entry, and stays as it is
        assert len(again.records) <= 2 + (not known)


@pytest.mark.fuzz
@given(
    st.lists(st.binary(max_size=30), min_size=1, max_size=8),
    st.sampled_from([2, 3]),
    st.integers(0, 300),
    st.binary(min_size=1, max_size=3),
)
def test_a_damaged_message_loses_no_entry_in_silence(
    entries: list[bytes], number: int, place: int, damage: bytes
) -> None:
    good = message(*entries, number=number, first=identifier())
    assert cut(good).records[1:] == [
        field(1, SHORT) + field(number, field(1, entry)) for entry in entries
    ]
    place %= len(good)
    bad = good[:place] + damage + good[place + len(damage) :]
    try:
        found = cut(bad)
    except MunimentError:
        return
    kept = b"".join(found.records)
    assert found.records, bad
    assert len(kept) >= len(bad) - len(identifier()) - 8


def test_a_stream_is_kept_message_by_message() -> None:
    async def scenario() -> None:
        async with running() as bench:
            sent = [message(b"a", b"b", first=identifier()), message(b"c", b"c")]
            assert await bench.stream(sent) == b""
            raws = [raw for _, raw in bench.log.split()]
            assert raws == [
                field(1, identifier()),
                *(
                    field(1, SHORT) + field(2, field(1, entry))
                    for entry in (b"a", b"b", b"c", b"c")
                ),
            ]
            header = bench.log.split()[0][0]
            assert (header["via"], header["as"]) == ("envoy", "envoy")
            assert bench.counts["envoy", "receive_entries"] == 5
            assert bench.counts["envoy", "receive_messages"] == 4

    run(scenario)


def test_streams_do_not_share_identifiers() -> None:
    async def scenario() -> None:
        async with running() as bench:
            raw = await Raw.connect(bench)
            one, two = raw.open(STREAM), raw.open(STREAM)
            await raw.send(one, framed(message(b"a", first=identifier(log=b"one"))))
            await raw.send(two, framed(message(b"b", first=identifier(log=b"two"))))
            await raw.send(one, framed(message(b"c")), end=True)
            await raw.send(two, framed(message(b"d")), end=True)
            assert (await raw.status(one))["grpc-status"] == "0"
            assert (await raw.status(two))["grpc-status"] == "0"
            raws = [record for _, record in bench.log.split()]
            for entry, log in ((b"a", b"one"), (b"b", b"two"), (b"c", b"one"), (b"d", b"two")):
                assert any(log in record and record.endswith(field(1, entry)) for record in raws)
            raw.close()

    run(scenario)


async def settled(bench: Bench, raw: Raw) -> None:
    """Waits until the sender may send nothing more."""
    before = -1.0
    while before != bench.counts["grpc", "receive_bytes"]:
        before = bench.counts["grpc", "receive_bytes"]
        await asyncio.sleep(0.05)


def test_a_log_that_takes_nothing_holds_the_stream_back_and_loses_nothing() -> None:
    async def scenario() -> None:
        async with running() as bench:
            bench.log.refusal = StorageFailing("no disk", retry_after=0)
            raw = await Raw.connect(bench)
            stream = raw.open(STREAM)
            sent = [message(b"%06d" % number + b"x" * 10_000) for number in range(300)]
            data = b"".join(map(framed, sent))
            sending = asyncio.create_task(raw.send(stream, data, end=True))
            await settled(bench, raw)
            assert not sending.done()
            assert bench.counts["grpc", "receive_bytes"] < 400_000 < len(data)
            assert bench.counts["envoy", "receive_retries"] > 0
            bench.log.refusal = None
            await sending
            assert (await raw.status(stream))["grpc-status"] == "0"
            assert [record for _, record in bench.log.split()] == sent
            raw.close()

    run(scenario)


def test_what_arrived_whole_before_the_sender_died_is_kept() -> None:
    async def scenario() -> None:
        async with running() as bench:
            bench.log.hold = True
            raw = await Raw.connect(bench)
            stream = raw.open(STREAM)
            sent = [message(b"%d" % number) for number in range(20)]
            await raw.send(stream, b"".join(map(framed, sent)) + b"\0\0\0\0\xff half a mess")
            await until(lambda: bool(bench.log.held))
            await settled(bench, raw)
            raw.writer.transport.abort()
            await until(lambda: bench.counts["grpc", "receive_connections"] == 0)
            bench.log.release()
            await until(lambda: len(bench.log.entries) == 20)
            assert [record for _, record in bench.log.split()] == sent

    run(scenario)


def test_a_bad_message_ends_its_stream_and_no_other() -> None:
    async def scenario() -> None:
        async with running() as bench:
            raw = await Raw.connect(bench)
            good, bad = raw.open(STREAM), raw.open(STREAM)
            await raw.send(good, framed(message(b"a")))
            await raw.send(bad, framed(message(b"b")) + framed(b"\x0a\xff") + framed(message(b"c")))
            fields = await raw.status(bad)
            assert (fields["grpc-status"], "protobuf" in fields["grpc-message"]) == ("3", True)
            await raw.send(good, framed(message(b"d")), end=True)
            assert (await raw.status(good))["grpc-status"] == "0"
            kept = sorted(record for _, record in bench.log.split())
            assert kept == sorted(message(entry) for entry in (b"a", b"b", b"d"))
            assert bench.counts["envoy", "receive_refused"] == 1
            raw.close()

    run(scenario)
