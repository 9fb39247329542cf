"""What goes into a shard, and what comes back once it is durable."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from muniment.kernel import Chunk
from muniment.log.frame import BatchId

DURABILITY_LOCAL = "local"
DURABILITY_REPLICATED = "replicated"


class Batch:
    """Entries that are taken all or not at all; `id` makes a repetition harmless."""

    __slots__ = ("chunks", "count", "id", "size")

    def __init__(self, chunks: Sequence[Chunk], id: str | None = None) -> None:  # noqa: A002
        self.chunks, self.id = chunks, id
        self.count = sum([chunk.count for chunk in chunks])
        self.size = sum([len(chunk.payload) for chunk in chunks])


class Acknowledgement(msgspec.Struct, frozen=True):
    """Entries `first` to `first + count - 1` are durable; `receipt` is the signed checkpoint.

    `replayed` says that the batch had been taken before, and this is the first answer again.
    """

    log: str
    shard: str
    first: int
    count: int
    durability: str
    receipt: str
    replayed: bool = False


class BatchIds:
    """The ids of the newest batches, at most `window` of them."""

    def __init__(self, window: int = 65_536) -> None:
        self._window = window
        self._batches: OrderedDict[str, BatchId] = OrderedDict()

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def full(self) -> bool:
        """Whether the oldest id goes when another comes."""
        return len(self._batches) >= self._window

    def find(self, id_: str) -> BatchId | None:
        """Returns the batch that came with this id, if it is still remembered."""
        return self._batches.get(id_)

    def names(self) -> Sequence[str]:
        """Returns the ids, newest last."""
        return list(self._batches)

    def add(self, batch: BatchId) -> None:
        """Remembers a batch as the newest."""
        self._batches[batch.id] = batch
        self._trim()

    def add_older(self, batches: Sequence[BatchId]) -> None:
        """Remembers batches, given oldest first, as older than all that are known."""
        for batch in reversed(batches):
            if self.full:
                break
            if batch.id not in self._batches:
                self._batches[batch.id] = batch
                self._batches.move_to_end(batch.id, last=False)

    def _trim(self) -> None:
        while len(self._batches) > self._window:
            self._batches.popitem(last=False)
