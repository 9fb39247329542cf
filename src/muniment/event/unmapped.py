"""The JSON text of `unmapped`: what a log says that has no column of its own."""

from __future__ import annotations

from collections.abc import Mapping

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
