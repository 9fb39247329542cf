"""JSON objects, one an entry: OCSF events, the native form, or anything else.

- with `class_uid`: OCSF, see `ocsf_event`;
- with `action`: the native form, see `native`;
- any other object: a Base Event with its message, severity, time, trace and request id if it has
  them under one of their usual names; all else is in `unmapped`. This is no parse error: it was
  read in full, it only says nothing that OCSF has a class for.

A line that is no JSON object has a parse_error and `class_uid` 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from muniment.event import native, ocsf, ocsf_event
from muniment.event.columns import Leftover
from muniment.event.instants import instants
from muniment.event.objects import Object, as_int, as_text, decode_object
from muniment.event.source import Context, merge

_NAMES = {
    "message": ("message", "msg", "log", "text"),
    "severity": ("severity", "level", "lvl", "log_level", "loglevel"),
    "trace": ("trace_id", "traceId", "traceid", "trace.id"),
    "request": ("request_id", "requestId", "req_id", "request.id"),
}
_TIMES = ("time", "timestamp", "@timestamp", "ts", "datetime", "date", "eventTime")


class Structured:
    """The sources `json` and `muniment`."""

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG002
        decoded = [decode_object(line) for line in lines.to_list()]
        kinds: dict[str, list[int]] = {}
        for row, value in enumerate(decoded):
            kinds.setdefault(_kind(value), []).append(row)
        parts = []
        for kind, rows in kinds.items():
            chosen = [decoded[row] for row in rows]
            parts.append((pl.Series(rows, dtype=pl.UInt32), _PARSERS[kind](chosen)))
        return merge(parts, len(lines))


def _kind(value: Object | str) -> str:
    if isinstance(value, str):
        return "broken"
    if as_int(value.get("class_uid")) is not None:
        return "ocsf"
    return "native" if isinstance(value.get("action"), str) else "other"


def _broken(errors: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"parse_error": pl.Series(errors, dtype=pl.String)})


def _other(events: list[Object]) -> pl.DataFrame:
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
    frame = pl.DataFrame(
        {name: pl.Series(values, dtype=pl.String) for name, values in found.items()}
    )
    return frame.with_columns(pl.col("severity").str.to_lowercase()).select(
        "message",
        ocsf.lookup("severity", ocsf.SEVERITY_WORDS, None)
        .fill_null(ocsf.INFORMATIONAL)
        .alias("severity_id"),
        times.alias("time_dt"),
        pl.struct(pl.col("trace").alias("correlation_uid")).alias("metadata"),
        pl.struct(pl.col("request").alias("uid")).alias("http_request"),
        leftover.text(),
    )


_PARSERS: dict[str, Callable[[list[Any]], pl.DataFrame]] = {
    "ocsf": ocsf_event.parse,
    "native": native.parse,
    "other": _other,
    "broken": _broken,
}

SOURCE = Structured()
