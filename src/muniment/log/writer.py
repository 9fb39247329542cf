"""The writer: one thread that turns waiting batches into group commits.

Whatever waits when the disk becomes free goes into the next commit together, so that one sync
serves many senders. A batch is answered only after the sync; on a failing disk it is refused, and
the writer tries once a second to become able to write again.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from threading import Condition, Thread

from msgspec import structs

from muniment import kernel
from muniment.clock import Clock, rfc3339
from muniment.errors import (
    Conflict,
    InputError,
    MunimentError,
    Overloaded,
    StorageFailing,
    Unavailable,
)
from muniment.log.batch import DURABILITY_LOCAL, Acknowledgement, Batch, BatchIds
from muniment.log.committer import Committer
from muniment.log.frame import MAX_ID_BYTES, BatchId
from muniment.log.reader import ShardReader

GROUP_BYTES = 8 << 20
GROUP_BATCHES = 4096
GATHER_SECONDS = 0.001
"""How long a commit waits for batches where the one before it had more than twice as many."""

PUBLISH_EVERY = 1.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a shard acknowledges; where not, why, and since when (RFC 3339)."""

    ok: bool = True
    reason: str = ""
    since: str = ""


@dataclass(slots=True)
class WriterMetrics:
    """Counts since the start. `sync_seconds` is the time spent writing and syncing commits."""

    entries: int = 0
    bytes: int = 0
    commits: int = 0
    refused: int = 0
    failures: int = 0
    sync_seconds: float = 0.0


Result = Acknowledgement | MunimentError
Done = Callable[[Result], None]
"""Takes the answer to a batch, on the writer's thread: it must be quick and must not raise."""


@dataclass(slots=True)
class _Waiting:
    batch: Batch
    done: Done
    answered: bool = False

    def answer(self, result: Result) -> None:
        self.answered = True
        self.done(result)


class Writer:
    """Owns a shard's Committer. `submit` may be called from any thread."""

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
        self.health = Health()
        self._log, self._shard = log, shard
        self._committer, self._ids, self._reader, self._clock = committer, ids, reader, clock
        self._queue: deque[_Waiting] = deque()
        self._queued, self._bound = 0, queue_bytes
        self._changed = Condition()
        self._closing = False
        self._last = 0
        self._published = committer.published_size
        self._publish_at = clock.monotonic()
        self._thread = Thread(target=self._run, name=f"writer {log}/{shard}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def batch_ids(self) -> Sequence[str]:
        """Returns the batch ids that are remembered, newest last."""
        return self._ids.names()

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
        is full, StorageFailing while the disk refuses.
        """
        if not batch.count:
            raise InputError("there is no entry in the batch")
        if batch.id is not None and len(batch.id.encode()) > MAX_ID_BYTES:
            raise InputError(f"an idempotency id has at most {MAX_ID_BYTES} bytes")
        waiting = _Waiting(batch, done)
        with self._changed:
            if self._closing:
                raise Unavailable("the log is closing")
            if not self.health.ok:
                self.metrics.refused += 1
                raise StorageFailing(self.health.reason, retry_after=2)
            if self._queue and self._queued + batch.size > self._bound:
                self.metrics.refused += 1
                raise Overloaded(f"{self._queued:,} bytes wait for the disk")
            self._queue.append(waiting)
            self._queued += batch.size
            if len(self._queue) == 1:  # otherwise the writer is not waiting
                self._changed.notify_all()

    def wait_published(self, size: int, timeout: float) -> bool:
        """Waits until a published checkpoint covers `size` entries; says whether one does."""
        with self._changed:
            return self._changed.wait_for(lambda: self._published >= size, timeout)

    def close(self) -> None:
        """Commits what waits, publishes the last checkpoint, and ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        group: list[_Waiting] = []
        try:
            while not self._done():
                group = self._take()
                if group:
                    self._commit(group)
                self._upkeep()
            self._committer.close(self._clock.monotonic())
        except Exception as error:
            _logger.exception("the writer of %s/%s stopped", self._log, self._shard)
            self._fail(f"the writer stopped: {error}")
        finally:
            self._refuse_queue(group)

    def _done(self) -> bool:
        with self._changed:
            return self._closing and not (self._queue and self.health.ok)

    def _take(self) -> list[_Waiting]:
        """Returns the next group; waits for it at most until something else is due."""
        with self._changed:
            if not self._queue and not self._closing:
                self._changed.wait(self._idle_seconds())
        if 0 < len(self._queue) < self._last // 2:
            time.sleep(GATHER_SECONDS)  # fewer, larger commits: each costs a sync and a signature
        with self._changed:
            group: list[_Waiting] = []
            size = 0
            while self._queue and len(group) < GROUP_BATCHES and self.health.ok:
                if group and size + self._queue[0].batch.size > GROUP_BYTES:
                    break
                waiting = self._queue.popleft()
                size += waiting.batch.size
                group.append(waiting)
            self._queued -= size
            if group:
                self._last = len(group)
            return group

    def _idle_seconds(self) -> float | None:
        if not self.health.ok:
            return PUBLISH_EVERY
        if self._committer.tail.size > self._published or self._committer.tail.pending:
            return max(0.0, self._publish_at - self._clock.monotonic())
        return None

    def _commit(self, group: list[_Waiting]) -> None:
        fresh, repeated = self._sort(group)
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
            self._count(batches, self._clock.monotonic() - started)
            self._reader.advance(self._committer.tail.size)
            self._acknowledge(fresh, first, receipt)
        for waiting, known in repeated:
            self._replay(waiting, known or self._ids.find(waiting.batch.id or ""))
        if fresh:
            for callback in self.on_commit:
                callback(self._committer.tail.size)

    def _sort(
        self, group: list[_Waiting]
    ) -> tuple[list[_Waiting], list[tuple[_Waiting, BatchId | None]]]:
        """Parts the batches that are new from those whose id has been seen.

        The batch that had the id is looked up now: the new ones can push it out of the window.
        None stands for one of this very group.
        """
        fresh: list[_Waiting] = []
        repeated: list[tuple[_Waiting, BatchId | None]] = []
        seen: set[str] = set()
        for waiting in group:
            id_ = waiting.batch.id
            known = None if id_ is None else self._ids.find(id_)
            if known is not None or id_ in seen:
                repeated.append((waiting, known))
                continue
            if id_ is not None:
                seen.add(id_)
            fresh.append(waiting)
        return fresh, repeated

    def _acknowledge(self, fresh: Sequence[_Waiting], first: int, receipt: str) -> None:
        for waiting in fresh:
            batch = waiting.batch
            if batch.id is not None:
                self._ids.add(BatchId(batch.id, first, batch.count))
            waiting.answer(self._acknowledgement(first, batch.count, receipt))
            first += batch.count

    def _acknowledgement(self, first: int, count: int, receipt: str) -> Acknowledgement:
        return Acknowledgement(self._log, self._shard, first, count, DURABILITY_LOCAL, receipt)

    def _replay(self, waiting: _Waiting, known: BatchId | None) -> None:
        """Answers a batch that was taken before: same bytes, same answer."""
        batch = waiting.batch
        try:
            assert known is not None
            if not self._same(batch, known):
                raise Conflict(
                    "this id was used for other entries",
                    advice="use a new id for each batch, and the same one only to repeat it",
                )
            size, root = self._reader.root_after(known.first + known.count - 1)
            answer = self._acknowledgement(
                known.first, known.count, self._committer.sign(size, root)
            )
            waiting.answer(structs.replace(answer, replayed=True))
        except MunimentError as error:
            waiting.answer(error)
        except OSError as error:
            reason = f"the first answer cannot be read: {error.strerror or error}"
            waiting.answer(StorageFailing(reason, retry_after=2))

    def _same(self, batch: Batch, known: BatchId) -> bool:
        """Whether the entries of a batch are those in the log, apart from the receipt headers."""
        if batch.count != known.count:
            return False
        index = known.first
        for chunk in batch.chunks:
            offered = kernel.unpack(chunk.payload)
            while offered:
                kept = self._reader.read(index, len(offered)).entries
                pairs = zip(offered, kept, strict=False)
                if any(a.partition(b"\n")[2] != b.partition(b"\n")[2] for a, b in pairs):
                    return False
                index += len(kept)
                offered = offered[len(kept) :]
        return True

    def _count(self, batches: Sequence[Batch], seconds: float) -> None:
        self.metrics.entries += sum(batch.count for batch in batches)
        self.metrics.bytes += sum(batch.size for batch in batches)
        self.metrics.commits += 1
        self.metrics.sync_seconds += seconds

    def _upkeep(self) -> None:
        """Publishes a checkpoint where one is due; mends where the disk had failed."""
        now = self._clock.monotonic()
        behind = self._committer.tail.size > self._published or bool(self._committer.tail.pending)
        if self.health.ok and not (behind and now >= self._publish_at):
            return
        try:
            if not self.health.ok:
                self._committer.mend(now)
            if behind:
                self._committer.publish(now)
        except StorageFailing as error:
            self._fail(error.detail)
            return
        self._publish_at = now + PUBLISH_EVERY
        with self._changed:
            self._published = self._committer.published_size
            if not self.health.ok:
                _logger.warning("%s/%s writes again", self._log, self._shard)
            self.health = Health()
            self._changed.notify_all()

    def _fail(self, reason: str) -> None:
        self.metrics.failures += 1
        with self._changed:
            if self.health.ok:
                _logger.error("%s/%s: stopped acknowledging: %s", self._log, self._shard, reason)
                self.health = Health(False, reason, rfc3339(self._clock.now()))
            else:
                self.health = replace(self.health, reason=reason)
        self._refuse_queue()

    def _refuse_queue(self, group: Sequence[_Waiting] = ()) -> None:
        with self._changed:
            refused = [waiting for waiting in group if not waiting.answered]
            refused += self._queue
            self._queue.clear()
            self._queued = 0
        reason = self.health.reason or "the log is closed"
        for waiting in refused:
            waiting.answer(StorageFailing(reason, retry_after=2))
