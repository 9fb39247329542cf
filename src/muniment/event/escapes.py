"""Undoes the escaping of loggers, only for the rows that have any."""

from __future__ import annotations

import re
from collections.abc import Callable

import polars as pl
import pyarrow as pa

_HASH = re.compile(rb"#([0-9A-F]{2})")
_BACKSLASH = re.compile(rb"\\x([0-9A-Fa-f]{2})")


def _byte(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 16)])


def from_hash(text: str) -> str:
    """HAProxy's `#XX`; bytes that are not UTF-8 afterwards are written as `\\xNN`."""
    return _HASH.sub(_byte, text.encode()).decode("utf-8", "backslashreplace")


def from_backslash(text: str) -> str:
    """NGINX's default `\\xXX`; bytes that are not UTF-8 afterwards stay written as `\\xNN`."""
    return _BACKSLASH.sub(_byte, text.encode()).decode("utf-8", "backslashreplace")


HASH = (r"#[0-9A-F]{2}", from_hash)
BACKSLASH = (r"\\x[0-9A-Fa-f]{2}", from_backslash)

Escape = tuple[str, Callable[[str], str]]


def undo(column: pl.Series, escape: Escape | None) -> pl.Series:
    """The column with `escape` (HASH or BACKSLASH) undone; as it is for None."""
    if escape is None:
        return column
    pattern, plain = escape
    hit = column.str.contains(pattern).fill_null(False)
    if not hit.any():
        return column
    fixed = [plain(text) for text in column.filter(hit).to_list()]
    return _put(column, hit, pl.Series(fixed, dtype=pl.String))


def split_and_undo(column: pl.Series, separator: str, escape: Escape) -> pl.Series:
    """Lists cut at `separator`, which the escape keeps out of values; each value made plain."""
    pattern, _ = escape
    lists = column.str.split(separator)
    hit = column.str.contains(pattern).fill_null(False)
    if not hit.any():
        return lists
    wanted = lists.filter(hit)
    values = undo(wanted.explode(), escape).to_arrow(compat_level=pl.CompatLevel.oldest())
    ends = wanted.list.len().cum_sum().cast(pl.Int64)
    offsets = pl.concat([pl.Series([0], dtype=pl.Int64), ends]).to_arrow()
    return _put(lists, hit, pl.Series(pa.LargeListArray.from_arrays(offsets, values)))


def _put(column: pl.Series, mask: pl.Series, values: pl.Series) -> pl.Series:
    """`column` with the rows of `mask` replaced by `values`, in order."""
    place = mask.cum_sum().cast(pl.Int64) - 1
    spread = values.gather(pl.select(pl.when(mask).then(place)).to_series())
    return pl.select(pl.when(mask).then(spread).otherwise(column).alias(column.name)).to_series()
