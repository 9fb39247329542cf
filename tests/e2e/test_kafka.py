"""Records of a real Kafka broker, produced by a client that we did not write."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any

import pytest

pytest.importorskip("confluent_kafka", reason="the extra `kafka` is not installed")

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from muniment.trust.directory import verify_directory

from .harness.kafka import Broker, kafka
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

LINE = b'10.0.0.7 - - [20/Nov/2026:10:00:00 +0000] "GET /cart HTTP/1.1" 200 12 "-" "curl/8"'
GROUP = "muniment"
PARTITIONS = 3


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with kafka(tmp_path_factory.mktemp("kafka")) as found:
        yield found


def topic(broker: Broker, name: str, **config: str) -> str:
    """Makes a topic; returns its name."""
    admin = AdminClient({"bootstrap.servers": broker.address})
    named = {key.replace("_", "."): value for key, value in config.items()}
    made = admin.create_topics([NewTopic(name, PARTITIONS, 1, config=named)])
    made[name].result(30)
    return name


@dataclass
class Consuming:
    """A server that consumes a topic, and a producer of it."""

    server: MunimentServer
    topic: str
    producer: Producer

    def send(self, *values: bytes | None, **options: Any) -> None:
        """Produces values, and waits until the broker has them."""
        for value in values:
            while True:
                try:
                    self.producer.produce(self.topic, value, **options)
                    break
                except BufferError:
                    self.producer.poll(0.1)
        assert self.producer.flush(60) == 0

    def kept(self) -> list[tuple[dict[str, Any], bytes]]:
        """Header and bytes of all entries that came from Kafka."""
        found = [split_entry(entry) for entry in self.server.stored()]
        headers = [(json.loads(header), raw) for header, raw in found]
        return [(header, raw) for header, raw in headers if header["via"] == "kafka"]

    def values(self) -> list[bytes]:
        return [raw for _, raw in self.kept()]

    def wait_for(self, count: int) -> None:
        """Waits until so many entries are durable; there are no more."""
        wait_for(
            lambda: len(self.values()) >= count,
            lambda: f"{count} entries, not {len(self.values())}",
        )
        assert len(self.values()) == count

    def count(self, name: str) -> float:
        """A number of the metrics page."""
        wanted = f'muniment_receive_{name}{{receiver="kafka:{GROUP}"}} '
        for line in self.server.http.get("/metrics").text.splitlines():
            if line.startswith(wanted):
                return float(line.removeprefix(wanted))
        raise AssertionError(f"no metric {wanted}")


@contextlib.contextmanager
def consuming(directory: Path, broker: Broker, name: str, more: str = "") -> Iterator[Consuming]:
    config = (
        f'[[receive]]\nprotocol = "kafka"\nbrokers = "{broker.address}"\ntopics = ["{name}"]\n'
        f'group = "{GROUP}"\n{more}\n[receive.options]\n"session.timeout.ms" = "6000"\n'
    )
    options = {"bootstrap.servers": broker.address, "linger.ms": 5, "acks": "all"}
    producer = Producer(options, logger=getLogger("producer"))
    with serving(directory, config=config) as server:
        yield Consuming(server, name, producer)


def committed(broker: Broker, name: str) -> list[int]:
    """The group's offsets of the partitions of a topic."""
    asking = Consumer({"bootstrap.servers": broker.address, "group.id": GROUP})
    try:
        places = [TopicPartition(name, number) for number in range(PARTITIONS)]
        return [int(found.offset) for found in asking.committed(places, timeout=30)]
    finally:
        asking.close()


def test_a_record_is_an_entry_and_a_row(broker: Broker, tmp_path: Path) -> None:
    name = topic(broker, "rows")
    with consuming(tmp_path, broker, name, 'as = "nginx"') as found:
        found.send(LINE, key=b"edge-1", partition=2, headers=[("tenant", b"a")])
        found.wait_for(1)
        ((header, raw),) = found.kept()
        assert (raw, header["as"], header["seq"]) == (LINE, "nginx", 0)
        about = header["about"]
        assert about.pop("timestamp").isdigit()
        assert about == {
            "topic": name,
            "partition": "2",
            "key": "edge-1",
            "header.tenant": "a",
        }
        found.server.wait_indexed()
        (row,) = found.server.rows("path:/cart")
        assert (row["http_response"]["code"], row["via"]) == (200, "kafka")
        wait_for(
            lambda: (found.count("connected"), found.count("partitions")) == (1, PARTITIONS),
            "the metrics to say so",
        )


def test_identical_records_tombstones_and_offsets(broker: Broker, tmp_path: Path) -> None:
    name = topic(broker, "same")
    with consuming(tmp_path, broker, name) as found:
        found.send(*[LINE] * 1_000, partition=0)
        found.send(None, key=b"gone", partition=1)
        found.wait_for(1_001)
        assert Counter(found.values()) == {LINE: 1_000, b"": 1}
        numbers = list(numbered(found))
        assert sorted(numbers) == [("0", n) for n in range(1_000)] + [("1", 0)]
        wait_for(lambda: committed(broker, name)[:2] == [1_000, 1], "the offsets to be committed")
        wait_for(lambda: found.count("lag") == 0, "nothing to be left")


def numbered(found: Consuming) -> Iterator[tuple[str, int]]:
    """Partition and offset of each entry: `seq` is that of the first under its header."""
    before: dict[str, Any] = {}
    offset = 0
    for header, _ in found.kept():
        offset = offset + 1 if header == before else header["seq"]
        before = header
        yield header["about"]["partition"], offset


class Stream:
    """Produces numbered records from a thread until it is told to end."""

    def __init__(self, found: Consuming) -> None:
        self._found, self._ending = found, Event()
        self.count = 0
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ending.wait(0.01):
            for _ in range(20):
                self._found.producer.produce(self._found.topic, b"record %d" % self.count)
                self.count += 1
            self._found.producer.poll(0)

    def end(self) -> None:
        """Ends when the broker has everything."""
        self._ending.set()
        self._thread.join(60)
        assert self._found.producer.flush(60) == 0


def test_kills_in_mid_stream_lose_nothing_and_double_nothing(
    broker: Broker, tmp_path: Path
) -> None:
    """What was durable and not committed comes again, and is known by the ids in the log."""
    name, random = topic(broker, "kills"), Random(20_261_121)
    with consuming(tmp_path, broker, name) as found:
        stream = Stream(found)
        known = 0.0
        for _ in range(4):
            before = found.count("messages_total")
            wait_for(
                lambda before=before: found.count("messages_total") > before + 1_000, "records", 90
            )
            time.sleep(random.uniform(0.02, 1.2))
            known += found.count("known_total")
            found.server.kill()
            found.server.start()
        stream.end()
        wait_for(lambda: len(set(found.values())) >= stream.count, "all records", 120)
        known += found.count("known_total")
        counted = Counter(found.values())
        assert set(counted) == {b"record %d" % number for number in range(stream.count)}
        print(f"\nof {stream.count} records {known:.0f} came again after kills and were left out")
        assert set(counted.values()) == {1}
        assert len(set(numbered(found))) == stream.count
        assert found.server.stop() == 0
        assert sum(committed(broker, name)) == stream.count
        report = verify_directory(found.server.data)
        assert report.intact, "\n".join(map(str, report.findings))


def test_two_nodes_share_a_group_and_one_takes_over(broker: Broker, tmp_path: Path) -> None:
    """What the one had made durable and not committed is in both logs, with the same numbers."""
    name = topic(broker, "shared")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with (
        consuming(tmp_path / "one", broker, name) as one,
        consuming(tmp_path / "two", broker, name) as two,
    ):
        wait_for(
            lambda: (one.count("partitions"), two.count("partitions")) in ((1, 2), (2, 1)),
            "both to have partitions",
        )
        stream = Stream(one)
        wait_for(lambda: min(len(one.values()), len(two.values())) > 500, "both to consume")
        assert one.server.stop() == 0
        wait_for(lambda: two.count("partitions") == PARTITIONS, "two to have all partitions")
        one.server.start()
        wait_for(lambda: one.count("partitions") in (1, 2), "one to have its share again")
        assert set(one.values()).isdisjoint(two.values())
        one.server.kill()
        wait_for(lambda: two.count("partitions") == PARTITIONS, "two to have all partitions")
        one.server.start()
        stream.end()
        everything = {b"record %d" % number for number in range(stream.count)}
        wait_for(lambda: {*one.values(), *two.values()} == everything, "all records", 120)
        both = set(one.values()) & set(two.values())
        numbers = set(numbered(one)) & set(numbered(two))
        assert len(both) == len(numbers)
        print(f"\n{len(both)} of {stream.count} records are in both logs after a kill")
        for found in (one, two):
            assert set(Counter(found.values()).values()) == {1}


def test_a_broker_that_dies_is_waited_for(tmp_path: Path) -> None:
    with kafka(tmp_path) as broker:
        name = topic(broker, "dies")
        with consuming(tmp_path, broker, name) as found:
            found.send(*[b"before %d" % number for number in range(100)])
            found.wait_for(100)
            broker.kill()
            wait_for(lambda: found.count("connected") == 0, "the loss to be noticed")
            assert found.server.http.get("/readyz").status_code == 200
            broker.start()
            found.send(*[b"after %d" % number for number in range(100)])
            found.wait_for(200)
            assert found.count("connected") == 1
            assert found.count("errors_total") > 0


def test_a_topic_that_comes_later_and_offsets_with_gaps(broker: Broker, tmp_path: Path) -> None:
    with consuming(tmp_path, broker, "later") as found:
        wait_for(lambda: found.count("errors_total") > 0, "the topic to be missed")
        topic(broker, "later")
        transactional = Producer(
            {"bootstrap.servers": broker.address, "transactional.id": "muniment-test"}
        )
        transactional.init_transactions(30)
        for commits in (True, False, True):  # each end of a transaction takes an offset
            transactional.begin_transaction()
            for number in range(5):
                value = b"%d %d" % (commits, number)
                transactional.produce("later", value, partition=0)
            transactional.flush(30)
            if commits:
                transactional.commit_transaction(30)
            else:
                transactional.abort_transaction(30)
        found.wait_for(10)
        assert found.values() == [b"1 %d" % number for number in range(5)] * 2
        offsets = [offset for _, offset in numbered(found)]
        assert offsets == [0, 1, 2, 3, 4, 12, 13, 14, 15, 16]


def test_a_large_record_is_kept_whole(broker: Broker, tmp_path: Path) -> None:
    name = topic(broker, "large")
    with consuming(tmp_path, broker, name) as found:
        value = Random(1).randbytes(900_000)
        found.send(value, partition=0)
        found.send(b"next", partition=0)
        wait_for(lambda: found.values()[-1:] == [b"next"], "the records")
        parts = [(header["part"], raw) for header, raw in found.kept() if "part" in header]
        assert b"".join(raw for _, raw in parts) == value
        assert parts[0][0]["of"] == len(parts)
