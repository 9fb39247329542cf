"""The committer: plans what goes into a shard and puts it into the files.

Under durability `local` both happen at once (`commit`, `publish`, `seal`), and what a failing disk
refuses was never planned. A replicated shard plans ahead with `planner`, and hands what its
replica has stored to `apply`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from muniment.log.appender import CHECKPOINTS as CHECKPOINTS
from muniment.log.appender import Appender
from muniment.log.batch import Batch
from muniment.log.checkpoint import Checkpoint
from muniment.log.disk import Disk
from muniment.log.note import Signer
from muniment.log.plan import Planned, Planner
from muniment.log.tail import SegmentLimits, Tail


class Committer:
    """Appends groups of batches to one shard's files. Not safe for several threads at once.

    `now` is in seconds, of a clock that never goes back. `replicated` says that a replica has
    what is planned, so that a failure here changes neither the plan nor where segments end.
    """

    def __init__(
        self,
        disk: Disk,
        directory: Path,
        signer: Signer,
        tail: Tail,
        limits: SegmentLimits | None = None,
        *,
        replicated: bool = False,
    ) -> None:
        self.tail = tail
        self.origin = signer.verifier.name
        self.planner = Planner(signer, tail, limits or SegmentLimits())
        self._appender = Appender(disk, directory, self.origin, tail, fixed=replicated)
        self._replicated = replicated

    @property
    def published_size(self) -> int:
        """The size of the newest published checkpoint."""
        return Checkpoint.of_note(self.tail.published).size if self.tail.published else 0

    def on_seal(self, callback: Callable[[Path], None]) -> None:
        """Has `callback` told of each segment that was sealed."""
        self._appender.on_seal = callback

    def on_sync(self, callback: Callable[[], None]) -> None:
        """Has `callback` told of each answer of the disk."""
        self._appender.on_sync = callback

    def sign(self, size: int, root: bytes) -> str:
        """Returns the signed checkpoint of a tree of this log."""
        return self.planner.sign(size, root)

    def commit(self, batches: Sequence[Batch], now: float) -> str:
        """Makes the batches durable, in order, and returns the signed checkpoint after them.

        Raises StorageFailing where the disk refuses: then none of them is in the log as far as
        anybody was told, and the same call may be made again.
        """
        self._settle()
        self._appender.prepare(self.planner.segment(now))
        planned = self.planner.group(batches, now)
        self._appender.apply(planned)
        return planned.note

    def publish(self, now: float) -> str:
        """Publishes the checkpoint of the durable tree and returns it. Raises StorageFailing."""
        if self.tail.pending is not None:
            self.publish_pending()
        else:
            self._appender.sync_tiles()
            self._settle()
            self._appender.apply(self.planner.checkpoint(now))
        assert self.tail.published is not None
        return self.tail.published

    def publish_pending(self) -> None:
        """Publishes the checkpoint that is in the segment only. Raises StorageFailing."""
        self._appender.publish_pending()

    def seal(self) -> None:
        """Seals the open segment; the next append begins another. Raises StorageFailing."""
        self._settle()
        self._appender.apply(self.planner.seal())

    def apply(self, planned: Planned) -> None:
        """Makes durable what was planned next. Raises StorageFailing; it may be called again."""
        self._appender.apply(planned)

    def mend(self, now: float) -> None:
        """Tries to become able to write again after a failure. Raises StorageFailing.

        As many bytes as failed must go to the disk and away again first.
        """
        self._settle()
        if not self._replicated:
            self._appender.prepare(self.planner.segment(now))
        self._appender.probe()

    def close(self, now: float) -> None:
        """Publishes what is not published yet and closes the files. Raises StorageFailing."""
        try:
            if self.tail.size > self.published_size or self.tail.pending:
                self.publish(now)
        finally:
            self.close_files()

    def close_files(self) -> None:
        """Closes the files as they are."""
        self._appender.close()

    def _settle(self) -> None:
        """Cuts back what a failure left; what was planned and refused is planned no more."""
        if self._appender.settle() and not self._replicated:
            self.planner.reset(self.tail)
