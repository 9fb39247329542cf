"""JSON values into columns of a given Arrow type, keeping what does not fit.

The work goes down the type, a column at a time: for each field of a struct the values of that
field in all rows. What a type has no place for (an unknown member, a value that is no number) is
handed to `Leftover`, so that nothing that was sent disappears from the event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import polars as pl
import pyarrow as pa

from muniment.event.nulls import nulls
from muniment.event.objects import as_int, text_column

Path = tuple[str, ...]
_PLAIN_INTEGERS = {int, type(None)}


class Leftover:
    """What had no column, by row, in the shape in which it came."""

    def __init__(self, height: int) -> None:
        self._rows: list[dict[str, Any] | None] = [None] * height

    def add(self, row: int, path: Path, value: Any) -> None:
        """Keeps `value` at `path`; never overwrites what is there."""
        at = self._rows[row]
        if at is None:
            at = self._rows[row] = {}
        for name in path[:-1]:
            at = at.setdefault(name, {})
            if not isinstance(at, dict):
                return
        at.setdefault(path[-1], value)

    def add_members(self, row: int, members: dict[str, Any]) -> None:
        """Keeps the members of an object at its top; never overwrites what is there."""
        if members:
            there = self._rows[row]
            self._rows[row] = members if there is None else {**members, **there}

    def text(self) -> pl.Series:
        """A JSON object a row, null where nothing was left."""
        made = [None if row is None else orjson.dumps(row).decode() for row in self._rows]
        return pl.Series("unmapped", made, dtype=pl.String)


def polars_type(kind: pa.DataType) -> pl.DataType:
    """The Polars twin of an Arrow type of the schema."""
    return pl.Series(pa.array([], kind)).dtype


def column(values: list[Any], kind: pa.DataType, path: Path, leftover: Leftover) -> pl.Series:
    """A column of `kind`; `path` names it in `leftover`."""
    if pa.types.is_struct(kind):
        return _struct(values, kind, path, leftover)
    if pa.types.is_list(kind):
        return _list(values, kind, path, leftover)
    if pa.types.is_string(kind):
        return text_column(values)
    if pa.types.is_boolean(kind):
        return _leaf(values, _as_bool, pl.Boolean(), path, leftover)
    small = pa.types.is_int32(kind)
    convert = _as_int32 if small else as_int
    return _leaf(values, convert, pl.Int32() if small else pl.Int64(), path, leftover)


def _leaf(
    values: list[Any],
    convert: Callable[[Any], Any],
    dtype: pl.DataType,
    path: Path,
    leftover: Leftover,
) -> pl.Series:
    if dtype.is_integer() and set(map(type, values)) <= _PLAIN_INTEGERS:
        try:
            return pl.Series(values, dtype=dtype)
        except (OverflowError, TypeError, pl.exceptions.PolarsError):
            pass  # Some number is too large: find it the slow way.
    made = [None if value is None else convert(value) for value in values]
    for row, (value, result) in enumerate(zip(values, made, strict=True)):
        if result is None and value is not None:
            leftover.add(row, path, value)
    return pl.Series(made, dtype=dtype)


def _as_bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value) if isinstance(value, str) else None


def _as_int32(value: Any) -> int | None:
    number = as_int(value)
    return number if number is not None and -(2**31) <= number < 2**31 else None


def _struct(values: list[Any], kind: pa.StructType, path: Path, leftover: Leftover) -> pl.Series:
    keys: set[str] = set()
    objects: list[dict[str, Any]] = []
    for row, value in enumerate(values):
        if isinstance(value, dict):
            keys.update(value)
            objects.append(value)
        else:
            objects.append({})
            if value is not None:
                leftover.add(row, path, value)
    children = []
    for field in kind:
        if field.name in keys:
            inner = [value.get(field.name) for value in objects]
            child = column(inner, field.type, (*path, field.name), leftover)
            children.append(child.alias(field.name))
            keys.discard(field.name)
    for key in keys:
        for row, value in enumerate(objects):
            if value.get(key) is not None:
                leftover.add(row, (*path, key), value[key])
    if not children:
        return nulls(len(values), polars_type(kind))
    return pl.DataFrame(children).to_struct()


def _list(values: list[Any], kind: pa.ListType, path: Path, leftover: Leftover) -> pl.Series:
    """Lists, a single value standing for a list of one; elements are converted all at once."""
    lists = [
        value if isinstance(value, list) else None if value is None else [value] for value in values
    ]
    flat = [element for elements in lists if elements for element in elements]
    apart = Leftover(len(flat))
    inner = column(flat, kind.value_type, path, apart)
    odd = apart.text().is_not_null()
    frame = pl.DataFrame({"element": inner})
    rows = [row for row, elements in enumerate(lists) if elements for _ in elements]
    frame = frame.with_columns(pl.Series("row", rows, dtype=pl.UInt32))
    for row in frame.filter(odd)["row"].unique(maintain_order=True).to_list():
        leftover.add(row, path, values[row])
    grouped = frame.group_by("row", maintain_order=True).agg("element")
    every = pl.DataFrame({"row": pl.int_range(len(values), dtype=pl.UInt32, eager=True)})
    return every.join(grouped, on="row", how="left", maintain_order="left")["element"]
