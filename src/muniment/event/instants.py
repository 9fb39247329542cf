"""Times in JSON values: RFC 3339 text, or a number since the epoch in whatever unit."""

from __future__ import annotations

from typing import Any

import polars as pl

from muniment.event import stamps

_UTC = pl.Datetime("us", "UTC")
# Seconds, milliseconds, microseconds and nanoseconds of any date from 1973 to 5138 do not overlap.
_UNITS = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (1e20, 1e-3))


def instants(values: list[Any]) -> pl.Series:
    """Timestamps (us, UTC) of JSON values; null where a value is no time."""
    texts = [value if isinstance(value, str) else None for value in values]
    frame = pl.DataFrame({"t": pl.Series(texts, dtype=pl.String)})
    made = frame.select(stamps.rfc3339(pl.col("t"))).to_series()
    if None not in texts and made.null_count() == 0:
        return made
    number = _numbers(values).cast(pl.Datetime("us")).cast(_UTC)
    return made.fill_null(number)


def plain_instants(values: pl.Series) -> pl.Series | None:
    """What `instants` makes of a column of texts or whole numbers; None where one is no time."""
    if values.dtype == pl.String:
        made = pl.DataFrame({"t": values}).select(stamps.rfc3339(pl.col("t"))).to_series()
    elif values.dtype == pl.Int64:
        number = pl.col("t")
        micros = number // 1000
        for limit, factor in _UNITS[-2::-1]:
            micros = pl.when(number < int(limit)).then(number * int(factor)).otherwise(micros)
        frame = pl.DataFrame({"t": values}).select(pl.when(number >= 0).then(micros))
        made = frame.to_series().cast(pl.Datetime("us")).cast(_UTC)
    else:
        return None
    return made if made.null_count() == values.null_count() else None


def _numbers(values: list[Any]) -> pl.Series:
    """Microseconds since the epoch of those values that are numbers or digits."""
    present = {type(value) for value in values}
    if present <= {int, type(None)} and all(v is None or 1e11 <= v < 1e14 for v in values):
        return pl.Series(values, dtype=pl.Int64) * 1000
    return pl.Series([_micros(value) for value in values], dtype=pl.Int64)


def _micros(value: Any) -> int | None:
    if isinstance(value, str):
        digits = value.replace(".", "", 1)
        if len(value) > 32 or not (digits.isascii() and digits.isdecimal()):
            return None
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e20:
        return None
    for limit, factor in _UNITS:
        if value < limit:
            if isinstance(value, int) and factor >= 1:
                return value * int(factor)
            return int(value // 1000) if factor < 1 else round(value * factor)
    return None
