"""The index of one log: recent rows in memory, parts on disk, and what moves between them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock

import pyarrow as pa

from muniment.index.bulk import Bulk
from muniment.index.columns import prune
from muniment.index.damage import IndexDamaged
from muniment.index.manifest import Sync
from muniment.index.merge import choose, rows_from, rows_of
from muniment.index.part import Part, write_groups, write_parts
from muniment.index.replaced import ReplacedFiles
from muniment.index.snapshot import Snapshot
from muniment.index.table import IndexTable
from muniment.index.trust import Trust
from muniment.index.turn import Turn

_NOTHING: Mapping[str, int] = {}


class LogIndex:
    """One log's rows. `append` belongs to one thread, `flush` and `reopen` to another one, `merge`
    to a third. `duplicates` is how many entries were left out as copies, ever.

    `clock` gives seconds, monotonic; `now` gives milliseconds since the epoch. A query takes
    `snapshot` once and works on that; files that a merge replaced stay for a while, so that a
    query that has begun can end.
    """

    def __init__(
        self,
        directory: Path,
        log: str,
        *,
        clock: Callable[[], float],
        now: Callable[[], int],
        turn: Turn | None = None,
        sync: Sync = os.fsync,
    ) -> None:
        self.log = log
        self.directory = directory
        self._clock = clock
        self._now = now
        self._sync = sync
        self._turn = turn or Turn()
        self._lock = Lock()
        self._merging = Lock()
        self._moving = 0
        self._trust = Trust(directory, log)
        self._replaced = ReplacedFiles(directory, clock)
        self.oldest_row: float | None = None
        self.duplicates = 0
        self._table = IndexTable(directory, log, now=now, sync=sync)
        self._snapshot = self._on_disk()
        self._in_parts = dict(self._table.marks.cursors)

    def _on_disk(self) -> Snapshot:
        self.duplicates = sum(self._table.marks.copies.values())
        return Snapshot(tuple(self._table.parts), (), dict(self._table.marks.cursors))

    @property
    def snapshot(self) -> Snapshot:
        """The rows at this moment."""
        return self._snapshot

    def next_index(self, shard: str) -> int:
        """The index of the first entry of a shard that is not searchable yet."""
        return self._snapshot.cursors.get(shard, 0)

    @property
    def recent_rows(self) -> int:
        """Rows in memory."""
        return sum(recent.rows for recent in self._snapshot.recent)

    @property
    def recent_size(self) -> int:
        """Bytes of memory that the recent rows take, about."""
        return sum(recent.size for recent in self._snapshot.recent)

    @property
    def flushed(self) -> bool:
        """Whether all that is searchable is on disk."""
        return self._snapshot.cursors == self._in_parts

    def append(
        self,
        shard: str,
        table: pa.Table,
        after: int,
        *,
        copies: int = 0,
        relies: Mapping[str, int] = _NOTHING,
    ) -> bool:
        """Makes rows searchable; `after` is the index of the entry that follows them.

        So many `copies` among them were left out, for the sake of originals: their entries of
        other shards in `relies` must be in the index. Tells whether it took the rows: those that
        are not the next ones, since the index was opened again meanwhile, it does not.
        """
        pruned = prune(table)
        with self._lock:
            old = self._snapshot
            if old.cursors.get(shard, 0) != after - table.num_rows - copies or any(
                old.cursors.get(other, 0) <= first for other, first in relies.items()
            ):
                return False
            if self.oldest_row is None:
                self.oldest_row = self._clock()
            self.duplicates += copies
            self._snapshot = old.appended(shard, pruned, after, copies=copies, moving=self._moving)
            return True

    def flush(self) -> None:
        """Moves the recent rows into parts. Raises OSError: then call `reopen` before a retry."""
        with self._lock:
            before = self._snapshot
            self._moving = len(before.recent)
        if before.cursors == self._in_parts:
            self._moving = 0
            return
        try:
            parts = self._move(before)
        except BaseException:
            self._moving = 0
            raise
        with self._lock:
            self._snapshot = self._snapshot.flushed(before, parts)
            self._moving = 0
            ahead = self._snapshot.cursors != before.cursors
            self.oldest_row = self._clock() if ahead else None
        self._in_parts = dict(self._table.marks.cursors)

    def catch_up(self, shard: str, turns: Iterator[tuple[pa.Table, int]]) -> int:
        """Moves pruned rows straight into parts; all become searchable together.

        `turns` are tables and the index of the entry after each, from `next_index` on: what is not
        in them are copies. All must be `flushed` before. Returns how many entries there were.
        Raises OSError: then call `reopen`.
        """
        begin = after = self.next_index(shard)
        rows = 0
        bulk = Bulk(self.directory, self._sync)
        try:
            with self._table.pending():
                for table, after in turns:  # noqa: B007
                    bulk.add(table)
                    rows += table.num_rows
                    del table  # or it would be kept while the next one is made
                parts = bulk.finish()
                copies = after - begin - rows
                if after > begin:
                    left = {shard: copies} if copies else _NOTHING
                    self._table.commit(parts, [], {shard: after}, absent=left, copies=left)
                if self._table.checkpoint_due():
                    self._table.checkpoint()
        finally:
            bulk.close()
        for part in parts:
            self._trust.remember(part)
        if after > begin:
            with self._lock:
                self._snapshot = self._snapshot.caught_up(shard, parts, after)
                self.duplicates += copies
            self._in_parts = dict(self._table.marks.cursors)
        return after - begin

    def _move(self, before: Snapshot) -> list[Part]:
        with self._table.pending():
            with self._turn.first():
                tables = [recent.table for recent in before.recent]
                parts = write_parts(self.directory, tables, sync=self._sync)
            moved = {
                shard: after
                for shard, after in before.cursors.items()
                if self._in_parts.get(shard, 0) != after
            }
            self._table.commit(parts, [], moved, absent=before.absent, copies=before.copies)
            if self._table.checkpoint_due():
                self._table.checkpoint()
        for part in parts:
            self._trust.remember(part)
        return parts

    def reopen(self) -> None:
        """Reads the table from disk again after a failure. Raises OSError or IndexDamaged.

        The recent rows stay, unless the failed commit turns out to have succeeded.
        """
        with self._merging:
            self._table.close()
            self._table = IndexTable(self.directory, self.log, now=self._now, sync=self._sync)
            kept = self._table.marks.cursors == self._in_parts
            self._in_parts = dict(self._table.marks.cursors)
            with self._lock:
                if kept:
                    self._snapshot = replace(self._snapshot, parts=tuple(self._table.parts))
                else:
                    self._snapshot = self._on_disk()
            if not kept:
                self.oldest_row = None

    def merge(self) -> bool:
        """Merges one group of small parts into one, if there is a group; tells whether it did.

        Raises OSError or IndexDamaged; the parts then stay as they were.
        """
        with self._merging:
            self._replaced.remove_due()
            group = choose(self._snapshot.parts)
            if not group:
                return False
            for part in group:
                self.trusted(part)
            with self._table.pending():
                schema, groups = rows_of(self.directory, group)
                merged = write_groups(
                    self.directory,
                    group[0].day,
                    schema,
                    self._turn.steps(groups),
                    working="merge",
                    sync=self._sync,
                )
                self._table.commit([merged], group)
            self._swap(group, [merged])
            return True

    def forget(self, shard: str, minimum: int) -> bool:
        """Removes the rows of a shard's entries below `minimum`; tells whether there were any.

        To be called where `merge` is. Raises OSError or IndexDamaged; what is left is removed by
        the next call.
        """
        with self._merging:
            with self._lock:
                if not self._moving and self.next_index(shard):  # those that move are parts soon
                    self._snapshot = self._snapshot.without_recent(shard, minimum)
            old = [p for p in self._snapshot.parts if p.shard == shard and p.first < minimum]
            if not old:
                return False
            with self._table.pending():
                kept = [self._above(part, minimum) for part in old if part.last >= minimum]
                gone_rows = sum(part.rows for part in old) - sum(part.rows for part in kept)
                self._table.commit(kept, old, absent={shard: gone_rows})
            self._swap(old, kept)
            return True

    def _swap(self, old: Sequence[Part], new: Sequence[Part]) -> None:
        """Lets queries have parts in place of others, whose files go in a while."""
        for part in new:
            self._trust.remember(part)
        with self._lock:
            self._snapshot = self._snapshot.swapped(old, new)
        self._replaced.add(old)

    def _above(self, part: Part, minimum: int) -> Part:
        """Writes the rows of a part from `minimum` on as another one."""
        self.trusted(part)
        schema, groups = rows_from(self.directory, part, minimum)
        return write_groups(
            self.directory, part.day, schema, groups, working="merge", sync=self._sync
        )

    def skip(self, shard: str, minimum: int) -> None:
        """Goes on with `minimum` where what comes before it has expired, and was never read."""
        with self._lock:
            self._snapshot = self._snapshot.skipped(shard, minimum)

    @property
    def damage(self) -> IndexDamaged | None:
        """What is wrong with the index, if anything was found; it is not to be used any more."""
        return self._trust.damage

    def trusted(self, part: Part) -> Path:
        """Returns the path of a part that is what was written; see `Trust.path`."""
        return self._trust.path(part)

    def ahead(self, shard: str, size: int) -> IndexDamaged:
        """The error for an index that holds more entries than its shard; it is not of this log."""
        detail = f"holds entries of shard {shard} beyond its size of {size}"
        return self._trust.damaged(".", detail)

    def close(self) -> None:
        """Flushes if that is possible, and lets go of the directory."""
        try:
            if self.damage is None:
                self.flush()
        finally:
            self._table.close()
