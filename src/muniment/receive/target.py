"""Where entries go: a log, and which of its shards takes the next batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from itertools import count
from typing import Protocol, TypeVar
from zlib import crc32

from muniment.log import Acknowledgement, Batch, Health
from muniment.log.waiting import Done
from muniment.receive.lag_bound import LagBound

S = TypeVar("S", bound="Appendable")
_turn = count()


class Appendable(Protocol):
    """What a receiver needs of a shard. See muniment.log.Shard."""

    @property
    def health(self) -> Health: ...
    @property
    def writable(self) -> bool: ...
    def knows(self, id_: str) -> bool: ...
    def offer(self, batch: Batch, done: Done) -> None: ...
    def submit(self, batch: Batch) -> Future[Acknowledgement]: ...
    def batch_ids(self) -> Sequence[str]: ...


class Target:
    """A log as receivers see it; for any thread.

    `lag_bound` makes senders that can wait do so while the index is too far behind; None for
    those that cannot.
    """

    def __init__(
        self, log: str, shards: Mapping[str, Appendable], lag_bound: LagBound | None = None
    ) -> None:
        self.log = log
        self._shards, self._lag_bound = shards, lag_bound

    def check(self) -> None:
        """Raises IndexBehind where senders should wait."""
        if self._lag_bound is not None:
            self._lag_bound.check(self.log)

    def offer(self, batch: Batch, done: Done) -> None:
        """Queues a batch; see Writer.offer. Raises TryLater."""
        self.check()
        choose(self._shards, batch.id).offer(batch, done)

    def submit(self, batch: Batch) -> Future[Acknowledgement]:
        """Queues a batch; see Writer.submit. Raises TryLater."""
        self.check()
        return choose(self._shards, batch.id).submit(batch)

    def batch_ids(self) -> list[str]:
        """Returns the ids of batches that all shards remember as durable."""
        return [id_ for shard in self._shards.values() for id_ in shard.batch_ids()]


def choose(shards: Mapping[str, S], id_: str | None) -> S:
    """Returns the shard for a batch: the one that knows its id, or the same one for the same id.

    A batch without an id goes to each in turn, healthy ones first; none goes to a shard that takes
    nothing for good, unless that one knows the id: it alone can say what became of it.
    """
    if len(shards) == 1:
        return next(iter(shards.values()))
    if id_ is not None:
        for shard in shards.values():
            if shard.knows(id_):
                return shard
    usable = [shard for shard in shards.values() if shard.writable] or list(shards.values())
    if id_ is not None:
        return usable[crc32(id_.encode()) % len(usable)]
    first = next(_turn)
    for number in range(len(usable)):
        shard = usable[(first + number) % len(usable)]
        if shard.health.ok:
            return shard
    return usable[first % len(usable)]
