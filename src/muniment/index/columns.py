"""Columns of an event table: leaving out those that hold nothing, and putting them back.

Of the many OCSF columns a log uses few. A part without the empty ones is smaller, its footer is
quicker to read, and a query over a column that it lacks need not open it. Delta and its readers
take a column, or a member of a struct, that a file lacks for null.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

import pyarrow as pa
import pyarrow.compute as pc

from muniment.event.schema import SCHEMA

ALWAYS = frozenset(
    ["log", "shard", "index", "time", "time_dt", "received", "source", "class_uid", "raw_data"]
)
"""Columns that every part has, whether they hold anything or not."""


def leaf_columns(schema: pa.Schema) -> frozenset[str]:
    """Returns the dotted names of the leaf columns; a list counts as one leaf."""
    return frozenset(name for field in schema for name in _leaves(field.name, field.type))


def _leaves(name: str, kind: pa.DataType) -> Iterator[str]:
    if not pa.types.is_struct(kind):
        yield name
        return
    for child in kind:
        yield from _leaves(f"{name}.{child.name}", child.type)


def prune(table: pa.Table) -> pa.Table:
    """Returns the table without the columns and struct members that are null in every row."""
    fields, columns = [], []
    for field, column in zip(table.schema, table.columns, strict=True):
        kept = _prune(column)
        if kept is None and field.name not in ALWAYS:
            continue
        column = column if kept is None else kept
        fields.append(pa.field(field.name, column.type))
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _prune(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """The column without empty members, None when nothing is left of it."""
    if column.null_count == len(column):
        return None
    if not pa.types.is_struct(column.type):
        return column
    kept = []
    # Where a struct is null, its members may hold anything: flattening makes them null, too.
    members = [chunk.flatten() for chunk in column.chunks]
    for place, child in enumerate(column.type):
        part = _prune(pa.chunked_array([member[place] for member in members], child.type))
        if part is not None:
            kept.append((pa.field(child.name, part.type), part))
    if not kept:
        return None
    if len(kept) == column.type.num_fields and all(
        field.type == column.type.field(field.name).type for field, _ in kept
    ):
        return column
    chunks = [
        pa.StructArray.from_arrays(
            [part.chunk(number) for _, part in kept],
            fields=[field for field, _ in kept],
            mask=chunk.is_null() if chunk.null_count else None,
        )
        for number, chunk in enumerate(column.chunks)
    ]
    return pa.chunked_array(chunks)


def schema_of(leaves: Set[str]) -> pa.Schema:
    """Returns the event schema, narrowed to these leaf columns."""
    fields = (_narrow(field.name, field.name, field.type, leaves) for field in SCHEMA)
    return pa.schema([field for field in fields if field is not None])


def _narrow(path: str, name: str, kind: pa.DataType, leaves: Set[str]) -> pa.Field | None:
    if not pa.types.is_struct(kind):
        return pa.field(name, kind) if path in leaves else None
    children = (_narrow(f"{path}.{c.name}", c.name, c.type, leaves) for c in kind)
    kept = [child for child in children if child is not None]
    return pa.field(name, pa.struct(kept)) if kept else None


def fit(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Returns the table with the columns of `schema`, null where it had none of them."""
    batches = [
        pa.RecordBatch.from_arrays(list(_fitted(batch, schema)), schema=schema)
        for batch in table.to_batches()
    ]
    return pa.Table.from_batches(batches, schema=schema)


def _fitted(batch: pa.RecordBatch, schema: pa.Schema) -> Iterator[pa.Array]:
    nulls = _Nulls(batch.num_rows)
    for field in schema:
        if field.name in batch.schema.names:
            yield _fit(batch.column(field.name), field.type, nulls)
        else:
            yield nulls.of(field.type)


def _fit(array: pa.Array, kind: pa.DataType, nulls: _Nulls) -> pa.Array:
    if array.type == kind:
        return array
    if not pa.types.is_struct(kind):
        return array.cast(kind)
    children = [
        _fit(array.field(child.name), child.type, nulls)
        if array.type.get_field_index(child.name) >= 0
        else nulls.of(child.type)
        for child in kind
    ]
    mask = array.is_null() if array.null_count else None
    return pa.StructArray.from_arrays(children, fields=list(kind), mask=mask)


def join(tables: Sequence[pa.Table]) -> pa.Table:
    """Returns the rows of pruned tables, in order, in one piece, with the columns of them all."""
    schema = schema_of(frozenset().union(*(leaf_columns(table.schema) for table in tables)))
    return pa.concat_tables([fit(table, schema) for table in tables]).combine_chunks()


def newest_first(table: pa.Table) -> pa.Array:
    """Returns the places of the rows by time, newest first, then by index, highest first."""
    return pc.sort_indices(table, sort_keys=[("time", "descending"), ("index", "descending")])


class _Nulls:
    """Null arrays of one length that share one run of zero bytes."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._zeros = pa.py_buffer(bytes(8 * (length + 1)))
        self._made: dict[pa.DataType, pa.Array] = {}

    def of(self, kind: pa.DataType) -> pa.Array:
        found = self._made.get(kind)
        if found is None:
            found = self._made[kind] = self._make(kind)
        return found

    def _make(self, kind: pa.DataType) -> pa.Array:
        children = None
        buffers = 2
        if pa.types.is_struct(kind):
            children, buffers = [self.of(child.type) for child in kind], 1
        elif pa.types.is_list(kind):
            children = [pa.array([], kind.value_type)]
        elif pa.types.is_string(kind):
            buffers = 3
        return pa.Array.from_buffers(
            kind, self._length, [self._zeros] * buffers, null_count=self._length, children=children
        )
