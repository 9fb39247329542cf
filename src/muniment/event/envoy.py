"""Envoy: entries of the access log service, and the lines of its logs (`envoy_log`).

An entry of the service is one of a stream, HTTP or TCP, with the stream's identifier. An HTTP
entry is HTTP Activity, a TCP entry Network Activity. Envoy counts its times from the start of the
request; `timings` has those that can be told apart. What has no column is in `unmapped`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import polars as pl

from muniment.event import container, envoy_log, ocsf, syslog_header
from muniment.event.access import http_events, network_events
from muniment.event.envoy_fields import HTTP, NODE, TCP, Fields, fields_of
from muniment.event.facts import put_back
from muniment.event.rendering import Renderer
from muniment.event.request import host, url
from muniment.event.source import Context, merge
from muniment.event.stamps import rfc3339
from muniment.event.unpacking import object_of

_PRODUCT = "Envoy"
_SERVED = r"(?s)^\s*(?:\{\s*\}|\{.*\"(?:identifier|httpLogs|tcpLogs|http_logs|tcp_logs)\"\s*:)"
_FIELDS = frozenset((b"\x0a", b"\x12", b"\x1a"))
_UNREADABLE = "neither JSON nor Protobuf of an Envoy access log message with an entry"

_PORTS = ("client_port", "local_port", "server_port", "port")
_COUNTS = (
    "request_length",
    "request_body",
    "response_length",
    "response_body",
    "bytes_in",
    "bytes_out",
    "duration",
)
_NUMBERS: Mapping[str, Any] = {
    **dict.fromkeys(_PORTS, pl.Int32),
    **dict.fromkeys(_COUNTS, pl.Int64),
}
_STRUCTS: Mapping[str, Any] = {
    "timings": pl.Struct(dict.fromkeys(("request", "response", "upstream"), pl.Int64)),
    "load": pl.Struct({"retries": pl.Int32}),
}
"""The types of the flat columns; the others are text."""


@cache
def _renderer() -> Renderer:
    from muniment.event.envoy_messages import renderer

    return renderer()


class Envoy:
    """The source `envoy`."""

    def render(self, raws: Sequence[bytes]) -> list[str | None]:
        """Protobuf's JSON of messages; None for what is JSON or cannot be read."""
        # The message's fields are 1 to 3, so no line of text begins like one.
        chosen = [raw for raw in raws if raw[:1] in _FIELDS]
        made = iter(_renderer().render(chosen))
        return [next(made) if raw[:1] in _FIELDS else None for raw in raws]

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:
        served = lines.str.contains(_SERVED)
        parts = []
        for mask, read in ((served, _of_service), (~served, _of_log)):
            rows = mask.arg_true()
            if len(rows):
                parts.append((rows, read(lines.gather(rows), context.at(rows))))
        return merge(parts, len(lines))


def _of_log(lines: pl.Series, context: Context) -> pl.DataFrame:
    bodies, stamp = container.unwrap(lines)
    header = syslog_header.strip(bodies, context)
    events = envoy_log.parse_bodies(header["body"], context)
    return container.with_time(syslog_header.put_back(events, header, context.zone), stamp)


def _of_service(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    found = [fields_of(object_of(line)) for line in lines.to_list()]
    kinds: dict[str, list[int]] = {}
    for row, one in enumerate(found):
        kinds.setdefault("" if one is None else one.kind, []).append(row)
    parts = []
    for kind, rows in kinds.items():
        chosen = [one for row in rows if (one := found[row]) is not None]
        made = _EVENTS[kind](chosen) if kind else _broken(rows)
        parts.append((pl.Series(rows, dtype=pl.UInt32), made))
    return merge(parts, len(lines))


def _broken(rows: list[int]) -> pl.DataFrame:
    return pl.DataFrame({"parse_error": [_UNREADABLE] * len(rows)})


def _http_events(rows: list[Fields]) -> pl.DataFrame:
    flat = _flat(rows)
    have = set(flat.columns)
    if "url_string" in have:
        parts = url(flat["url_string"])
        flat = flat.with_columns(
            parts[name].fill_null(flat[name]) if name in have else parts[name]
            for name in parts.columns
        )
    if "authority" in have:
        ip, port, name = host(flat["authority"], "authority")
        flat = flat.with_columns(_or(flat, "hostname", name.fill_null(ip)), _or(flat, "port", port))
    if "forwarded" in have:
        plain = pl.col("forwarded").str.replace_all(" ", "", literal=True)
        flat = flat.with_columns(plain.str.split(","))
    return _with_node(http_events(flat, _PRODUCT), rows)


def _or(flat: pl.DataFrame, name: str, other: pl.Series) -> pl.Series:
    return (flat[name].fill_null(other) if name in flat.columns else other).alias(name)


def _tcp_events(rows: list[Fields]) -> pl.DataFrame:
    flat = _flat(rows).with_columns(
        pl.Series("activity_id", [one.activity for one in rows], dtype=pl.Int32),
        pl.Series("status_id", [one.outcome for one in rows], dtype=pl.Int32),
        pl.lit(ocsf.INFORMATIONAL).alias("severity_id"),
    )
    return _with_node(network_events(flat, _PRODUCT), rows)


def _flat(rows: list[Fields]) -> pl.DataFrame:
    """The columns of `muniment.event.access` that any row fills."""
    names = dict.fromkeys(name for one in rows for name in one.flat)
    columns = []
    for name in names:
        values = [one.flat.get(name) for one in rows]
        columns.append(
            pl.Series(name, values, dtype=_NUMBERS.get(name, _STRUCTS.get(name, pl.String)))
        )
    flat = pl.DataFrame(columns) if columns else pl.DataFrame({"status": [None] * len(rows)})
    if "start" in flat.columns:
        flat = flat.with_columns(rfc3339(pl.col("start")).alias("time_dt"))
    return flat


def _with_node(events: pl.DataFrame, rows: list[Fields]) -> pl.DataFrame:
    """Which Envoy it was, and the id of the trace."""
    node = pl.DataFrame(
        {
            "name": pl.Series([one.node for one in rows], dtype=pl.String),
            "correlation_uid": pl.Series([one.trace for one in rows], dtype=pl.String),
        }
    )
    facts = node.select(
        pl.struct("name").alias("device"), pl.struct("correlation_uid").alias("metadata")
    )
    return put_back(events, facts)


def _node_events(rows: list[Fields]) -> pl.DataFrame:
    return _with_node(_flat(rows).select("message", "unmapped"), rows)


_EVENTS = {HTTP: _http_events, TCP: _tcp_events, NODE: _node_events}
SOURCE = Envoy()
