"""Requests that were read one by one, such as out of nested JSON, as events.

A reader takes what has a column out of an object; what it leaves becomes `unmapped`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import polars as pl

from muniment.event.access import http_events
from muniment.event.administration import with_acts
from muniment.event.nulls import nulls
from muniment.event.objects import Object
from muniment.event.request import host, url
from muniment.event.stamps import rfc3339

_UTC = pl.Datetime("us", "UTC")
_SMALL = ("client_port", "local_port", "server_port", "port", "server_status")
_COUNTS = (
    *("request_length", "request_body", "response_length", "response_body"),
    *("bytes_in", "bytes_out", "duration", "micros"),
)
_LISTS = ("forwarded",)
_ENDPOINT = pl.Struct({"ip": pl.String, "port": pl.Int32, "name": pl.String})
_STRUCTS = {
    "timings": pl.Struct(dict.fromkeys(("request", "response", "upstream"), pl.Int64)),
    "load": pl.Struct({"retries": pl.Int32}),
    "attempts": pl.List(pl.Struct({"code": pl.Int32, "network_endpoint": _ENDPOINT})),
}
_LEAST, _MOST = -(2**31), 2**31


@dataclass(slots=True)
class Act:
    """What a request did to the configuration; `kind` and `name` of what, where it says so."""

    operation: str
    kind: str | None = None
    name: str | None = None


@dataclass(slots=True)
class Request:
    """One request: `flat` as `muniment.event.access` names fields, and what has no column.

    Beside those names, `target` is the request target, `authority` the host that was asked for
    with or without port, and the time is `micros` since the epoch or `stamp` (RFC 3339).
    """

    flat: dict[str, Any] = field(default_factory=dict)
    rest: Object = field(default_factory=dict)
    act: Act | None = None
    fault: str | None = None


def request_events(rows: Sequence[Request], product: str, service: str) -> pl.DataFrame:
    """HTTP Activity, or API Activity of those that have an `act`; same height and order."""
    flat = _columns(rows)
    have = set(flat.columns)
    if "micros" in have:
        flat = flat.with_columns(
            pl.col("micros").cast(pl.Datetime("us")).cast(_UTC).alias("time_dt")
        )
    if "stamp" in have:
        time = rfc3339(pl.col("stamp"))
        known = pl.col("time_dt") if "micros" in have else pl.lit(None, _UTC)
        flat = flat.with_columns(pl.coalesce(known, time).alias("time_dt"))
    target = flat["target"] if "target" in have else nulls(len(rows), pl.String)
    flat = flat.with_columns(*url(target))
    if "authority" in have:
        ip, port, name = host(flat["authority"], "a")
        flat = flat.with_columns(
            flat["hostname"].fill_null(name).fill_null(ip), flat["port"].fill_null(port)
        )
    if "secure" in have:
        scheme = pl.col("scheme").fill_null(pl.col("secure"))
        flat = flat.with_columns(scheme.alias("scheme"))
    method = flat["method"] if "method" in have else nulls(len(rows), pl.String)
    line = pl.concat_str(pl.lit(method), pl.lit(target), separator=" ", ignore_nulls=True)
    said = pl.col("message") if "message" in have else pl.lit(None, pl.String)
    flat = flat.with_columns(pl.coalesce(said, line.replace("", None)).alias("message"))
    acts = [row.act for row in rows]
    named = pl.DataFrame(
        {
            "act": pl.Series([act is not None for act in acts], dtype=pl.Boolean),
            "method": method,
            "kind": _texts([act.kind if act else None for act in acts]),
            "name": _texts([act.name if act else None for act in acts]),
            "operation": _texts([act.operation if act else None for act in acts]),
        }
    )
    return with_acts(http_events(flat, product), named, service)


def _columns(rows: Sequence[Request]) -> pl.DataFrame:
    names = dict.fromkeys(name for row in rows for name in row.flat)
    columns = [_column(name, [row.flat.get(name) for row in rows]) for name in names]
    unmapped = [orjson.dumps(row.rest).decode() if row.rest else None for row in rows]
    faults = _texts([row.fault for row in rows])
    return pl.DataFrame([*columns, _texts(unmapped).alias("unmapped"), faults.alias("parse_error")])


def _column(name: str, values: list[Any]) -> pl.Series:
    if name in _SMALL:
        small = [v if v is not None and _LEAST <= v < _MOST else None for v in values]
        return pl.Series(name, small, dtype=pl.Int32)
    if name in _COUNTS:
        return pl.Series(name, values, dtype=pl.Int64)
    if name in _LISTS:
        return pl.Series(name, values, dtype=pl.List(pl.String))
    return pl.Series(name, values, dtype=_STRUCTS.get(name, pl.String))


def _texts(values: Sequence[str | None]) -> pl.Series:
    return pl.Series(values, dtype=pl.String)


class Members:
    """The members of a nested object, each given out once; the rest is what has no column."""

    def __init__(self, value: Object) -> None:
        self.rest = value

    def take(self, *path: str) -> Any:
        """The value at a path, out of the object; None where there is none."""
        above: list[Object] = [self.rest]
        for name in path[:-1]:
            inner = above[-1].get(name)
            if not isinstance(inner, dict):
                return None
            above.append(inner)
        value = above[-1].pop(path[-1], None)
        for depth in range(len(path) - 2, -1, -1):
            if not above[depth + 1]:
                above[depth].pop(path[depth], None)
        return value

    def text(self, *path: str) -> str | None:
        """A text that is not empty; a number as text. Another value stays where it is."""
        value = self.take(*path)
        if isinstance(value, str):
            return value or None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        self._back(value, path)
        return None

    def number(self, *path: str) -> float | int | None:
        """A number, also from digits; another value stays where it is."""
        value = self.take(*path)
        if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdecimal():
            return int(value)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and -(2**62) < value < 2**62:
            return value  # type: ignore[no-any-return]
        self._back(value, path)
        return None

    def whole(self, *path: str) -> int | None:
        """A whole number."""
        value = self.number(*path)
        return None if value is None else int(value)

    def header(self, *path: str) -> str | None:
        """The value of a header: a text, or a list of one."""
        value = self.take(*path)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, str):
            return value or None
        self._back(value, path)
        return None

    def _back(self, value: Any, path: Sequence[str]) -> None:
        if value is None:
            return
        at = self.rest
        for name in path[:-1]:
            at = at.setdefault(name, {})
        at[path[-1]] = value
