"""Idempotency: a batch that comes again under its id gets its first answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import structs

from muniment import kernel
from muniment.errors import Conflict, MunimentError, StorageFailing
from muniment.log.batch import Acknowledgement, Batch, BatchIds
from muniment.log.frame import BatchId
from muniment.log.reader import ShardReader
from muniment.log.waiting import Waiting

Sign = Callable[[int, bytes], str]
"""Returns the signed checkpoint of a tree of so many entries with this root."""


class Repetitions:
    """Knows the ids of the newest batches, and answers those that come again."""

    def __init__(
        self, log: str, shard: str, durability: str, ids: BatchIds, reader: ShardReader, sign: Sign
    ) -> None:
        self._log, self._shard, self._durability = log, shard, durability
        self._ids, self._reader, self._sign = ids, reader, sign

    def sort(
        self, group: Sequence[Waiting]
    ) -> tuple[list[Waiting], list[tuple[Waiting, BatchId | None]]]:
        """Parts the batches that are new from those whose id has been seen.

        The batch that had the id is looked up now: the new ones can push it out of the window.
        None stands for one of this very group.
        """
        fresh: list[Waiting] = []
        repeated: list[tuple[Waiting, BatchId | None]] = []
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

    def acknowledge(self, fresh: Sequence[Waiting], first: int, receipt: str) -> None:
        """Answers batches that are durable from entry `first` on, and remembers their ids."""
        for waiting in fresh:
            batch = waiting.batch
            if batch.id is not None:
                self._ids.add(BatchId(batch.id, first, batch.count))
            waiting.answer(self._acknowledgement(first, batch.count, receipt))
            first += batch.count

    def _acknowledgement(self, first: int, count: int, receipt: str) -> Acknowledgement:
        return Acknowledgement(self._log, self._shard, first, count, self._durability, receipt)

    def replay(self, waiting: Waiting, known: BatchId | None = None) -> None:
        """Answers a batch that was taken before: same bytes, same answer."""
        batch = waiting.batch
        known = known or self._ids.find(batch.id or "")
        try:
            assert known is not None
            if not self._same(batch, known):
                raise Conflict(
                    "this id was used for other entries",
                    advice="use a new id for each batch, and the same one only to repeat it",
                )
            size, root = self._reader.root_after(known.first + known.count - 1)
            answer = self._acknowledgement(known.first, known.count, self._sign(size, root))
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
