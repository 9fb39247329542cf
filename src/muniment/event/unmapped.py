"""The JSON text of `unmapped`: what a log says that has no column of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import polars as pl


def as_json(value: pl.Expr) -> pl.Expr:
    """JSON text of any value (strings are escaped); null for null."""
    wrapped = pl.struct(value.alias("v")).struct.json_encode()
    return pl.when(value.is_not_null()).then(
        wrapped.str.strip_prefix('{"v":').str.strip_suffix("}")
    )


def json_object(members: Mapping[str, pl.Expr]) -> pl.Expr:
    """A JSON object of those members that are not null; null when none is left."""
    if not members:
        return pl.lit(None, pl.String)
    parts = [
        pl.concat_str([pl.lit(f',"{name}":'), as_json(value)]) for name, value in members.items()
    ]
    inside = pl.concat_str(parts, ignore_nulls=True)
    return pl.when(inside != "").then(
        pl.concat_str([pl.lit("{"), inside.str.slice(1), pl.lit("}")])
    )


def joined(first: pl.Expr, second: pl.Expr) -> pl.Expr:
    """Two JSON objects with different keys as one; either may be null."""
    both = first.str.strip_suffix("}") + "," + second.str.strip_prefix("{")
    return pl.coalesce(both, first, second)


def merged(first: pl.Series, second: pl.Series) -> pl.Series:
    """Two columns of JSON objects as one; either may be null.

    Where both have a member of one name, the second object stands whole under `envelope`.
    """
    both = (first.is_not_null() & second.is_not_null()).arg_true()
    if not len(both):
        return first.fill_null(second)
    pairs = zip(first.gather(both).to_list(), second.gather(both).to_list(), strict=True)
    texts = pl.Series([_merged(one, other) for one, other in pairs], dtype=pl.String)
    return first.fill_null(second).scatter(both, texts)


def _merged(first: str, second: str) -> str:
    one, other = _object(first), _object(second)
    clash = one.keys() & other.keys()
    return orjson.dumps({**one, "envelope": other} if clash else {**one, **other}).decode()


def _object(text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = text
    return value if isinstance(value, dict) else {"unmapped": value}
