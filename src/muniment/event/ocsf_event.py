"""Events that are OCSF already: their fields go straight into the columns of the same name."""

from __future__ import annotations

from typing import Any

import polars as pl

from muniment.event.columns import Leftover, column
from muniment.event.instants import instants
from muniment.event.objects import Object
from muniment.event.schema import SCHEMA

# What Muniment itself says about an entry is not for the sender to set.
_OURS = {
    "log",
    "shard",
    "index",
    "received",
    "source",
    "via",
    "peer",
    "sender",
    "node",
    "stream",
    "parse_error",
    "raw_data",
}
_APART = {"time", "time_dt", "unmapped"}


def parse(events: list[Object]) -> pl.DataFrame:
    """Events with a `class_uid`; what the schema has no column for is in `unmapped`.

    `time_dt` is preferred to `time`, for it is the finer. The trace profile's `trace.uid` also
    becomes `metadata.correlation_uid` where that is empty.
    """
    leftover = Leftover(len(events))
    keys: set[str] = set().union(*events)
    columns = []
    for field in SCHEMA:
        given = field.name in keys or (field.name == "metadata" and "trace" in keys)
        if given and field.name not in _OURS and field.name not in _APART:
            values = [event.get(field.name) for event in events]
            if field.name == "metadata":
                values = [_with_trace(event) for event in events]
            columns.append(column(values, field.type, (field.name,), leftover).alias(field.name))
            keys.discard(field.name)
    columns.append(_time(events, leftover))
    _keep(events, keys, leftover)
    return pl.DataFrame([*columns, leftover.text()])


def _time(events: list[Object], leftover: Leftover) -> pl.Series:
    fine = instants([event.get("time_dt") for event in events])
    plain = instants([event.get("time") for event in events])
    for name, made in (("time_dt", fine), ("time", plain)):
        for row in made.is_null().arg_true().to_list():
            if events[row].get(name) is not None:
                leftover.add(row, (name,), events[row][name])
    return fine.fill_null(plain).alias("time_dt")


def _with_trace(event: Object) -> Any:
    metadata = event.get("metadata")
    trace = event.get("trace")
    if not isinstance(trace, dict) or not isinstance(trace.get("uid"), str):
        return metadata
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict) or metadata.get("correlation_uid") is not None:
        return metadata
    return {**metadata, "correlation_uid": trace["uid"]}


def _keep(events: list[Object], keys: set[str], leftover: Leftover) -> None:
    keys -= _APART
    for row, event in enumerate(events):
        if not keys.isdisjoint(event):
            rest = {k: v for k, v in event.items() if k in keys and v is not None}
            leftover.add_members(row, rest)
        own = event.get("unmapped")
        if isinstance(own, dict):
            for key, value in own.items():
                leftover.add(row, (key,), value)
        elif own is not None:
            leftover.add(row, ("unmapped",), own)
