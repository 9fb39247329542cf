"""The writer: one thread that turns waiting batches into group commits.

Whatever waits when the disk becomes free goes into the next commit together, so that one sync
serves many senders. A batch is answered only after the sync; on a failing disk it is refused, and
the writer tries once a second to become able to write again. A shard with a replica has the
writer of `replicated`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from threading import Condition, Thread

from muniment.clock import Clock, rfc3339
from muniment.errors import (
    InputError,
    MunimentError,
    Overloaded,
    StorageFailing,
    TryLater,
    Unavailable,
)
from muniment.log.batch import DURABILITY_LOCAL, Acknowledgement, Batch, BatchIds
from muniment.log.committer import Committer
from muniment.log.frame import MAX_ID_BYTES, BatchId
from muniment.log.health import Health, Stall, WriterMetrics
from muniment.log.queue import BatchQueue
from muniment.log.reader import ShardReader
from muniment.log.repetition import Repetitions
from muniment.log.waiting import Done, Result, Waiting

GATHER_SECONDS = 0.001
"""How long a commit waits for batches where the one before it had more than twice as many."""

PUBLISH_EVERY = 1.0

_logger = logging.getLogger(__name__)


class Writer:
    """Owns a shard's Committer. `submit` may be called from any thread."""

    durability = DURABILITY_LOCAL

    def __init__(
        self,
        log: str,
        shard: str,
        committer: Committer,
        ids: BatchIds,
        reader: ShardReader,
        clock: Clock,
        *,
        queue_bytes: int = 64 << 20,
    ) -> None:
        self.metrics = WriterMetrics()
        self.on_commit: list[Callable[[int], None]] = []
        self.on_seal: list[Callable[[Path], None]] = []
        self.health, self._stall = Health(), Stall(f"{log}/{shard}", clock)
        self.fenced = False
        self._log, self._shard = log, shard
        self._committer, self._reader, self._clock = committer, reader, clock
        self._ids = ids
        self._repetitions = Repetitions(log, shard, self.durability, ids, reader, committer.sign)
        self._queue = BatchQueue(queue_bytes)
        self._unanswered: set[str] = set()
        self._changed = Condition()
        self._refusal: type[TryLater] = StorageFailing
        self._closing = self._seal_asked = False
        self._last = 0
        self._published = committer.published_size
        self._publish_at = clock.monotonic()
        self._thread = Thread(target=self._run, name=f"writer {log}/{shard}", daemon=True)

    def start(self, age: float = 0.0) -> None:
        """Starts the thread. `age` is that of the oldest entry in the open segment, in seconds."""
        self._committer.on_seal(self._sealed)
        self._committer.on_sync(self._stall.goes_on)
        self._committer.planner.start_age(self._clock.monotonic() - age)
        self._thread.start()

    def _sealed(self, path: Path) -> None:
        for callback in self.on_seal:
            callback(path)

    def batch_ids(self) -> Sequence[str]:
        """Returns the batch ids that are remembered, newest last."""
        return self._ids.names()

    def knows(self, id_: str) -> bool:
        """Whether a batch of this id waits for its answer, or is remembered; any thread may ask."""
        return id_ in self._unanswered or self._ids.find(id_) is not None

    def submit(self, batch: Batch) -> Future[Acknowledgement]:
        """Offers a batch to the log; the future is what `done` of `offer` would be told."""
        future: Future[Acknowledgement] = Future()
        future.set_running_or_notify_cancel()  # it cannot be cancelled

        def done(result: Result) -> None:
            if isinstance(result, MunimentError):
                future.set_exception(result)
            else:
                future.set_result(result)

        self.offer(batch, done)
        return future

    def offer(self, batch: Batch, done: Done) -> None:
        """Queues a batch; `done` is told that it is durable, or why it is not in the log.

        Raises InputError for an empty batch or an id that is too long, Overloaded when the queue
        is full, StorageFailing while the disk refuses; with a replica StoreFailing while that
        stores nothing, and Fenced once another node writes the shard.
        """
        if not batch.count:
            raise InputError("there is no entry in the batch")
        if batch.id is not None and len(batch.id.encode()) > MAX_ID_BYTES:
            raise InputError(f"an idempotency id has at most {MAX_ID_BYTES} bytes")
        waiting = Waiting(batch, done, self._unanswered)
        with self._changed:
            if self._closing:
                raise Unavailable("the log is closing")
            if not (health := self.seen_health()).ok:
                self.metrics.refused += 1
                refusal = StorageFailing if self.health.ok else self._refusal
                raise refusal(health.reason, retry_after=2)
            if not self._queue.has_room(batch):
                self.metrics.refused += 1
                raise Overloaded(f"{self._queue.size:,} bytes wait for the disk")
            if batch.id is not None:
                self._unanswered.add(batch.id)
            self._queue.put(waiting)
            if len(self._queue) == 1:  # otherwise the writer is not waiting
                self._changed.notify_all()

    def wait_published(self, size: int, timeout: float) -> bool:
        """Waits until a published checkpoint covers `size` entries; says whether one does."""
        with self._changed:
            return self._changed.wait_for(lambda: self._published >= size, timeout)

    def seen_health(self) -> Health:
        """Returns `health`, or that the disk holds the writer up; for any thread."""
        return self._stall.of(self.health)

    def seal(self) -> None:
        """Has the open segment sealed soon, as if its age had come; nothing waits for that."""
        with self._changed:
            self._seal_asked = True
            self._changed.notify_all()

    def close(self) -> None:
        """Commits what waits, publishes the last checkpoint, and ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        group: list[Waiting] = []
        try:
            while not self._done():
                group = self._take()
                with self._stall.at_work():
                    if group:
                        self._commit(group)
                    self._upkeep()
            self._finish()
        except Exception as error:
            _logger.exception("the writer of %s/%s stopped", self._log, self._shard)
            self._fail(f"the writer stopped: {error}")
        finally:
            self._refuse_queue(group)

    def _done(self) -> bool:
        with self._changed:
            return self._closing and not (self._queue and self.health.ok)

    def _finish(self) -> None:
        self._committer.close(self._clock.monotonic())

    def _take(self) -> list[Waiting]:
        """Returns the next group; waits for it at most until something else is due."""
        with self._changed:
            if not self._due():
                self._changed.wait(self._idle_seconds())
        if 0 < len(self._queue) < self._last // 2:
            time.sleep(GATHER_SECONDS)  # fewer, larger commits: each costs a sync and a signature
        with self._changed:
            group = self._queue.take_group() if self._takes() else []
            if group:
                self._last = len(group)
            return group

    def _due(self) -> bool:
        """Whether there is something to do at once."""
        return bool(self._queue) or self._closing or (self._seal_asked and self.health.ok)

    def _takes(self) -> bool:
        """Whether a batch may be taken from the queue."""
        return self.health.ok

    def _idle_seconds(self) -> float | None:
        """How long to wait for a batch; None where nothing else comes due."""
        if not self.health.ok:
            return PUBLISH_EVERY
        now = self._clock.monotonic()
        if self._behind():
            return max(0.0, self._publish_at - now)
        return self._committer.planner.seal_in(now)

    def _behind(self) -> bool:
        """Whether there is something that the newest published checkpoint does not cover."""
        return self._committer.tail.size > self._published or bool(self._committer.tail.pending)

    def _seals(self, now: float) -> bool:
        """Whether the open segment is to be sealed now, although nothing more comes."""
        age = self._committer.planner.seal_in(now)
        return age is not None and (age == 0.0 or self._seal_asked)

    def _commit(self, group: list[Waiting]) -> None:
        fresh, repeated = self._repetitions.sort(group)
        if fresh:
            first = self._committer.tail.size
            started = self._clock.monotonic()
            batches = [waiting.batch for waiting in fresh]
            try:
                receipt = self._committer.commit(batches, started)
            except StorageFailing as error:
                self._fail(error.detail)
                for waiting in group:
                    waiting.answer(StorageFailing(error.detail, retry_after=2))
                return
            self._durable(fresh, first, receipt, self._clock.monotonic() - started)
        for waiting, known in repeated:
            self._replay(waiting, known)
        if fresh:
            self._tell()

    def _durable(self, fresh: Sequence[Waiting], first: int, receipt: str, seconds: float) -> None:
        """Counts, shows and acknowledges a group commit."""
        self.metrics.entries += sum(waiting.batch.count for waiting in fresh)
        self.metrics.bytes += sum(waiting.batch.size for waiting in fresh)
        self.metrics.commits += 1
        self.metrics.sync_seconds += seconds
        self._reader.advance(self._committer.tail.size)
        self._repetitions.acknowledge(fresh, first, receipt)

    def _replay(self, waiting: Waiting, known: BatchId | None = None) -> None:
        self._stall.goes_on()
        self._repetitions.replay(waiting, known)

    def _tell(self) -> None:
        for callback in self.on_commit:
            callback(self._committer.tail.size)

    def _upkeep(self) -> None:
        """Publishes a checkpoint where one is due; mends where the disk had failed.

        A segment whose age has come is sealed once all of it is published.
        """
        now = self._clock.monotonic()
        behind = self._behind()
        publishes = behind and (now >= self._publish_at or self._seal_asked)
        if self.health.ok and not publishes and (behind or not self._seals(now)):
            self._seal_asked = False
            return
        try:
            if not self.health.ok:
                self._committer.mend(now)
            if behind:
                self._committer.publish(now)
            if self._seals(now):
                self._committer.seal()
        except StorageFailing as error:
            self._fail(error.detail)
            return
        self._seal_asked = False
        self._publish_at = now + PUBLISH_EVERY
        self._well()

    def _well(self) -> None:
        with self._changed:
            self._published = self._committer.published_size
            if not self.health.ok:
                _logger.warning("%s/%s writes again", self._log, self._shard)
            self.health = Health()
            self._changed.notify_all()

    def _fail(self, reason: str, refusal: type[TryLater] = StorageFailing) -> None:
        self.metrics.failures += 1
        with self._changed:
            self._refusal = refusal
            if self.health.ok:
                _logger.error("%s/%s: stopped acknowledging: %s", self._log, self._shard, reason)
                self.health = Health(False, reason, rfc3339(self._clock.now()))
            else:
                self.health = replace(self.health, reason=reason)
        self._refuse_queue()

    def _refuse_queue(self, group: Sequence[Waiting] = ()) -> None:
        with self._changed:
            refused = [waiting for waiting in group if not waiting.answered]
            refused += self._queue.take_all()
        reason = self.health.reason or "the log is closed"
        for waiting in refused:
            waiting.answer(self._refusal(reason, retry_after=2))
