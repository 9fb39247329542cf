"""What a program says about itself: Application Lifecycle events out of levelled messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
import polars as pl

from muniment.event import ocsf, ocsf_columns, stamps
from muniment.event.objects import Object

Activities = Sequence[tuple[str, int]]
"""Patterns of messages, and the activity that each tells of; the first that fits counts."""

_LEVELS = ocsf.SEVERITY_WORDS | {
    "trc": ocsf.INFORMATIONAL,
    "dbg": ocsf.INFORMATIONAL,
    "inf": ocsf.INFORMATIONAL,
    "wrn": ocsf.MEDIUM,
    "ftl": ocsf.FATAL,
    "pnc": ocsf.FATAL,
    "dpanic": ocsf.FATAL,
}


@dataclass(slots=True)
class Message:
    """One message: its RFC 3339 time and level as they were written, and what is beside it.

    `rest` are the members that have no column; `fault` says what of the line could not be read.
    """

    text: str | None
    time: str | None = None
    level: str | None = None
    rest: Object = field(default_factory=dict)
    fault: str | None = None


def lifecycle_events(
    messages: Sequence[Message], product: str, app: str, activities: Activities
) -> pl.DataFrame:
    """Application Lifecycle (6002) events, same height and order."""
    frame = pl.DataFrame(
        {
            "message": _texts([one.text for one in messages]),
            "stamp": _texts([one.time for one in messages]),
            "level": _texts([one.level for one in messages]),
            "unmapped": _texts([_json(one.rest) for one in messages]),
            "parse_error": _texts([one.fault for one in messages]),
        }
    ).with_columns(pl.col("level").str.to_lowercase())
    time = stamps.rfc3339(pl.col("stamp"))
    return told(frame.with_columns(time.alias("time_dt")), product, app, activities)


def told(frame: pl.DataFrame, product: str, app: str, activities: Activities) -> pl.DataFrame:
    """Such events of the columns message, level (lower case), time_dt, unmapped, parse_error."""
    activity = pl.lit(ocsf.OTHER)
    for pattern, number in reversed(activities):
        found = pl.col("message").str.contains(pattern).fill_null(False)
        activity = pl.when(found).then(pl.lit(number)).otherwise(activity)
    severity = ocsf_columns.lookup("level", _LEVELS, None)
    return frame.select(
        pl.lit(ocsf.APPLICATION_LIFECYCLE, pl.Int32).alias("class_uid"),
        activity.cast(pl.Int32).alias("activity_id"),
        severity.alias("severity_id"),
        pl.when(severity >= ocsf.HIGH).then(pl.lit(ocsf.FAILURE, pl.Int32)).alias("status_id"),
        "message",
        "time_dt",
        pl.struct(pl.lit(app).alias("name")).alias("app"),
        pl.struct(
            pl.lit(ocsf.VERSION).alias("version"),
            pl.lit("system").alias("log_name"),
            pl.col("level").alias("log_level"),
            pl.struct(pl.lit(product).alias("name")).alias("product"),
        ).alias("metadata"),
        "unmapped",
        "parse_error",
    )


def _texts(values: Sequence[str | None]) -> pl.Series:
    return pl.Series(values, dtype=pl.String)


def _json(rest: Object) -> str | None:
    given = {name: value for name, value in rest.items() if value is not None}
    return orjson.dumps(given).decode() if given else None
