"""Merging many small parts into few large ones: which, and how, within bounded memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from muniment.index.columns import fit, leaf_columns, newest_first, schema_of
from muniment.index.part import ROW_GROUP, Part

FAN_IN = 16
FEW_SHARDS, MANY_FAN_IN = 4, 4
"""A search looks at the parts of all shards: with many shards, each has fewer."""

MAX_ROWS = 1 << 20
_BUFFER = 64 << 10


def choose(parts: Sequence[Part]) -> list[Part]:
    """Returns parts of one shard and day that should become one, newest first; none if all is well.

    Parts are merged with those of about their size, so that a row is rewritten only as often as
    the logarithm of the number of rows.
    """
    shards = max(1, len({part.shard for part in parts}))
    fan_in = min(FAN_IN, max(MANY_FAN_IN, FAN_IN * FEW_SHARDS // shards))
    tiers: dict[tuple[str, str, int], list[Part]] = defaultdict(list)
    for part in parts:
        if part.rows < MAX_ROWS // 2:
            tiers[part.shard, part.day, _tier(part.rows)].append(part)
    for _, group in sorted(tiers.items(), key=lambda item: item[0][2]):
        if len(group) >= fan_in or sum(part.rows for part in group) >= MAX_ROWS:
            return _take(sorted(group, key=lambda part: part.first))
    return []


def _tier(rows: int) -> int:
    return max(0, (rows.bit_length() - 1) // 4)


def _take(group: Sequence[Part]) -> list[Part]:
    """The oldest of a group, as many as fit into one part, newest first."""
    taken: list[Part] = []
    rows = 0
    for part in group[: FAN_IN * 4]:
        if taken and rows + part.rows > MAX_ROWS:
            break
        taken.append(part)
        rows += part.rows
    return taken[::-1]


def rows_of(directory: Path, parts: Sequence[Part]) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """Returns the columns of all parts together, and their rows in row groups, in order.

    Each row group is sorted; no more than a few of them are in memory. Raises OSError.
    """
    paths = [directory / part.path for part in parts]
    leaves = frozenset().union(*(leaf_columns(pq.read_schema(path)) for path in paths))
    schema = schema_of(leaves)
    return schema, _groups(paths, schema)


def rows_from(directory: Path, part: Part, minimum: int) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """Returns the columns of a part, and its rows from entry `minimum` on; see `rows_of`."""
    schema, groups = rows_of(directory, [part])
    rows = (group.filter(pc.greater_equal(group["index"], minimum)) for group in groups)
    return schema, (group for group in rows if group.num_rows)


def _groups(paths: Sequence[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    """Large row groups pass as they are; small ones are gathered first."""
    waiting: list[pa.Table] = []
    rows = 0
    for group in _row_groups(paths):
        if waiting and rows + group.num_rows > ROW_GROUP:
            yield _gathered(waiting)
            waiting, rows = [], 0
        waiting.append(fit(group, schema))
        rows += group.num_rows
        del group  # or it would be kept while the next one is read
        if rows >= ROW_GROUP // 2:
            yield _gathered(waiting)
            waiting, rows = [], 0
    if waiting:
        yield _gathered(waiting)


def _row_groups(paths: Sequence[Path]) -> Iterator[pa.Table]:
    for path in paths:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number, use_threads=False)


def _gathered(tables: list[pa.Table]) -> pa.Table:
    if len(tables) == 1:
        return tables.pop()
    table = pa.concat_tables(tables)
    tables.clear()
    return table.take(newest_first(table))
