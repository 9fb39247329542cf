"""Kafka: what a record becomes, and that offsets are committed after durability only."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("confluent_kafka", reason="the extra `kafka` is not installed")

from kafka_parts import TOPIC, Cluster, RememberingLog, consumer, consuming, values
from receive_parts import until

from muniment import kernel
from muniment.errors import SettingsError, StorageFailing
from muniment.receive.groups import pack
from muniment.receive.header import Origin
from muniment.receive.kafka.records import MAX_ABOUT, Known, Partition, Record

PLACE = Partition("cluster", "muniment", TOPIC, 3)
AT = "2026-01-01T00:00:00.000000Z"


def entries(records: Sequence[Record]) -> list[tuple[dict[str, Any], bytes]]:
    """Header and bytes of all entries that records become."""
    chunks = pack(PLACE.groups(records, "text"), AT, "node", Origin("kafka", ""))
    found = []
    for chunk in chunks:
        for entry in kernel.unpack(chunk.payload):
            header, _, raw = entry.partition(b"\n")
            found.append((json.loads(header), raw))
    return found


def test_an_entry_is_the_value_and_its_header_says_the_rest() -> None:
    record = Record(
        7, b"line\n", b"edge-1", 1_700_000_000_000, [("tenant", b"a"), ("tenant", b"b")]
    )
    ((header, raw),) = entries([record])
    assert raw == b"line\n"
    assert (header["via"], header["as"], header["seq"]) == ("kafka", "text", 7)
    assert header["about"] == {
        "topic": TOPIC,
        "partition": "3",
        "timestamp": "1700000000000",
        "key": "edge-1",
        "header.tenant": "a",
        "header.tenant#2": "b",
    }


def test_nothing_that_a_record_says_is_lost() -> None:
    record = Record(1, None, b"\xff", None, [("a", None), ("b", b"\0"), ("c", b"")])
    ((header, raw),) = entries([record])
    assert raw == b""
    assert header["about"] == {
        "topic": TOPIC,
        "partition": "3",
        "key.base64": "/w==",
        "value.null": "true",
        "header.a.null": "true",
        "header.b.base64": "AA==",
        "header.c": "",
    }


def test_records_that_agree_and_follow_each_other_share_a_header() -> None:
    sent = [Record(n, b"%d" % n, b"k") for n in (1, 2, 3, 5, 6)] + [Record(7, b"7", b"other")]
    groups = PLACE.groups(sent, "text")
    assert [(group.seq, len(group.records)) for group in groups] == [(1, 3), (5, 2), (7, 1)]


def test_a_long_key_is_an_entry_of_its_own_before_the_record() -> None:
    sent = [Record(1, b"a"), Record(2, b"b", b"k" * 100_000, 5, [("h", None)]), Record(3, b"c")]
    found = entries(sent)
    assert [raw for header, raw in found if header["as"] == "text"] == [b"a", b"b", b"c"]
    parts = [(header, raw) for header, raw in found if header["as"] == "muniment"]
    assert [header["part"]["number"] for header, _ in parts] == [1, 2, 3]
    head = json.loads(b"".join(raw for _, raw in parts))
    assert b64decode(head["key"]) == b"k" * 100_000
    assert (head["headers"], head["resource"]) == ([["h", None]], "edge/3@2")
    assert found[-2][0]["about"] == {"topic": TOPIC, "partition": "3", "head": "before"}


words = st.one_of(st.none(), st.binary(max_size=20), st.sampled_from([b"x" * 3_000, b"\0" * 4_000]))
records_st = st.lists(
    st.builds(
        Record,
        st.integers(0, 1 << 40),
        words,
        words,
        st.one_of(st.none(), st.integers(0, 1 << 42)),
        st.lists(st.tuples(st.text(max_size=5), words), max_size=4),
    ),
    max_size=6,
).map(lambda found: sorted(found, key=lambda record: record.offset))


@pytest.mark.fuzz
@given(records_st)
def test_any_records_become_entries_that_hold_all_of_them(records: list[Record]) -> None:
    found = entries(records)
    own = [(header, raw) for header, raw in found if header["as"] == "text"]
    assert [raw for _, raw in own] == [record.value or b"" for record in records]
    heads = [json.loads(raw) for header, raw in found if header["as"] == "muniment"]
    for record, (header, _) in zip(records, own, strict=True):
        about = header["about"]
        assert header["seq"] <= record.offset
        if "head" in about:
            head = heads.pop(0)
            key, tombstone = head["key"], head["tombstone"]
            assert (None if key is None else b64decode(key)) == record.key
            assert len(head["headers"]) == len(record.headers)
        else:
            assert sum(map(len, about.values())) < 3 * MAX_ABOUT
            tombstone = "value.null" in about
            key = about.get("key")
            told = b64decode(about["key.base64"]) if "key.base64" in about else key
            assert told == record.key or told.encode() == record.key
            assert len([name for name in about if name.startswith("header.")]) == len(
                record.headers
            )
        assert tombstone is (record.value is None)
    assert heads == []


def test_batches_that_the_log_knows_are_known_again_and_no_others() -> None:
    sent = [Record(n, b"x", None, 1_000 + n) for n in range(30)]
    ids = [PLACE.batch_id(sent[:10]), PLACE.batch_id(sent[20:25]), "kafka other 0-99 1", "else"]
    known = Known.of(PLACE, ids)
    assert [r.offset for r in sent if not known.has(r)] == [*range(10, 20), *range(25, 30)]
    other = Partition("cluster", "muniment", TOPIC, 4)
    assert not any(Known.of(other, ids).has(record) for record in sent)
    anew = [Record(n, b"x", None, 9_000 + n) for n in range(30)]
    known = Known.of(PLACE, ids)
    assert not any(known.has(record) for record in anew)


def test_ids_are_short_whatever_the_names() -> None:
    place = Partition("c" * 300, "g" * 300, "t" * 249, 1 << 31)
    assert len(place.batch_id([Record(1 << 62, b"", None, 1 << 62)])) < 255


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"enable.auto.commit": "true"}, "set by Muniment"),
        ({"group.id": "x"}, "brokers and group"),
        ({"error_cb": "x"}, "set by Muniment"),
        ({"no.such.option": "s3cret"}, "no.such.option"),
        ({"security.protocol": "s3cret"}, "security.protocol"),
    ],
)
def test_options_that_cannot_be_are_told_without_their_values(
    options: dict[str, str], complaint: str
) -> None:
    cluster = Cluster()
    with pytest.raises(SettingsError, match=complaint) as caught:
        consumer(cluster, RememberingLog(), options)
    assert "s3cret" not in str(caught.value)


def test_records_arrive_in_order_and_are_committed() -> None:
    async def scenario() -> None:
        cluster, log = Cluster(), RememberingLog()
        await asyncio.to_thread(cluster.send, *[b"%d" % n for n in range(500)])
        await asyncio.to_thread(cluster.send, *[b"the same"] * 1_000, partition=1)
        async with consuming(cluster, log) as receiver:
            await until(lambda: len(log.entries) == 1_500)
            await asyncio.to_thread(cluster.send, b"later", None, key=b"k")
            await until(lambda: len(log.entries) == 1_502)
            meters = receiver.meters
            assert (meters.messages, meters.entries, meters.known) == (1_502, 1_502, 0)
            assert meters.connected
        found = [(header["about"]["partition"], raw) for header, raw in log.split()]
        assert [raw for partition, raw in found if partition == "0"] == [
            *(b"%d" % n for n in range(500)),
            b"later",
            b"",
        ]
        assert [raw for partition, raw in found if partition == "1"] == [b"the same"] * 1_000
        assert await asyncio.to_thread(cluster.committed) == 502
        assert await asyncio.to_thread(cluster.committed, 1) == 1_000

    asyncio.run(scenario())


def test_nothing_is_committed_before_it_is_durable() -> None:
    async def scenario() -> None:
        cluster, log = Cluster(), RememberingLog()
        await asyncio.to_thread(cluster.send, *[b"%d" % n for n in range(50)])
        log.hold = True
        async with consuming(cluster, log) as receiver:
            await until(lambda: receiver.meters.pauses > 0)
            await asyncio.sleep(1.5)  # commits would have been made by now
            assert await asyncio.to_thread(cluster.committed) < 0
            log.release()
            await until(lambda: len(log.entries) == 50)
        assert await asyncio.to_thread(cluster.committed) == 50

    asyncio.run(scenario())


def test_a_log_that_takes_nothing_is_asked_until_it_does() -> None:
    async def scenario() -> None:
        cluster, log = Cluster(), RememberingLog()
        await asyncio.to_thread(cluster.send, *[b"%d" % n for n in range(50)])
        log.refusal = StorageFailing("no disk", retry_after=0)
        async with consuming(cluster, log) as receiver:
            await until(lambda: receiver.meters.retries > 3)
            await asyncio.to_thread(cluster.send, *[b"%d" % n for n in range(50, 90)])
            log.refusal = None
            await until(lambda: len(log.entries) == 90)
            assert values(log) == [b"%d" % n for n in range(90)]

    asyncio.run(scenario())


def test_a_stop_while_the_log_takes_nothing_leaves_the_records_to_the_next_start() -> None:
    async def scenario() -> None:
        cluster, log = Cluster(), RememberingLog()
        await asyncio.to_thread(cluster.send, *[b"%d" % n for n in range(50)])
        log.refusal = StorageFailing("no disk", retry_after=0)
        receiver = consumer(cluster, log)
        await receiver.start()
        await until(lambda: receiver.meters.retries > 0)
        await receiver.stop()
        assert log.entries == []
        log.refusal = None
        async with consuming(cluster, log):
            await until(lambda: len(log.entries) == 50)
        assert values(log) == [b"%d" % n for n in range(50)]

    asyncio.run(scenario())


def test_what_was_durable_and_not_committed_is_not_doubled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        cluster, log = Cluster(), RememberingLog()
        await asyncio.to_thread(cluster.send, *[b"the same"] * 50)
        died = consumer(cluster, log)
        monkeypatch.setattr(died._member, "_commit", lambda *, asynchronous: None)
        await died.start()
        await until(lambda: len(log.entries) == 50)
        await died.stop()
        assert await asyncio.to_thread(cluster.committed) < 0
        await asyncio.to_thread(cluster.send, *[b"the same"] * 7)
        async with consuming(cluster, log) as receiver:
            await until(lambda: len(log.entries) == 57)
            assert (receiver.meters.known, receiver.meters.entries) == (50, 7)
        assert await asyncio.to_thread(cluster.committed) == 57

    asyncio.run(scenario())


def test_offsets_amid_a_known_batch_are_committed_to_its_end() -> None:
    """A crash after a commit amid it would leave nothing to recognise the rest of it by."""
    log = RememberingLog()
    receiver = consumer(Cluster(), log)
    place = (TOPIC, 3)
    sent = [Record(n, b"the same", None, 1_000) for n in range(20)]
    receiver._member._known[place] = Known.of(PLACE, [PLACE.batch_id(sent[:10])])
    for records, following in ((sent[:7], 10), (sent[7:12], 12), (sent[12:], 20)):
        receiver._member._keep(place, records)
        assert receiver._member._offsets._durable[place] == following
    assert (receiver.meters.known, len(log.entries)) == (10, 10)
    asyncio.run(receiver.stop())


def test_a_member_that_fails_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("a defect")

    async def scenario() -> None:
        cluster, log = Cluster(), RememberingLog()
        await asyncio.to_thread(cluster.send, *[b"%d" % n for n in range(50)])
        receiver = consumer(cluster, log)
        failing = receiver._member
        monkeypatch.setattr(failing, "_round", fail)
        await receiver.start()
        await until(lambda: len(log.entries) == 50)
        assert receiver._member is not failing
        await receiver.stop()
        assert await asyncio.to_thread(cluster.committed) == 50

    asyncio.run(scenario())


def test_a_broker_that_is_away_is_waited_for() -> None:
    async def scenario() -> None:
        cluster, log = Cluster(), RememberingLog()
        cluster.brokers = "127.0.0.1:1"
        async with consuming(cluster, log) as receiver:
            await until(lambda: receiver.troubles.count > 0)
            assert not receiver.meters.connected

    asyncio.run(scenario())


def test_a_receiver_that_was_not_started_can_be_stopped() -> None:
    async def scenario() -> None:
        receiver = consumer(Cluster(), RememberingLog())
        await receiver.stop()
        await receiver.stop()

    asyncio.run(scenario())
