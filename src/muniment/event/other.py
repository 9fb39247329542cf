"""JSON objects of no form that is known: Base Events with what they have under a usual name."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from muniment.event import flat, ocsf, ocsf_columns
from muniment.event.columns import Leftover
from muniment.event.instants import instants, plain_instants
from muniment.event.nulls import nulls
from muniment.event.objects import Object, as_text

_NAMES = {
    "message": ("message", "msg", "log", "text"),
    "severity": ("severity", "level", "lvl", "log_level", "loglevel"),
    "trace": ("trace_id", "traceId", "traceid", "trace.id"),
    "request": ("request_id", "requestId", "req_id", "request.id"),
}
_TIMES = ("time", "timestamp", "@timestamp", "ts", "datetime", "date", "eventTime")


def parse(events: list[Object]) -> pl.DataFrame:
    """Events one by one."""
    leftover = Leftover(len(events))
    found: dict[str, list[str | None]] = {name: [] for name in _NAMES}
    time_keys = [next((k for k in _TIMES if event.get(k) is not None), None) for event in events]
    times = instants([e.get(k) if k else None for e, k in zip(events, time_keys, strict=True)])
    known = times.is_not_null().to_list()
    for row, event in enumerate(events):
        taken = {time_keys[row] if known[row] else None}
        for name, keys in _NAMES.items():
            key = next((k for k in keys if isinstance(event.get(k), str | int)), None)
            found[name].append(None if key is None else as_text(event[key]))
            taken.add(key)
        rest = {k: v for k, v in event.items() if k not in taken and v is not None}
        leftover.add_members(row, rest)
    texts = {name: pl.Series(values, dtype=pl.String) for name, values in found.items()}
    return _events(texts, times, leftover.text())


def fits(schema: pa.Schema) -> bool:
    """Whether objects with these members are of no known form and say nothing twice."""
    names = set(schema.names)
    once = all(len(names.intersection(keys)) <= 1 for keys in (*_NAMES.values(), _TIMES))
    return once and names.isdisjoint(("action", "class_uid"))


def parse_plain(members: pl.DataFrame, lines: pl.Series) -> pl.DataFrame | None:
    """What `parse` answers; None where that takes a look at each object.

    `members` is what `flat.read` made of `lines`, with a schema that `fits`.
    """
    taken = {name: _only(members, keys) for name, keys in _NAMES.items()}
    stamp = _only(members, _TIMES)
    times = plain_instants(stamp)
    if times is None:
        return None
    gone = {stamp.name, *(column.name for column in taken.values())}
    rest = pl.DataFrame([column for column in members.get_columns() if column.name not in gone])
    texts = {name: column.cast(pl.String) for name, column in taken.items()}
    return _events(texts, times, flat.json_text(rest, lines))


def _only(members: pl.DataFrame, keys: tuple[str, ...]) -> pl.Series:
    """The one member under any of these names; a column of nothing where there is none."""
    key = next((key for key in keys if key in members.columns), None)
    return nulls(members.height, pl.String) if key is None else members[key]


def _events(texts: dict[str, pl.Series], times: pl.Series, unmapped: pl.Series) -> pl.DataFrame:
    frame = pl.DataFrame(texts)
    return frame.with_columns(pl.col("severity").str.to_lowercase()).select(
        "message",
        ocsf_columns.lookup("severity", ocsf.SEVERITY_WORDS, None).alias("severity_id"),
        times.alias("time_dt"),
        pl.struct(pl.col("trace").alias("correlation_uid")).alias("metadata"),
        pl.struct(pl.col("request").alias("uid")).alias("http_request"),
        unmapped.alias("unmapped"),
    )
