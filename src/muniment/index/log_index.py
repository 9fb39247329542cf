"""The index of one log: recent rows in memory, parts on disk, and what moves between them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock

import pyarrow as pa
import pyarrow.compute as pc

from muniment.index.bulk import Bulk
from muniment.index.columns import prune
from muniment.index.damage import Finding, IndexDamaged
from muniment.index.manifest import Sync
from muniment.index.merge import choose, rows_of
from muniment.index.part import Part, by_day, file_digest, write_groups, write_part
from muniment.index.snapshot import Recent, Snapshot, with_rows
from muniment.index.table import IndexTable
from muniment.index.turn import Turn

_GRACE = 90.0


class LogIndex:
    """One log's rows. `append` belongs to one thread, `flush` and `reopen` to another one, `merge`
    to a third.

    `clock` gives seconds, monotonic; `now` gives milliseconds since the epoch. A query takes
    `snapshot` once and works on that; files that a merge replaced stay for a while, so that a
    query that has begun can end.
    """

    def __init__(
        self,
        directory: Path,
        log: str,
        shards: Sequence[str],
        *,
        clock: Callable[[], float],
        now: Callable[[], int],
        turn: Turn | None = None,
        sync: Sync = os.fsync,
    ) -> None:
        self.log = log
        self.directory = directory
        self.damage: IndexDamaged | None = None
        self._arguments = (directory, log, shards)
        self._clock = clock
        self._now = now
        self._sync = sync
        self._turn = turn or Turn()
        self._lock = Lock()
        self._merging = Lock()
        self._moving = 0
        self._known: dict[str, tuple[int, int, int]] = {}
        self._replaced: list[tuple[float, Path]] = []
        self.oldest_row: float | None = None
        self._table = IndexTable(directory, log, shards, now=now, sync=sync)
        self._snapshot = Snapshot(tuple(self._table.parts), (), dict(self._table.cursors))
        self._in_parts = dict(self._table.cursors)

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

    def append(self, shard: str, table: pa.Table, after: int) -> bool:
        """Makes rows searchable; `after` is the index of the entry that follows them.

        Tells whether it did: rows that are not the next ones, since the index was opened again
        meanwhile, are not taken.
        """
        pruned = prune(table)
        with self._lock:
            old = self._snapshot
            if old.cursors.get(shard, 0) != after - table.num_rows:
                return False
            if self.oldest_row is None:
                self.oldest_row = self._clock()
            moving = old.recent[: self._moving]
            recent = (*moving, *with_rows(old.recent[self._moving :], pruned))
            self._snapshot = replace(old, recent=recent, cursors={**old.cursors, shard: after})
            return True

    def flush(self) -> None:
        """Moves the recent rows into parts. Raises OSError: then call `reopen` before a retry."""
        with self._lock:
            before = self._snapshot
            self._moving = len(before.recent)
        if not before.recent:
            return
        try:
            parts = self._move(before)
        except BaseException:
            self._moving = 0
            raise
        with self._lock:
            parts_now = (*self._snapshot.parts, *parts)
            left = self._snapshot.recent[self._moving :]
            self._snapshot = replace(self._snapshot, parts=parts_now, recent=left)
            self._moving = 0
            self.oldest_row = self._clock() if left else None
        self._in_parts = dict(self._table.cursors)

    def catch_up(self, shard: str, turns: Iterator[tuple[pa.Table, int]]) -> int:
        """Moves pruned rows straight into parts; all become searchable together.

        `turns` are tables and the index of the entry after each, from `next_index` on; there must
        be no recent rows. Returns how many rows there were. Raises OSError: then call `reopen`.
        """
        rows, after = 0, 0
        bulk = Bulk(self.directory, self._sync)
        try:
            with self._table.pending():
                for table, after in turns:  # noqa: B007
                    bulk.add(table)
                    rows += table.num_rows
                    del table  # or it would be kept while the next one is made
                parts = bulk.finish()
                if parts:
                    self._table.commit(parts, [], {shard: after})
                if self._table.checkpoint_due():
                    self._table.checkpoint()
        finally:
            bulk.close()
        for part in parts:
            self._remember(part)
        if rows:
            with self._lock:
                old = self._snapshot
                cursors = {**old.cursors, shard: after}
                self._snapshot = replace(old, parts=(*old.parts, *parts), cursors=cursors)
            self._in_parts = dict(self._table.cursors)
        return rows

    def _move(self, before: Snapshot) -> list[Part]:
        with self._table.pending():
            with self._turn.first():
                parts = self._write([recent.table for recent in before.recent])
            moved = {
                shard: after
                for shard, after in before.cursors.items()
                if self._table.cursors.get(shard, 0) != after
            }
            self._table.commit(parts, [], moved)
            if self._table.checkpoint_due():
                self._table.checkpoint()
        for part in parts:
            self._remember(part)
        return parts

    def _write(self, tables: Sequence[pa.Table]) -> list[Part]:
        """Writes a part for each shard and day."""
        places: dict[tuple[str, str], list[pa.Table]] = {}
        for table in tables:
            shards = pc.unique(table["shard"]).to_pylist()
            for shard in shards:
                rows = table if len(shards) == 1 else table.filter(pc.equal(table["shard"], shard))
                for day, of_day in by_day(rows).items():
                    places.setdefault((shard, day), []).append(of_day)
        return [
            write_part(self.directory, day, found, sync=self._sync)
            for (_, day), found in places.items()
        ]

    def reopen(self) -> None:
        """Reads the table from disk again after a failure. Raises OSError or IndexDamaged.

        The recent rows stay, unless the failed commit turns out to have succeeded.
        """
        with self._merging:
            directory, log, shards = self._arguments
            self._table.close()
            self._table = IndexTable(directory, log, shards, now=self._now, sync=self._sync)
            kept = self._table.cursors == self._in_parts
            self._in_parts = dict(self._table.cursors)
            with self._lock:
                self._snapshot = Snapshot(
                    tuple(self._table.parts),
                    self._snapshot.recent if kept else (),
                    self._snapshot.cursors if kept else dict(self._table.cursors),
                )
            if not kept:
                self.oldest_row = None

    def merge(self) -> bool:
        """Merges one group of small parts into one, if there is a group; tells whether it did.

        Raises OSError or IndexDamaged; the parts then stay as they were.
        """
        with self._merging:
            self._forget_replaced()
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
                self._table.commit([merged], group, {})
            self._remember(merged)
            gone = {part.path for part in group}
            with self._lock:
                kept = tuple(part for part in self._snapshot.parts if part.path not in gone)
                self._snapshot = replace(self._snapshot, parts=(*kept, merged))
            due = self._clock() + _GRACE
            self._replaced += [(due, self.directory / path) for path in gone]
            return True

    def forget(self, shard: str, minimum: int) -> bool:
        """Removes the rows of a shard's entries below `minimum`; tells whether there were any.

        To be called where `merge` is. Raises OSError or IndexDamaged; what is left is removed by
        the next call.
        """
        with self._merging:
            self._forget_recent(shard, minimum)
            old = [p for p in self._snapshot.parts if p.shard == shard and p.first < minimum]
            if not old:
                return False
            with self._table.pending():
                kept = [self._above(part, minimum) for part in old if part.last >= minimum]
                self._table.commit(kept, old, {})
            for part in kept:
                self._remember(part)
            gone = {part.path for part in old}
            with self._lock:
                parts = tuple(part for part in self._snapshot.parts if part.path not in gone)
                self._snapshot = replace(self._snapshot, parts=(*parts, *kept))
            due = self._clock() + _GRACE
            self._replaced += [(due, self.directory / path) for path in gone]
            return True

    def _above(self, part: Part, minimum: int) -> Part:
        """Writes the rows of a part from `minimum` on as another one."""
        self.trusted(part)
        schema, groups = rows_of(self.directory, [part])
        rows = (group.filter(pc.greater_equal(group["index"], minimum)) for group in groups)
        kept = (group for group in rows if group.num_rows)
        return write_groups(
            self.directory, part.day, schema, kept, working="merge", sync=self._sync
        )

    def _forget_recent(self, shard: str, minimum: int) -> None:
        with self._lock:
            old = self._snapshot
            if self._moving or old.cursors.get(shard, 0) == 0:
                return  # those that move are parts soon
            recent = [
                Recent(kept) if kept.num_rows < one.rows else one
                for one in old.recent
                if (kept := _from(one.table, shard, minimum)).num_rows
            ]
            self._snapshot = replace(old, recent=tuple(recent))

    def skip(self, shard: str, minimum: int) -> None:
        """Goes on with `minimum` where what comes before it has expired, and was never read."""
        with self._lock:
            cursors = self._snapshot.cursors
            if cursors.get(shard, 0) < minimum:
                self._snapshot = replace(self._snapshot, cursors={**cursors, shard: minimum})

    def _forget_replaced(self) -> None:
        now = self._clock()
        for due, path in self._replaced:
            if due <= now:
                path.unlink(missing_ok=True)
        self._replaced = [item for item in self._replaced if item[0] > now]

    def trusted(self, part: Part) -> Path:
        """Returns the path of a part whose content was checked since it last changed.

        Raises IndexDamaged where it is not what was written, and refuses all use from then on.
        """
        path = self.directory / part.path
        try:
            if self._known.get(part.path) != _state(path):
                state = _state(path)
                if file_digest(path) != part.digest:
                    raise self._damaged(part, "does not have the SHA-256 that its name promises")
                self._known[part.path] = state
        except OSError as error:
            raise self._damaged(part, f"cannot be read: {error.strerror}") from error
        return path

    def ahead(self, shard: str, size: int) -> IndexDamaged:
        """The error for an index that holds more entries than its shard; it is not of this log."""
        detail = f"holds entries of shard {shard} beyond its size of {size}"
        self.damage = IndexDamaged(self.log, Finding(".", detail))
        return self.damage

    def _damaged(self, part: Part, detail: str) -> IndexDamaged:
        self.damage = IndexDamaged(self.log, Finding(part.path, detail))
        return self.damage

    def _remember(self, part: Part) -> None:
        self._known[part.path] = _state(self.directory / part.path)

    def close(self) -> None:
        """Flushes if that is possible, and lets go of the directory."""
        try:
            if self.damage is None:
                self.flush()
        finally:
            self._table.close()


def _from(table: pa.Table, shard: str, minimum: int) -> pa.Table:
    """The rows of a table without those of a shard's entries below `minimum`."""
    gone = pc.and_(pc.equal(table["shard"], shard), pc.less(table["index"], minimum))
    return table.filter(pc.invert(gone)) if pc.any(gone).as_py() else table


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
