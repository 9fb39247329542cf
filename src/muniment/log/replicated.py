"""The writer of a replicated shard: plans ahead of its replica, writes behind it.

    waiting batches -> plan -> replica.put -> (told: stored) -> local files, sync -> acknowledge

Group commits go on to be planned while those before them are under way, within bounds. What the
replica stored comes to the local files in the order of the plan, each append with a sync of its
own: recovery knows a torn write from damage by that. So this disk never knows more than the
replica, and nothing that is signed leaves before it is stored twice.
"""

from __future__ import annotations

from muniment.clock import Clock
from muniment.errors import (
    Fenced,
    MunimentError,
    StorageFailing,
    StoreFailing,
    TryLater,
    Unavailable,
)
from muniment.log import writer
from muniment.log.batch import DURABILITY_REPLICATED, BatchIds
from muniment.log.committer import Committer
from muniment.log.pipeline import InFlight, Pipeline
from muniment.log.reader import ShardReader
from muniment.log.replica import Act, Replica
from muniment.log.waiting import Waiting
from muniment.log.writer import Writer

CLOSE_SECONDS = 30.0
"""How long `close` waits for what is under way."""


class ReplicatedWriter(Writer):
    """A Writer that has each append stored by a replica first, and closes it at the end.

    Where the local disk fails, what the replica has stored waits in memory and is applied and
    acknowledged once it is mended. Where the replica stores nothing, new batches are refused and
    those under way wait. Fenced is for good: nothing more is written or acknowledged here.
    """

    durability = DURABILITY_REPLICATED

    def __init__(
        self,
        log: str,
        shard: str,
        committer: Committer,
        ids: BatchIds,
        reader: ShardReader,
        clock: Clock,
        replica: Replica,
        *,
        queue_bytes: int = 64 << 20,
    ) -> None:
        super().__init__(log, shard, committer, ids, reader, clock, queue_bytes=queue_bytes)
        self._replica = replica
        self._pipeline = Pipeline(replica, self._told)
        self._disk_fails = self._abandoned = self._ended = self._drained = False

    def close(self) -> None:
        """Waits a bounded time for what waits and its checkpoint, and ends thread and replica."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._drained, CLOSE_SECONDS):
                self._abandoned = True
                self._changed.notify_all()
        self._thread.join()

    def _told(self) -> None:
        with self._changed:
            if not self._disk_fails:  # that is tried again in its own time
                self._changed.notify_all()

    def _run(self) -> None:
        try:
            super()._run()
        finally:
            try:
                self._replica.close(0.0)
            finally:
                self._answer_in_flight(Unavailable, "the log closed before it was stored twice")
                with self._changed:
                    self._drained = True
                    self._changed.notify_all()

    def _done(self) -> bool:
        with self._changed:
            if not self._closing:
                return False
            if self._ended or self._abandoned:
                return True
            waits = self._queue or self._pipeline or self._behind()
            return not waits if self.health.ok else not self._pipeline

    def _finish(self) -> None:
        self._committer.close_files()

    def _due(self) -> bool:
        if self._ended:
            return self._closing
        if self._queue and self._takes():
            return True
        if self._pipeline.head is not None and not self._disk_fails:
            return True
        return (self._closing and not self._pipeline) or self._abandoned or self._seals_asked()

    def _takes(self) -> bool:
        return self.health.ok and self._pipeline.room

    def _seals_asked(self) -> bool:
        return self._seal_asked and self.health.ok and not self._pipeline

    def _idle_seconds(self) -> float | None:
        if self._ended:
            return None
        if self._pipeline or not self.health.ok:
            return writer.PUBLISH_EVERY
        return super()._idle_seconds()

    def _behind(self) -> bool:
        """Whether something is planned that no planned checkpoint covers."""
        planner = self._committer.planner
        return planner.size > planner.published or bool(self._committer.tail.pending)

    def _commit(self, group: list[Waiting]) -> None:
        """Plans a group and gives it to the replica; what came before is answered at once."""
        fresh, repeated = self._repetitions.sort(
            [waiting for waiting in group if not self._pipeline.joins(waiting)]
        )
        for waiting, known in repeated:
            if known is not None:
                self._replay(waiting, known)
        if fresh:
            batches = [waiting.batch for waiting in fresh]
            planned = self._committer.planner.group(batches, self._clock.monotonic())
            again = [waiting for waiting, known in repeated if known is None]
            self._pipeline.put(planned, fresh, again)

    def _upkeep(self) -> None:
        """Applies what is stored, and plans what is due."""
        if self._ended:
            return
        now = self._clock.monotonic()
        if self._disk_fails:
            self._mend(now)
        self._apply_stored()
        if self._disk_fails and (error := self._pipeline.ending) is not None:
            self._end(error)  # what is stored before that is for the next writer to show
        if not self._ended and not self._disk_fails:
            self._judge(self._replica.trouble)
            self._plan_upkeep(now)

    def _mend(self, now: float) -> None:
        try:
            self._committer.mend(now)
        except StorageFailing as error:
            self._fail(error.detail)
        else:
            self._disk_fails = False

    def _apply_stored(self) -> None:
        while not self._disk_fails and (item := self._pipeline.head) is not None:
            if item.error is not None:
                self._end(item.error)
                return
            started = self._clock.monotonic()
            try:
                self._committer.apply(item.planned)
            except StorageFailing as error:
                self._disk_fails = True
                self._fail(error.detail)
                return
            self._applied(item, self._clock.monotonic() - started)
            self._pipeline.pop()

    def _applied(self, item: InFlight, seconds: float) -> None:
        planned = item.planned
        if planned.act is Act.GROUP:
            self._durable(item.fresh, planned.first, planned.note, seconds)
            for waiting in item.repeated:
                self._replay(waiting)
            self._tell()
        elif planned.act is Act.CHECKPOINT:
            with self._changed:
                self._published = self._committer.published_size
                self._changed.notify_all()

    def _judge(self, trouble: str) -> None:
        """Says in health whether the replica stores."""
        if not trouble:
            if not self.health.ok:
                self._well()
            return
        reason = f"the write-ahead store: {trouble}"
        if reason != self.health.reason:
            self._fail(reason, StoreFailing)

    def _plan_upkeep(self, now: float) -> None:
        """Plans a checkpoint or a seal where one is due."""
        planner = self._committer.planner
        if self._committer.tail.pending is not None:
            self._publish_pending()
        elif not self._pipeline.room:
            return
        elif planner.size > planner.published:
            last = self._closing and not self._queue
            if now >= self._publish_at or self._seal_asked or last:
                self._publish_at = now + writer.PUBLISH_EVERY
                self._pipeline.put(planner.checkpoint(now))
        elif self._seals(now):
            self._seal_asked = False
            self._pipeline.put(planner.seal())
        elif planner.seal_in(now) is None:
            self._seal_asked = False

    def _publish_pending(self) -> None:
        """Publishes the checkpoint that a crash left in the segment: the replica has it."""
        try:
            self._committer.publish_pending()
        except StorageFailing as error:
            self._disk_fails = True
            self._fail(error.detail)
        else:
            self._well()

    def _end(self, error: MunimentError) -> None:
        """Ends writing for good: what is under way will never be stored by this writer."""
        self._ended = True
        self.fenced = isinstance(error, Fenced)
        kind = Fenced if self.fenced else Unavailable
        what = "fenced" if self.fenced else "the write-ahead store ended"
        self._fail(f"{what}: {error.detail}", kind)
        self._answer_in_flight(kind, error.detail)

    def _answer_in_flight(self, kind: type[TryLater], reason: str) -> None:
        for waiting in self._pipeline.clear():
            if not waiting.answered:
                waiting.answer(kind(reason, retry_after=2))
