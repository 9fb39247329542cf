"""Entries in, a table of OCSF events out: one row an entry, in order, whatever the bytes are."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from muniment.event import receipt
from muniment.event.facts import put_back
from muniment.event.guard import renderer, run
from muniment.event.source import Context, merge, reads_about, reads_parts
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
    groups = _groups(parts.receipts)
    texts = _texts(parts.raw, groups)
    parsed = _parse(pl.Series(texts), parts.receipts, groups, zone)
    frame = _finish(parsed, parts.receipts)
    given = {
        "log": pa.repeat(pa.scalar(log, pa.string()), height),
        "shard": pa.repeat(pa.scalar(shard, pa.string()), height),
        "index": pl.int_range(first, first + height, dtype=pl.Int64, eager=True).to_arrow(),
        "raw_data": texts,
    }
    return complete(frame, given, height)


_Groups = list[tuple[str, pl.Series | None]]


def _groups(receipts: pl.DataFrame) -> _Groups:
    """The sources and the rows of each; None is every row.

    Parts of records are in no group, but for the first one where its source can read it.
    """
    source = receipts["source"].fill_null(DEFAULT_SOURCE)
    whole = receipts["part"].is_null()
    if not whole.all():
        able = [name for name in source.unique().to_list() if reads_parts(name)]
        read = whole | ((receipts["part_number"] == 1) & source.is_in(able))
        source = pl.select(pl.when(read).then(source)).to_series()
    names = source.unique(maintain_order=True).drop_nulls().to_list()
    if len(names) == 1 and not source.null_count():
        return [(names[0], None)]
    return [(name, (source == name).fill_null(False).arg_true()) for name in names]


def _texts(raws: pa.BinaryArray, groups: _Groups) -> pa.StringArray:
    """The text of each entry: as its source renders it, else its bytes."""
    rendering = [(rows, render) for name, rows in groups if (render := renderer(name))]
    if not rendering:
        return receipt.as_strings(raws)
    place = pl.int_range(len(raws), dtype=pl.UInt32, eager=True)
    texts: dict[int, str] = {}
    for rows, render in rendering:
        chosen = place if rows is None else rows
        made = render(raws.take(chosen.to_arrow()).to_pylist())
        pairs = zip(chosen.to_list(), made, strict=True)
        texts.update((row, text) for row, text in pairs if text is not None)
    if len(texts) == len(raws):
        return pa.array([texts[row] for row in range(len(raws))], pa.string())
    taken = pl.Series(list(texts), dtype=pl.UInt32)
    left = place.filter(~place.is_in(taken.implode()))
    order = pl.concat([taken, left]).arg_sort().to_arrow()
    rest = receipt.as_strings(raws.take(left.to_arrow()))
    return pa.concat_arrays([pa.array(texts.values(), pa.string()), rest]).take(order)


def _parse(lines: pl.Series, receipts: pl.DataFrame, groups: _Groups, zone: str) -> pl.DataFrame:
    """Each source's parser sees the lines of that source, all at once."""
    about = receipts["about"]
    said = about.null_count() < len(about)
    context = Context(receipts["received"], zone, about if said else None)
    parts = []
    for name, rows in groups:
        part = context if rows is None else context.at(rows)
        made = run(name, lines if rows is None else lines.gather(rows), part)
        if part.about is not None and not reads_about(name):
            kept = part.about.to_frame("about").select('{"about":' + pl.col("about") + "}")
            made = put_back(made, kept.rename({"literal": "unmapped"}))
        if rows is None:
            return made
        parts.append((rows, made))
    return merge(parts, len(lines))


def _finish(frame: pl.DataFrame, receipts: pl.DataFrame) -> pl.DataFrame:
    """Adds the receipt columns and what OCSF derives: category, type, time, defaults."""
    if receipts["seq"].null_count() < receipts.height:
        sequence = pl.struct(pl.col("seq").alias("sequence")).alias("metadata")
        frame = put_back(frame, receipts.select(sequence))
    frame = pl.concat([frame, receipts], how="horizontal").with_columns(
        _number(frame, "class_uid").fill_null(0).alias("class_uid"),
        _number(frame, "activity_id").fill_null(0).alias("activity_id"),
        _severity(frame).alias("severity_id"),
        _number(frame, "status_id").fill_null(0).alias("status_id"),
        _or_null(frame, "time_dt", _UTC).alias("time_dt"),
        pl.coalesce("fault", "part", _or_null(frame, "parse_error", pl.String)).alias(
            "parse_error"
        ),
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
    return frame.with_columns(pl.col("time_dt").dt.epoch("ms").alias("time")).drop(
        "fault", "seq", "about", "part", "part_number"
    )


def _severity(frame: pl.DataFrame) -> pl.Expr:
    """Unless the parser says more: Informational for a line it read, Unknown for the others."""
    read = _or_null(frame, "parse_error", pl.String).is_null() & pl.col("part").is_null()
    default = pl.when(read).then(1).otherwise(0)
    return _number(frame, "severity_id").fill_null(default)


def _number(frame: pl.DataFrame, name: str) -> pl.Expr:
    return _or_null(frame, name, pl.Int32).cast(pl.Int32, strict=False)


def _or_null(frame: pl.DataFrame, name: str, dtype: pl.DataType | type[pl.DataType]) -> pl.Expr:
    return pl.col(name) if name in frame.columns else pl.lit(None, dtype)
