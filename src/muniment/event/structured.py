"""JSON objects, one an entry: OCSF events, the native form, or anything else.

- with `class_uid`: OCSF, see `ocsf_event`;
- with `action`: the native form, see `native`;
- any other object: a Base Event with its message, severity, time, trace and request id if it has
  them under one of their usual names; all else is in `unmapped`. This is no parse error: it was
  read in full, it only says nothing that OCSF has a class for.

A line that is no JSON object has a parse_error and `class_uid` 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pyarrow as pa

from muniment.event import flat, native, native_flat, ocsf_event, other
from muniment.event.objects import Object, as_int, decode_object
from muniment.event.source import Context, merge

_PIECE = 2_048
"""Among fewer lines than this, what is not plain is not looked for any closer."""


class Structured:
    """The sources `json` and `muniment`."""

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG002
        return _events(lines)


def _events(lines: pl.Series) -> pl.DataFrame:
    """Plain objects all at once; around a line that is not plain, objects one by one."""
    schema = flat.sample(lines)
    parse = None if schema is None else _way(schema)
    if schema is None or parse is None:
        return _one_by_one(lines)
    members = flat.read(lines, schema)
    if members is not None:
        made = parse(members, lines)
        return _one_by_one(lines) if made is None else made
    if len(lines) <= _PIECE:
        return _one_by_one(lines)
    half = len(lines) // 2
    halves = [_events(lines[:half]), _events(lines[half:])]
    return pl.concat(halves, how="diagonal_relaxed")


def _way(schema: pa.Schema) -> Callable[[pl.DataFrame, pl.Series], pl.DataFrame | None] | None:
    """How objects with these members are read all at once; None where they cannot be."""
    if native_flat.fits(schema):
        return native_flat.parse
    return other.parse_plain if other.fits(schema) else None


def _one_by_one(lines: pl.Series) -> pl.DataFrame:
    decoded = [decode_object(line) for line in lines.to_list()]
    kinds: dict[str, list[int]] = {}
    for row, value in enumerate(decoded):
        kinds.setdefault(_kind(value), []).append(row)
    parts = []
    for kind, rows in kinds.items():
        chosen = [decoded[row] for row in rows]
        parts.append((pl.Series(rows, dtype=pl.UInt32), _PARSERS[kind](chosen)))
    return merge(parts, len(lines))


def _kind(value: Object | str) -> str:
    if isinstance(value, str):
        return "broken"
    if as_int(value.get("class_uid")) is not None:
        return "ocsf"
    return "native" if isinstance(value.get("action"), str) else "other"


def _broken(errors: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"parse_error": pl.Series(errors, dtype=pl.String)})


_PARSERS: dict[str, Callable[[list[Any]], pl.DataFrame]] = {
    "ocsf": ocsf_event.parse,
    "native": native.parse,
    "other": other.parse,
    "broken": _broken,
}

SOURCE = Structured()
