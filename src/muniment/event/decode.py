"""Entries in, a table of OCSF events out: one row an entry, in order, whatever the bytes are."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from muniment.event import receipt
from muniment.event.source import Context, merge, run
from muniment.event.table import complete

DEFAULT_SOURCE = "text"
_UTC = pl.Datetime("us", "UTC")
# A table must survive every reader: beyond these years, dates overflow somewhere (Python, Parquet).
_EARLIEST = pl.lit("1900-01-01T00:00:00+00:00").str.to_datetime("%+", time_unit="us")
_LATEST = pl.lit("9999-01-01T00:00:00+00:00").str.to_datetime("%+", time_unit="us")


def decode(
    entries: Sequence[bytes], *, log: str, shard: str, first: int, zone: str = "UTC"
) -> pa.Table:
    """Reads entries into a table with exactly the columns of `SCHEMA`, one row an entry, in order.

    `first` is the index of the first entry in its shard. `zone` is the IANA time zone of stamps
    that name none (HAProxy's `%t` and `%tr`, NGINX's error log, RFC 3164 headers).

    Never raises for what an entry holds. A line that no parser can read keeps its `raw_data`, has
    `class_uid` 0, the reason in `parse_error`, and its receipt time as `time`.
    """
    return _table(receipt.split(entries), log, shard, first, zone)


def decode_packed(
    payload: bytes, *, log: str, shard: str, first: int, zone: str = "UTC"
) -> pa.Table:
    """What `decode` makes of the entries of a packed chunk, (uint16 big-endian length || entry)*.

    Raises ValueError where the lengths do not add up.
    """
    return _table(receipt.split_packed(payload), log, shard, first, zone)


def _table(parts: receipt.Split, log: str, shard: str, first: int, zone: str) -> pa.Table:
    height = len(parts.raw)
    frame = _finish(_parse(pl.Series(parts.raw), parts.receipts, zone), parts.receipts)
    given = {
        "log": pa.repeat(pa.scalar(log, pa.string()), height),
        "shard": pa.repeat(pa.scalar(shard, pa.string()), height),
        "index": pl.int_range(first, first + height, dtype=pl.Int64, eager=True).to_arrow(),
        "raw_data": parts.raw,
    }
    return complete(frame, given, height)


def _parse(lines: pl.Series, receipts: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Each source's parser sees the lines of that source, all at once."""
    source = receipts["source"].fill_null(DEFAULT_SOURCE)
    context = Context(receipts["received"], zone)
    names = source.unique(maintain_order=True).to_list()
    if len(names) == 1:
        return run(names[0], lines, context)
    parts = []
    for name in names:
        rows = (source == name).arg_true()
        parts.append((rows, run(name, lines[rows], context.at(rows))))
    return merge(parts, len(lines))


def _finish(frame: pl.DataFrame, receipts: pl.DataFrame) -> pl.DataFrame:
    """Adds the receipt columns and what OCSF derives: category, type, time, defaults."""
    frame = pl.concat([frame, receipts], how="horizontal").with_columns(
        _number(frame, "class_uid").fill_null(0).alias("class_uid"),
        _number(frame, "activity_id").fill_null(0).alias("activity_id"),
        _severity(frame).alias("severity_id"),
        _number(frame, "status_id").fill_null(0).alias("status_id"),
        _or_null(frame, "time_dt", _UTC).alias("time_dt"),
        pl.coalesce("fault", _or_null(frame, "parse_error", pl.String)).alias("parse_error"),
    )
    sane = pl.col("time_dt").is_between(_EARLIEST, _LATEST)
    frame = frame.with_columns(
        _or_null(frame, "category_uid", pl.Int32)
        .fill_null(pl.col("class_uid") // 1000)
        .alias("category_uid"),
        _or_null(frame, "type_uid", pl.Int64)
        .fill_null(pl.col("class_uid").cast(pl.Int64) * 100 + pl.col("activity_id"))
        .alias("type_uid"),
        pl.when(sane).then("time_dt").otherwise("received").alias("time_dt"),
    )
    return frame.with_columns(pl.col("time_dt").dt.epoch("ms").alias("time")).drop("fault")


def _severity(frame: pl.DataFrame) -> pl.Expr:
    """Unless the parser says more: Informational for a line it read, Unknown for the others."""
    read = _or_null(frame, "parse_error", pl.String).is_null()
    default = pl.when(read).then(1).otherwise(0)
    return _number(frame, "severity_id").fill_null(default)


def _number(frame: pl.DataFrame, name: str) -> pl.Expr:
    return _or_null(frame, name, pl.Int32).cast(pl.Int32, strict=False)


def _or_null(frame: pl.DataFrame, name: str, dtype: pl.DataType | type[pl.DataType]) -> pl.Expr:
    return pl.col(name) if name in frame.columns else pl.lit(None, dtype)
