"""What a query sees of one log: parts and recent rows that together hold each row once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from muniment.index.columns import join, leaf_columns
from muniment.index.part import Part

_LARGE = 8_192


@dataclass(frozen=True)
class Recent:
    """Rows in memory that no part holds yet; of any shards, in the order in which they came."""

    table: pa.Table

    @cached_property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.table.num_rows)

    @cached_property
    def columns(self) -> frozenset[str]:
        """The leaf columns that the table has."""
        return leaf_columns(self.table.schema)

    @cached_property
    def times(self) -> tuple[int, int]:
        """The earliest and the latest time, in milliseconds since the epoch."""
        low, high = pc.min_max(self.table["time"]).as_py().values()
        return low, high

    @cached_property
    def size(self) -> int:
        """Bytes of memory, about."""
        return int(self.table.nbytes)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Immutable. `cursors` say for each shard the index of the first entry that is not in it.

    Of the entries before them, `absent` have no row, in any form: so many more of each shard than
    the table on disk says. `copies` is the part of them that are copies. Each change makes another
    snapshot.
    """

    parts: tuple[Part, ...]
    recent: tuple[Recent, ...]
    cursors: Mapping[str, int]
    absent: Mapping[str, int] = field(default_factory=dict)
    copies: Mapping[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(p.rows for p in self.parts) + sum(r.rows for r in self.recent)

    def appended(
        self, shard: str, rows: pa.Table, after: int, *, copies: int, moving: int
    ) -> Snapshot:
        """With the pruned rows of a shard's entries up to `after`, and so many `copies` of others.

        The first `moving` recent tables stay as they are.
        """
        new = replace(self, cursors={**self.cursors, shard: after})
        if rows.num_rows:
            recent = (*self.recent[:moving], *_with_rows(self.recent[moving:], rows))
            new = replace(new, recent=recent)
        if copies:
            more = {shard: copies}
            new = replace(new, absent=_sum(self.absent, more), copies=_sum(self.copies, more))
        return new

    def flushed(self, before: Snapshot, parts: Sequence[Part]) -> Snapshot:
        """With `parts` in place of the recent rows of `before`, which this one has grown from."""
        return replace(
            self,
            parts=(*self.parts, *parts),
            recent=self.recent[len(before.recent) :],
            absent=_less(self.absent, before.absent),
            copies=_less(self.copies, before.copies),
        )

    def caught_up(self, shard: str, parts: Sequence[Part], after: int) -> Snapshot:
        """With parts that hold the rows of a shard's entries up to `after`."""
        cursors = {**self.cursors, shard: after}
        return replace(self, parts=(*self.parts, *parts), cursors=cursors)

    def swapped(self, old: Sequence[Part], new: Sequence[Part]) -> Snapshot:
        """With parts in place of others."""
        gone = {part.path for part in old}
        kept = (part for part in self.parts if part.path not in gone)
        return replace(self, parts=(*kept, *new))

    def without_recent(self, shard: str, minimum: int) -> Snapshot:
        """Without the recent rows of a shard's entries below `minimum`."""
        recent = [
            Recent(kept) if kept.num_rows < one.rows else one
            for one in self.recent
            if (kept := _from(one.table, shard, minimum)).num_rows
        ]
        gone = sum(one.rows for one in self.recent) - sum(one.rows for one in recent)
        absent = _sum(self.absent, {shard: gone}) if gone else self.absent
        return replace(self, recent=tuple(recent), absent=absent)

    def skipped(self, shard: str, minimum: int) -> Snapshot:
        """With a shard's entries below `minimum` taken for absent, where they are still to come."""
        begin = self.cursors.get(shard, 0)
        if begin >= minimum:
            return self
        cursors = {**self.cursors, shard: minimum}
        return replace(self, cursors=cursors, absent=_sum(self.absent, {shard: minimum - begin}))


def _with_rows(recent: Sequence[Recent], table: pa.Table) -> tuple[Recent, ...]:
    """Adds rows. Small tables are joined so that a few remain, whatever the sizes that come."""
    tables = [*recent, Recent(table)]
    while len(tables) > 1 and tables[-2].rows < min(_LARGE, 4 * tables[-1].rows):
        last, before = tables.pop(), tables.pop()
        tables.append(Recent(join([before.table, last.table])))
    return tuple(tables)


def _from(table: pa.Table, shard: str, minimum: int) -> pa.Table:
    """The rows of a table without those of a shard's entries below `minimum`."""
    gone = pc.and_(pc.equal(table["shard"], shard), pc.less(table["index"], minimum))
    return table.filter(pc.invert(gone)) if pc.any(gone).as_py() else table


def _sum(counts: Mapping[str, int], more: Mapping[str, int]) -> Mapping[str, int]:
    return Counter(counts) + Counter(more)


def _less(counts: Mapping[str, int], taken: Mapping[str, int]) -> Mapping[str, int]:
    return Counter(counts) - Counter(taken)
