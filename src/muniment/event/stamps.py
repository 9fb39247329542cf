"""Time stamps of logs, as expressions that answer a UTC timestamp in microseconds or null.

What a stamp leaves out is assumed, never invented: a stamp without a zone is in the zone that the
caller names (UTC unless set), a stamp without a year (RFC 3164) is in the year that brings it
nearest to the receipt time.
"""

from __future__ import annotations

import polars as pl

_UTC = pl.Datetime("us", "UTC")


def zoned(stamp: pl.Expr, layout: str) -> pl.Expr:
    """A stamp that carries its offset (`%z` in the strptime `layout`)."""
    return stamp.str.strptime(pl.Datetime("us"), layout, strict=False).cast(_UTC)


def rfc3339(stamp: pl.Expr) -> pl.Expr:
    """RFC 3339, with or without a fraction, with `Z` or an offset."""
    return zoned(stamp, "%+")


def local(stamp: pl.Expr, layout: str, zone: str) -> pl.Expr:
    """A stamp without a zone.

    An hour that occurs twice is taken as its first occurrence, one that does not occur is null.
    """
    naive = stamp.str.strptime(pl.Datetime("us"), layout, strict=False)
    if zone == "UTC":
        return naive.dt.replace_time_zone("UTC")
    here = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return here.dt.convert_time_zone("UTC")


def rfc3164(stamp: pl.Expr, received: pl.Expr, zone: str) -> pl.Expr:
    """`Mmm dd hh:mm:ss` in the year nearest to `received`; null when that is null."""
    year = received.dt.year()
    text = stamp.str.replace("  ", " 0", literal=True)
    candidates = [
        local(pl.format("{} {}", year + shift, text), "%Y %b %d %H:%M:%S", zone)
        for shift in (0, -1, 1)
    ]
    best = candidates[0]
    for other in candidates[1:]:
        distance, least = (other - received).abs(), (best - received).abs()
        best = (
            pl.when(best.is_null() | (distance < least).fill_null(False))
            .then(other)
            .otherwise(best)
        )
    return best


def milliseconds(seconds: pl.Expr) -> pl.Expr:
    """Whole milliseconds of a number of seconds; null where they are beyond 64 bits."""
    return (seconds * 1000).round().cast(pl.Int64, strict=False)


def epoch_milliseconds(milliseconds: pl.Expr) -> pl.Expr:
    """Integer milliseconds since the epoch; null beyond the years 1900 to 9999."""
    sane = milliseconds.is_between(-2_208_988_800_000, 253_370_764_800_000)
    return (pl.when(sane).then(milliseconds) * 1000).cast(pl.Datetime("us")).cast(_UTC)
