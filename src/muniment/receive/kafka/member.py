"""A member of a consumer group, from joining to leaving: one client, and what it has taken.

It takes what librdkafka has fetched, in rounds of about a MiB. A round is durable before the next
one is taken; while the log takes nothing, the partitions are paused. What was durable but not
committed when the node died comes again: the ids of the log's batches tell it, and it is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

from muniment.clock import Clock, rfc3339
from muniment.errors import Conflict, MunimentError, TryLater
from muniment.log import Batch
from muniment.receive.groups import pack
from muniment.receive.header import Origin
from muniment.receive.kafka import client as kafka_client
from muniment.receive.kafka.meters import Meters
from muniment.receive.kafka.offsets import Offsets, Place
from muniment.receive.kafka.records import Known, Partition, Record
from muniment.receive.target import Target

VIA = "kafka"
ROUND_BYTES = 1 << 20
ROUND_RECORDS = 10_000
RECORD_COST = 200
POLL_SECONDS = 0.2
COMMIT_SECONDS = 0.25
LOOK_SECONDS = 1.0
RETRY_SECONDS = 2.0
_ASK_SECONDS = 2.0

_logger = logging.getLogger(__name__)


class StoppedError(Exception):
    """The node stops while the log takes nothing: what is held will be consumed again."""


@dataclass(frozen=True, slots=True)
class Group:
    """What is consumed, and how: `source` is the `as` of the records, `options` librdkafka's."""

    brokers: str
    topics: Sequence[str]
    name: str
    source: str
    options: Mapping[str, str]


class Member:
    """For one thread, that of `consume`; where that failed, nothing is left but to `leave`.

    Raises SettingsError where the client is not installed or does not take the options.
    """

    def __init__(
        self,
        group: Group,
        target: Target,
        clock: Clock,
        meters: Meters,
        troubles: kafka_client.Troubles,
        stopping: Event,
        *,
        node: str,
        name: str,
    ) -> None:
        self._group, self._target, self._clock = group, target, clock
        self._meters, self._troubles, self._stopping = meters, troubles, stopping
        self._node, self._name = node, name
        self._fatal = False
        self._client = kafka_client.load()
        kafka_client.check(group.options)
        self._consumer: Any = kafka_client.consumer(
            self._client,
            (group.brokers, group.name),
            group.options,
            f"muniment-{node}",
            {"error_cb": self._troubled, "on_commit": self._committed},
        )
        self._cluster: str | None = None
        self._pending: dict[Place, list[Record]] = {}
        self._early: list[Any] = []
        self._known: dict[Place, Known] = {}
        self._offsets = Offsets(self._client.TopicPartition)
        self._committed_at = self._looked_at = clock.monotonic()

    def consume(self) -> None:
        """Consumes until the node stops, or the cluster does not have this client any more.

        What is durable then is committed. Raises StoppedError, and what is a defect.
        """
        self._consumer.subscribe(
            self._group.topics,
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._lost,
        )
        while not self._stopping.is_set() and not self._fatal:
            try:
                self._round()
            except self._client.KafkaException as error:
                self._troubles.tell(error.args[0])
                self._stopping.wait(RETRY_SECONDS)
        self._commit_now()

    def leave(self) -> None:
        """Leaves the group. May be called again."""
        if self._consumer is not None:
            self._consumer.close()  # calls `_revoked`
            self._consumer = None

    def _round(self) -> None:
        """Takes what is there and makes it durable; what could not be taken stays for the next."""
        if not self._pending:
            self._gather()
        if self._pending:
            self._learn()
        while self._pending:
            place = next(iter(self._pending))
            self._keep(place, self._pending[place])
            self._pending.pop(place, None)
        now = self._clock.monotonic()
        if now - self._committed_at >= COMMIT_SECONDS:
            self._committed_at = now
            self._commit(asynchronous=True)
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._look()

    def _gather(self) -> None:
        """Polls until there is a round of records, or no more is there."""
        size = 0
        for number, message in enumerate(self._polled(), 1):
            kind, timestamp = message.timestamp()
            record = Record(
                message.offset(),
                message.value(),
                message.key(),
                timestamp if kind else None,
                message.headers() or (),
            )
            place = (message.topic(), message.partition())
            self._pending.setdefault(place, []).append(record)
            own = len(record.value or b"")
            self._meters.messages += 1
            self._meters.bytes += own
            size += own + record.said + RECORD_COST
            if size >= ROUND_BYTES or number >= ROUND_RECORDS:
                return

    def _polled(self) -> Iterator[Any]:
        """Messages until none is there; an error ends them, too."""
        while self._early:
            yield self._early.pop(0)
        seconds = POLL_SECONDS
        while (message := self._consumer.poll(seconds)) is not None:
            if message.error() is not None:
                self._say(message.error())
                return
            self._meters.connected = True
            yield message
            seconds = 0

    def _learn(self) -> None:
        """Finds out what of the partitions is in the log already, by the ids of its batches."""
        if self._cluster is None:
            found = self._consumer.list_topics(next(iter(self._pending))[0], timeout=_ASK_SECONDS)
            self._cluster = found.cluster_id or ""
        missing = [place for place in self._pending if place not in self._known]
        if missing:
            ids = [id_ for id_ in self._target.batch_ids() if id_.startswith(f"{VIA} ")]
            for place in missing:
                self._known[place] = Known.of(self._partition(place), ids)

    def _partition(self, place: Place) -> Partition:
        return Partition(self._cluster or "", self._group.name, *place)

    def _keep(self, place: Place, records: Sequence[Record]) -> None:
        """Makes records of a partition durable, those excepted that are."""
        known = self._known[place]
        fresh = [record for record in records if not known.has(record)]
        self._meters.known += len(records) - len(fresh)
        if fresh:
            partition = self._partition(place)
            at = rfc3339(self._clock.now())
            groups = partition.groups(fresh, self._group.source)
            chunks = pack(groups, at, self._node, Origin(VIA, self._group.source))
            self._meters.entries += self._until_durable(Batch(chunks, partition.batch_id(fresh)))
        if place in self._known:  # it was not taken away meanwhile
            # To the end of a known batch: in its middle nothing would be recognised after a crash.
            self._offsets.durable(place, max(records[-1].offset, known.until) + 1)

    def _until_durable(self, batch: Batch) -> int:
        """Returns how many entries came to the log, however often it has to be asked."""
        paused = False
        while True:
            try:
                future = self._target.submit(batch)
                while True:
                    try:
                        answer = future.result(POLL_SECONDS)
                        break
                    except TimeoutError:
                        paused = self._pause(paused, 0)
            except Conflict:  # records between its first and its last were deleted since
                self._meters.conflicts += 1
                batch = Batch(batch.chunks)
            except MunimentError as error:
                if not self._meters.retries % 100:
                    _logger.warning("%s: records wait: %s", self._name, error.detail)
                self._meters.retries += 1
                if self._stopping.is_set():
                    raise StoppedError from error
                wait = error.retry_after if isinstance(error, TryLater) else RETRY_SECONDS
                paused = self._pause(paused, min(wait, RETRY_SECONDS))
            else:
                if paused:
                    self._consumer.resume(self._consumer.assignment())
                return 0 if answer.replayed else batch.count

    def _pause(self, paused: bool, seconds: float) -> bool:
        """Stays in the group for some seconds without taking records; returns True."""
        self._meters.pauses += not paused
        self._consumer.pause(self._consumer.assignment())
        message = self._consumer.poll(seconds)
        if message is not None and message.error() is None:
            self._early.append(message)  # of a partition that was assigned just now
        return True

    def _commit(self, *, asynchronous: bool) -> None:
        self._offsets.commit(self._consumer, asynchronous=asynchronous)

    def _commit_now(self) -> None:
        try:
            self._commit(asynchronous=False)
        except self._client.KafkaException as error:
            self._say(error.args[0])

    def _committed(self, error: Any, partitions: Sequence[Any]) -> None:
        """What became of a commit; one that failed is made again."""
        if error is not None:
            self._say(error)
        self._offsets.failed(
            found for found in partitions if error is not None or found.error is not None
        )

    def _assigned(self, _: Any, partitions: Sequence[Any]) -> None:
        self._forget([(found.topic, found.partition) for found in partitions])

    def _revoked(self, _: Any, partitions: Sequence[Any]) -> None:
        """Another member goes on where this one stops: commits first."""
        self._commit_now()
        self._lost(_, partitions)

    def _lost(self, _: Any, partitions: Sequence[Any]) -> None:
        gone = {(found.topic, found.partition) for found in partitions}
        self._forget(list(gone))
        self._early = [m for m in self._early if (m.topic(), m.partition()) not in gone]

    def _forget(self, places: Sequence[Place]) -> None:
        for place in places:
            self._pending.pop(place, None)
            self._known.pop(place, None)
            self._offsets.forget(place)

    def _troubled(self, error: Any) -> None:
        if error.code() == self._client.KafkaError._ALL_BROKERS_DOWN:
            self._meters.connected = False
        self._say(error)

    def _say(self, error: Any) -> None:
        self._troubles.tell(error)
        self._fatal = self._fatal or bool(error.fatal())

    def _look(self) -> None:
        """How far behind it is, and whether a broker is there."""
        assignment = self._consumer.assignment()
        self._meters.partitions = len(assignment)
        lag = 0
        for found in self._consumer.position(assignment):
            _, high = self._consumer.get_watermark_offsets(found, cached=True) or (0, 0)
            lag += max(0, high - found.offset) if found.offset >= 0 else 0
        self._meters.lag = lag
        if not self._meters.connected:
            name = self._group.topics[0]
            self._consumer.list_topics("" if name[0] == "^" else name, timeout=_ASK_SECONDS)
            self._meters.connected = True
