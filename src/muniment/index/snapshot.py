"""What a query sees of one log: parts and recent rows that together hold each row once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    the table on disk says. `copies` is the part of them that are copies.
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


def with_rows(recent: Sequence[Recent], table: pa.Table) -> tuple[Recent, ...]:
    """Adds rows. Small tables are joined so that a few remain, whatever the sizes that come."""
    tables = [*recent, Recent(table)]
    while len(tables) > 1 and tables[-2].rows < min(_LARGE, 4 * tables[-1].rows):
        last, before = tables.pop(), tables.pop()
        tables.append(Recent(join([before.table, last.table])))
    return tuple(tables)
