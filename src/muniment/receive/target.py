"""Where entries go: a log, and which of its shards takes the next batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from itertools import count
from typing import Protocol, TypeVar
from zlib import crc32

from muniment.log import Acknowledgement, Batch, Health
from muniment.log.writer import Done
from muniment.receive.lag_bound import LagBound

S = TypeVar("S", bound="Appendable")
_turn = count()


class Appendable(Protocol):
    """What a receiver needs of a shard. See muniment.log.Shard."""

    @property
    def health(self) -> Health: ...
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
    """Returns the shard for a batch: the same one for the same id, else in turn, healthy first."""
    names = list(shards)
    if len(names) == 1:
        return shards[names[0]]
    if id_ is not None:
        return shards[names[crc32(id_.encode()) % len(names)]]
    first = next(_turn)
    for number in range(len(names)):
        shard = shards[names[(first + number) % len(names)]]
        if shard.health.ok:
            return shard
    return shards[names[first % len(names)]]
