"""Many JSON objects at once: columns without a Python object a value, where lines are plain.

Almost all lines of a log have the same few members, with texts, whole numbers and truth values.
Such lines are read by one parser call for all of them. Whatever is not so plain (nesting, other
numbers, members of changing type, a name given twice, bad JSON) makes the answer None; the caller
then takes the way that looks at each object. Both ways must say the same of every line.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from muniment.event.nulls import nulls
from muniment.event.objects import Object, decode_object

_SAMPLE = 128
_MAX_MEMBERS = 64
_MAX_LINES = 65_536
_COMPATIBLE = pl.CompatLevel.oldest()
_KINDS: Mapping[type, pa.DataType] = {str: pa.string(), int: pa.int64(), bool: pa.bool_()}
_NOTHING, _NEWLINE = pa.scalar("", pa.large_string()), pa.scalar("\n", pa.large_string())


def sample(lines: pl.Series) -> pa.Schema | None:
    """The members and their types (string, int64, bool) as some of the lines have them.

    In the order in which they first occur; None where a line is not plain.
    """
    if not 0 < len(lines) <= _MAX_LINES:
        return None
    kinds: dict[str, pa.DataType | None] = {}
    for line in lines.gather_every(-(-len(lines) // _SAMPLE)).to_list():
        value = decode_object(line)
        if isinstance(value, str) or not _note(kinds, value):
            return None
    return pa.schema([pa.field(name, kind or pa.string()) for name, kind in kinds.items()])


def read(lines: pl.Series, schema: pa.Schema) -> pl.DataFrame | None:
    """A column for each member that `schema` names; None where lines are not as it says."""
    if not (lines.str.starts_with("{") & lines.str.ends_with("}")).all():
        return None
    try:
        table = _parsed(lines, schema)
    except pa.ArrowInvalid:
        return None
    # Each line begins and ends an object and no text goes beyond a line, so as many objects as
    # lines means one object in each line.
    return pl.DataFrame(table) if table.num_rows == len(lines) else None


def _note(kinds: dict[str, pa.DataType | None], value: Object) -> bool:
    for name, member in value.items():
        if not name:  # a frame would give it another
            return False
        known = kinds.setdefault(name, None)
        if member is None:
            continue
        kind = _KINDS.get(type(member))
        if kind is None or known not in (None, kind):
            return False
        kinds[name] = kind
    return len(kinds) <= _MAX_MEMBERS


def _parsed(lines: pl.Series, schema: pa.Schema) -> pa.Table:
    """Raises ArrowInvalid for all that `schema` does not foresee."""
    texts = lines.to_arrow(compat_level=_COMPATIBLE)
    ended = pc.binary_join_element_wise(texts, _NOTHING, _NEWLINE)
    text = ended.buffers()[2]
    return pj.read_json(
        pa.BufferReader(text),
        read_options=pj.ReadOptions(use_threads=False, block_size=text.size + 1),
        parse_options=pj.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="error", newlines_in_values=False
        ),
    )


def json_text(frame: pl.DataFrame, lines: pl.Series) -> pl.Series:
    """The JSON text of objects with the members in `frame`, null for those that have none.

    `lines` are the lines that the frame was read from.
    """
    if not frame.width:
        return nulls(len(lines), pl.String)
    made = frame.select(_object(frame)).to_series()
    escaped = lines.str.contains("\\", literal=True)
    if not escaped.any():
        return made
    rows = escaped.arg_true()
    exact = [_dumped(row) for row in frame[rows].iter_rows(named=True)]
    return made.scatter(rows, pl.Series(exact, dtype=pl.String))


def _dumped(row: Object) -> str | None:
    given = {name: value for name, value in row.items() if value is not None}
    return orjson.dumps(given).decode() if given else None


def _object(frame: pl.DataFrame) -> pl.Expr:
    """The text, as long as no member's text has anything to escape."""
    always = all(column.null_count() == 0 for column in frame.get_columns())
    parts: list[pl.Expr] = []
    for member in frame.get_columns():
        key = orjson.dumps(member.name).decode()
        mark = '"' if member.dtype == pl.String else ""
        start = f"{',' if parts else '{'}{key}:{mark}" if always else f",{key}:{mark}"
        value = pl.lit(member.cast(pl.String))  # by its name it could be taken for a pattern
        if always:
            parts += [pl.lit(start), value, pl.lit(mark)]
        else:
            parts.append(pl.concat_str([pl.lit(start), value, pl.lit(mark)]))
    if always:
        return pl.concat_str([*parts, pl.lit("}")])
    inside = pl.concat_str(parts, ignore_nulls=True)
    return pl.when(inside != "").then(
        pl.concat_str([pl.lit("{"), inside.str.slice(1), pl.lit("}")])
    )
