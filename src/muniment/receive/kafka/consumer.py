"""Kafka: a member of a consumer group that commits offsets only once the records are durable.

A thread of its own takes what librdkafka has fetched, in rounds of about a MiB. A round is durable
before the next one is taken; while the log takes nothing, the partitions are paused. What was
durable but not committed when the node died comes again: the ids of the log's batches tell it, and
it is left out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Event, Thread
from typing import Any

from muniment.clock import Clock, rfc3339
from muniment.errors import Conflict, MunimentError, TryLater
from muniment.log import Batch
from muniment.receive.groups import pack
from muniment.receive.header import Origin
from muniment.receive.kafka import client as kafka_client
from muniment.receive.kafka.offsets import Offsets, Place
from muniment.receive.kafka.records import Known, Partition, Record
from muniment.receive.port import Count
from muniment.receive.target import Target

VIA = "kafka"
ROUND_BYTES = 1 << 20
ROUND_RECORDS = 10_000
RECORD_COST = 200
POLL_SECONDS = 0.2
COMMIT_SECONDS = 0.25
LOOK_SECONDS = 1.0
STOP_SECONDS = 15.0
RETRY_SECONDS = 2.0
_ASK_SECONDS = 2.0

_logger = logging.getLogger(__name__)


class _StoppedError(Exception):
    """The node stops while the log takes nothing: what is held will be consumed again."""


class KafkaConsumer:
    """The receiver. `options` are librdkafka's, as text: TLS, SASL, limits.

    Raises SettingsError where the client is not installed or does not take the options.
    """

    def __init__(
        self,
        brokers: str,
        topics: Sequence[str],
        group: str,
        target: Target,
        clock: Clock,
        *,
        node: str,
        source: str = "text",
        name: str = VIA,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self._brokers, self._topics, self._group = brokers, list(topics), group
        self._target, self._clock, self._node, self._source = target, clock, node, source
        self._name, self._options = name, dict(options or {})
        self._client = kafka_client.load()
        kafka_client.check(self._options)
        self._troubles = kafka_client.Troubles(name, clock)
        self._consumer: Any = self._open()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._stopping = Event()
        self._cluster: str | None = None
        self._pending: dict[Place, list[Record]] = {}
        self._early: list[Any] = []
        self._known: dict[Place, Known] = {}
        self._offsets = Offsets(self._client.TopicPartition)
        self._committed_at = self._looked_at = clock.monotonic()
        self.messages = self.bytes = self.entries = self.known = 0
        self.retries = self.conflicts = self.pauses = self.partitions = self.lag = 0
        self.connected = self._fatal = False

    @property
    def name(self) -> str:
        """What tells it apart from the others, in the metrics too."""
        return self._name

    @property
    def address(self) -> str:
        """The brokers to begin with."""
        return self._brokers

    @property
    def counts(self) -> Sequence[Count]:
        """Its numbers."""
        name = self._name
        return (
            Count("receive_messages", name, "Records received.", lambda: self.messages),
            Count("receive_bytes", name, "Bytes received.", lambda: self.bytes),
            Count("receive_entries", name, "Entries durable.", lambda: self.entries),
            Count("receive_known", name, "Left out: durable already.", lambda: self.known),
            Count("receive_retries", name, "Batches tried again.", lambda: self.retries),
            Count("receive_conflicts", name, "Taken as new.", lambda: self.conflicts),
            Count("receive_pauses", name, "Times that it had to wait.", lambda: self.pauses),
            Count("receive_errors", name, "The cluster's.", lambda: self._troubles.count),
            Count("receive_connected", name, "A broker is there.", lambda: self.connected, True),
            Count("receive_partitions", name, "Assigned.", lambda: self.partitions, True),
            Count("receive_lag", name, "Records still to come.", lambda: self.lag, True),
        )

    async def start(self) -> None:
        """Joins the group."""
        self._thread.start()

    async def stop(self) -> None:
        """Finishes the round under way, commits, and leaves the group."""
        self._stopping.set()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join, STOP_SECONDS)
        elif self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await asyncio.to_thread(consumer.close)

    def _open(self) -> Any:
        callbacks: dict[str, Callable[..., None]] = {
            "error_cb": self._troubled,
            "on_commit": self._committed,
        }
        named = (self._brokers, self._group)
        client = f"muniment-{self._node}"
        return kafka_client.consumer(self._client, named, self._options, client, callbacks)

    def _run(self) -> None:
        """The thread: consumes until it is told to stop, if need be with a new client."""
        while not self._stopping.is_set():
            try:
                self._consume()
            except _StoppedError:
                _logger.warning("%s: stopped while the log took nothing", self._name)
            except Exception:
                _logger.exception("%s: the consumer failed and begins again", self._name)
            self._consumer.close()
            self._forget([*self._pending, *self._known, *self._offsets.places])
            self._early.clear()
            self.connected = self._fatal = False
            self.partitions = self.lag = 0
            if not self._stopping.wait(RETRY_SECONDS):
                self._consumer = self._open()

    def _consume(self) -> None:
        self._consumer.subscribe(
            self._topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        while not self._stopping.is_set() and not self._fatal:
            try:
                self._round()
            except self._client.KafkaException as error:
                self._troubles.tell(error.args[0])
                self._stopping.wait(RETRY_SECONDS)
        self._commit_now()

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
            self.messages += 1
            self.bytes += own
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
            self.connected = True
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
        return Partition(self._cluster or "", self._group, *place)

    def _keep(self, place: Place, records: Sequence[Record]) -> None:
        """Makes records of a partition durable, those excepted that are."""
        known = self._known[place]
        fresh = [record for record in records if not known.has(record)]
        self.known += len(records) - len(fresh)
        if fresh:
            partition = self._partition(place)
            at = rfc3339(self._clock.now())
            groups = partition.groups(fresh, self._source)
            chunks = pack(groups, at, self._node, Origin(VIA, self._source))
            self.entries += self._until_durable(Batch(chunks, partition.batch_id(fresh)))
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
                self.conflicts += 1
                batch = Batch(batch.chunks)
            except MunimentError as error:
                if not self.retries % 100:
                    _logger.warning("%s: records wait: %s", self._name, error.detail)
                self.retries += 1
                if self._stopping.is_set():
                    raise _StoppedError from error
                wait = error.retry_after if isinstance(error, TryLater) else RETRY_SECONDS
                paused = self._pause(paused, min(wait, RETRY_SECONDS))
            else:
                if paused:
                    self._consumer.resume(self._consumer.assignment())
                return 0 if answer.replayed else batch.count

    def _pause(self, paused: bool, seconds: float) -> bool:
        """Stays in the group for some seconds without taking records; returns True."""
        self.pauses += not paused
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
            self.connected = False
        self._say(error)

    def _say(self, error: Any) -> None:
        self._troubles.tell(error)
        self._fatal = self._fatal or bool(error.fatal())

    def _look(self) -> None:
        """How far behind it is, and whether a broker is there."""
        assignment = self._consumer.assignment()
        self.partitions = len(assignment)
        lag = 0
        for found in self._consumer.position(assignment):
            _, high = self._consumer.get_watermark_offsets(found, cached=True) or (0, 0)
            lag += max(0, high - found.offset) if found.offset >= 0 else 0
        self.lag = lag
        if not self.connected:
            name = self._topics[0]
            self._consumer.list_topics("" if name[0] == "^" else name, timeout=_ASK_SECONDS)
            self.connected = True
