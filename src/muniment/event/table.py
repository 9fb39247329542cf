"""From the sparse frame of a parser to a table with every column of the schema.

Most columns of most rows are null. All null columns of one table share a single run of zero
bytes, so width costs next to nothing in memory.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from polars.datatypes import DataTypeClass

from muniment.event.schema import SCHEMA

_COMPATIBLE = pl.CompatLevel.oldest()


def check_type(name: str, dtype: pl.DataType, kind: pa.DataType) -> None:
    """Raises ValueError unless a Polars column of `dtype` can stand in a column of `kind`."""
    if dtype == pl.Null:
        return
    if pa.types.is_struct(kind):
        if not isinstance(dtype, pl.Struct):
            raise ValueError(f"{name} is {dtype}, not a struct")
        known = {field.name: field.type for field in kind}
        for field in dtype.fields:
            if field.name not in known:
                raise ValueError(f"{name}.{field.name} is not in the schema")
            check_type(f"{name}.{field.name}", _instance(field.dtype), known[field.name])
    elif pa.types.is_list(kind):
        if not isinstance(dtype, pl.List):
            raise ValueError(f"{name} is {dtype}, not a list")
        check_type(f"{name}[]", _instance(dtype.inner), kind.value_type)
    elif not _leaf_fits(dtype, kind):
        raise ValueError(f"{name} is {dtype}, which is no {kind}")


def _instance(dtype: pl.DataType | DataTypeClass) -> pl.DataType:
    return dtype() if isinstance(dtype, DataTypeClass) else dtype


def _leaf_fits(dtype: pl.DataType, kind: pa.DataType) -> bool:
    if pa.types.is_string(kind):
        return dtype == pl.String
    if pa.types.is_integer(kind):
        return dtype.is_integer()
    if pa.types.is_boolean(kind):
        return dtype == pl.Boolean
    return dtype == pl.Datetime("us", "UTC")


def complete(frame: pl.DataFrame, given: Mapping[str, pa.Array], height: int) -> pa.Table:
    """A table with exactly the columns of `SCHEMA`, `height` rows.

    `given` are finished Arrow columns; the other columns come from `frame` (its types must have
    passed `check_type`) and are null where it has none. Integers that do not fit become null.
    """
    zeros = _Zeros(height)
    filled = frame.select(
        _narrowed(name, dtype) for name, dtype in frame.schema.items() if name not in given
    ).to_arrow(compat_level=_COMPATIBLE)
    names = set(filled.column_names)
    columns = []
    for field in SCHEMA:
        if field.name in given:
            columns.append(given[field.name])
        elif field.name in names:
            columns.append(_fit(_one(filled.column(field.name)), field.type, zeros))
        else:
            columns.append(zeros.nulls(field.type))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _narrowed(name: str, dtype: pl.DataType) -> pl.Expr:
    kind = SCHEMA.field(name).type
    if pa.types.is_int32(kind) and dtype != pl.Int32:
        return pl.col(name).cast(pl.Int32, strict=False)
    if pa.types.is_int64(kind) and dtype != pl.Int64:
        return pl.col(name).cast(pl.Int64, strict=False)
    return pl.col(name)


def _one(column: pa.ChunkedArray) -> pa.Array:
    chunks = column.chunks
    return chunks[0] if len(chunks) == 1 else column.combine_chunks()


def _fit(array: pa.Array, kind: pa.DataType, zeros: _Zeros) -> pa.Array:
    if array.type == kind and not pa.types.is_struct(kind):
        return array
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), kind)
    if not pa.types.is_struct(kind):
        return _leaf(array, kind)
    children = []
    for field in kind:
        place = array.type.get_field_index(field.name)
        if place < 0:
            children.append(zeros.nulls(field.type))
        else:
            children.append(_fit(array.field(place), field.type, zeros))
    return pa.StructArray.from_arrays(children, fields=list(kind), mask=_all_null(children))


def _all_null(children: list[pa.Array]) -> pa.Array | None:
    """An object of nothing but nulls is no object: a mask of such rows, None if there are none."""
    if any(child.null_count == 0 for child in children):
        return None
    mask = None
    for child in children:
        if child.null_count < len(child):
            gone = child.is_null()
            mask = gone if mask is None else pc.and_(mask, gone)
    if mask is None:
        return pa.repeat(pa.scalar(True), len(children[0]))
    return mask


def _leaf(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_list(kind) and pa.types.is_struct(kind.value_type):
        zeros = _Zeros(len(array.values))
        values = _fit(array.values, kind.value_type, zeros)
        array = pa.LargeListArray.from_arrays(
            array.offsets, values, mask=array.is_null() if array.null_count else None
        )
    return array.cast(kind)


class _Zeros:
    """Null arrays of one height that share their memory."""

    def __init__(self, height: int) -> None:
        self._height = height
        self._buffer = pa.py_buffer(bytes(8 * (height + 1)))
        self._made: dict[pa.DataType, pa.Array] = {}

    def nulls(self, kind: pa.DataType) -> pa.Array:
        found = self._made.get(kind)
        if found is None:
            found = self._made[kind] = self._make(kind)
        return found

    def _make(self, kind: pa.DataType) -> pa.Array:
        if pa.types.is_struct(kind):
            children = [self.nulls(field.type) for field in kind]
            return self._array(kind, [self._buffer], children)
        if pa.types.is_list(kind):
            empty = pa.array([], kind.value_type)
            return self._array(kind, [self._buffer, self._buffer], [empty])
        if pa.types.is_string(kind):
            return self._array(kind, [self._buffer, self._buffer, self._buffer], None)
        return self._array(kind, [self._buffer, self._buffer], None)

    def _array(
        self, kind: pa.DataType, buffers: list[pa.Buffer], children: list[pa.Array] | None
    ) -> pa.Array:
        return pa.Array.from_buffers(
            kind, self._height, buffers, null_count=self._height, children=children
        )
