"""What the Kafka tests stand on: librdkafka's mock cluster, a producer, a log that remembers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, cast

from confluent_kafka import Consumer, Producer, TopicPartition
from receive_parts import MemoryLog

from muniment.clock import SystemClock
from muniment.log import Acknowledgement, Batch
from muniment.receive.kafka.consumer import KafkaConsumer
from muniment.receive.target import Target

TOPIC = "edge"


class RememberingLog(MemoryLog):
    """A log that knows the ids of its batches, as a shard does."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []

    def batch_ids(self) -> list[str]:
        return list(self.ids)

    def _take(self, batch: Batch, future: Future[Acknowledgement]) -> None:
        super()._take(batch, future)
        if batch.id is not None:
            self.ids.append(batch.id)


class Cluster:
    """A mock cluster inside a producer."""

    def __init__(self) -> None:
        self.producer = Producer({"test.mock.num.brokers": 1, "linger.ms": 0})
        found = self.producer.list_topics(timeout=20)
        self.brokers = ",".join(f"{one.host}:{one.port}" for one in found.brokers.values())

    def send(self, *values: bytes | None, partition: int = 0, **options: Any) -> None:
        """Appends records, and waits until the cluster has them."""
        for value in values:
            self.producer.produce(TOPIC, value, partition=partition, **options)
        assert self.producer.flush(20) == 0

    def committed(self, partition: int = 0) -> int:
        """The group's offset; negative where there is none."""
        asking = Consumer({"bootstrap.servers": self.brokers, "group.id": "muniment"})
        try:
            (found,) = asking.committed([TopicPartition(TOPIC, partition)], timeout=20)
            return int(found.offset)
        finally:
            asking.close()


def consumer(
    cluster: Cluster, log: RememberingLog, options: dict[str, str] | None = None
) -> KafkaConsumer:
    """A receiver that was not started."""
    target = Target("default", cast(Any, {"00000000": log}))
    return KafkaConsumer(
        cluster.brokers,
        [TOPIC],
        "muniment",
        target,
        SystemClock(),
        node="test",
        options={"session.timeout.ms": "6000", **(options or {})},
    )


@asynccontextmanager
async def consuming(cluster: Cluster, log: RememberingLog) -> AsyncIterator[KafkaConsumer]:
    """A receiver that runs."""
    receiver = consumer(cluster, log)
    await receiver.start()
    try:
        yield receiver
    finally:
        log.refusal = None
        log.release()
        await receiver.stop()


def values(log: MemoryLog) -> Sequence[bytes]:
    """The bytes of all entries, in order."""
    return [raw for _, raw in log.split()]
