"""Takes the next piece of a shard into its index: a turn, or many where it is far behind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from muniment.errors import MunimentError
from muniment.index.catch_up import Decoders
from muniment.index.copies import Sifted
from muniment.index.flusher import Flusher
from muniment.index.log_index import LogIndex
from muniment.index.reading import Turn, take
from muniment.index.state import LogState, ShardState

_RETRY_SECONDS = 5.0
_REST_SECONDS = 0.1
_log = logging.getLogger(__name__)


class Taker:
    """Belongs to the follower's thread. `settle` is called after work that took much memory."""

    def __init__(
        self,
        flusher: Flusher,
        clock: Callable[[], float],
        settle: Callable[[], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._flusher, self._clock = flusher, clock
        self._settle, self._stopping = settle, stopping
        self._decoders = Decoders()

    def close(self) -> None:
        """Ends the threads that decode."""
        self._decoders.close()

    def take(self, state: LogState, index: LogIndex, name: str, shard: ShardState) -> bool:
        """Takes a piece of a shard; tells whether there was one.

        What cannot be read is the trouble of the shard, and tried again later. Raises IndexDamaged
        where the index is ahead of the shard, OSError where it cannot be written.
        """
        try:
            return self._take(state, index, name, shard)
        except _Unreadable as error:
            shard.trouble = f"entry {index.next_index(name)} cannot be read: {error.reason}"
            shard.retry_at = self._clock() + _RETRY_SECONDS
            _log.error("%s/%s: %s", index.log, name, shard.trouble)
            return False

    def _take(self, state: LogState, index: LogIndex, name: str, shard: ShardState) -> bool:
        if shard.retry_at > self._clock():
            return False
        with _reading():
            index.skip(name, shard.reader.minimum)
        start = index.next_index(name)
        if 0 < shard.reader.size < start:
            raise index.ahead(name, shard.reader.size)
        if shard.reader.size <= start:
            return False
        if shard.is_far_behind(start) and self._catch_up(state, index, name, shard):
            return True
        with _reading():
            sifted = _sift(state, index, name, take(shard.reader, start))
        shard.trouble = ""
        if sifted.after == start:  # the rest of a batch is on its way
            shard.retry_at = self._clock() + _REST_SECONDS
            return False
        table = sifted.rows(index.log, name)
        shard.note(table)
        copies = sifted.after - start - table.num_rows
        return index.append(name, table, sifted.after, copies=copies, relies=sifted.relies)

    def _catch_up(self, state: LogState, index: LogIndex, name: str, shard: ShardState) -> bool:
        """Takes many rows at once, past memory; tells whether there were any."""
        if not self._flusher.empty(state, index):
            return False
        turns = self._decoders.turns(
            shard.reader,
            index.next_index(name),
            log=index.log,
            shard=name,
            sift=partial(_sift, state, index, name),
            stopping=self._stopping,
        )
        taken = index.catch_up(name, shard.noted(turns))
        self._settle()
        return taken > 0


def _sift(state: LogState, index: LogIndex, name: str, turn: Turn) -> Sifted:
    return state.copies.sift(name, turn, state.readers, index.snapshot.cursors)


class _Unreadable(Exception):
    """A shard cannot be read; the others can."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (MunimentError, OSError) as error:
        raise _Unreadable(error) from error
