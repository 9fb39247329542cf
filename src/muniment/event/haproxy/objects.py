"""HAProxy's log as JSON, written with `log-format`: fields under HAProxy's own short names."""

from __future__ import annotations

import polars as pl

from muniment.event import stamps
from muniment.event.access import http_events
from muniment.event.access_json import access, fields
from muniment.event.haproxy.common import PRODUCT, milliseconds, termination_detail
from muniment.event.nulls import nulls
from muniment.event.objects import Objects, decode_object, salvage
from muniment.event.source import Context
from muniment.event.unmapped import joined

NAMES = {
    "time": ("time", "timestamp", "@timestamp", "date"),
    "stamp": ("tr", "t", "request_date", "accept_date"),
    "client": ("ci", "client_ip", "client"),
    "client_port": ("cp", "client_port"),
    "frontend": ("ft", "f", "fe", "frontend", "frontend_name"),
    "backend": ("b", "be", "backend", "backend_name"),
    "server": ("s", "srv", "server", "server_name"),
    "status": ("ST", "status", "status_code", "http_status"),
    "bytes_in": ("B", "bytes", "bytes_read"),
    "bytes_out": ("U", "bytes_uploaded"),
    "termination": ("ts", "tsc", "termination_state"),
    "handshake": ("Th",),
    "idle": ("Ti",),
    "request_time": ("TR", "time_request"),
    "queue": ("Tw", "time_queue"),
    "connect": ("Tc", "time_connect"),
    "response": ("Tr", "time_response"),
    "active": ("Ta", "time_active"),
    "request": ("r", "req", "request", "http_request"),
    "target": ("HU", "uri", "path", "HP"),
    "query": ("HQ", "query"),
    "method": ("HM", "method", "http_method"),
    "protocol": ("HV", "http_version"),
    "agent": ("ua", "user_agent"),
    "referrer": ("referer", "referrer"),
    "host": ("host", "http_host"),
    "request_id": ("uid", "ID", "unique_id", "request_id"),
    "trace_id": ("trace_id",),
    "tls_version": ("sslv", "ssl_version", "tls_version"),
    "tls_cipher": ("sslc", "ssl_cipher", "tls_cipher"),
    "tls_sni": ("sni", "ssl_fc_sni", "tls_sni"),
}
_COUNTS = {
    "active": "ac",
    "frontend": "fc",
    "backend": "bc",
    "server": "sc",
    "retries": "rc",
    "server_queue": "sq",
    "backend_queue": "bq",
}
_PHASES = {"request_time": "request"} | {
    name: name for name in ("handshake", "idle", "queue", "connect", "response")
}
_FAR = pl.duration(minutes=10)


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:
    """HTTP Activity events; a line that is cut yields the pairs before the cut."""
    decoded = [decode_object(line) for line in lines.to_list()]
    errors = [d if isinstance(d, str) else None for d in decoded]
    rows = [
        salvage(line) if isinstance(d, str) else d
        for line, d in zip(lines.to_list(), decoded, strict=True)
    ]
    objects = Objects(rows)
    raw = fields(objects, NAMES, decode=None)
    counts = fields(objects, {k: (v,) for k, v in _COUNTS.items()}, decode=None)
    if raw.width == 0:
        raw = pl.DataFrame({"request": nulls(len(lines), pl.String)})
    flat = _haproxy(access(raw, None), context)
    if counts.width:
        numbers = counts.with_columns(pl.all().str.strip_prefix("+").cast(pl.Int32, strict=False))
        flat = flat.with_columns(numbers.to_struct("load"))
    cut = pl.when(pl.Series(errors, dtype=pl.String).is_not_null()).then(
        pl.lit('{"truncated":true}')
    )
    extra = joined(pl.col("unmapped"), cut)
    flat = flat.with_columns(
        joined(pl.lit(objects.unmapped()), extra).alias("unmapped"),
        pl.Series("parse_error", errors, dtype=pl.String),
    )
    events = http_events(flat, PRODUCT)
    lost = pl.Series([row is None for row in rows])
    return events.with_columns(pl.when(~lost).then("class_uid").alias("class_uid"))


def _haproxy(flat: pl.DataFrame, context: Context) -> pl.DataFrame:
    have = set(flat.columns)
    added = []
    if "stamp" in have:
        here = stamps.local(pl.col("stamp"), "%d/%b/%Y:%H:%M:%S%.f", context.zone)
        if "time_dt" in have:
            # `tr` is finer, but says no zone: it counts where the other time confirms it.
            near = (here - pl.col("time_dt")).abs() < _FAR
            here = pl.when(near).then(here).otherwise(pl.coalesce("time_dt", here))
        added.append(here.alias("time_dt"))
    if "active" in have:
        added.append(milliseconds(pl.col("active").str.strip_prefix("+")).alias("duration"))
    phases = {p: name for p, name in _PHASES.items() if p in have}
    if phases:
        added.append(
            pl.struct(milliseconds(pl.col(p)).alias(n) for p, n in phases.items()).alias("timings")
        )
    if "termination" in have:
        added.append(termination_detail("termination").alias("status_detail"))
    if "frontend" in have:
        added.append(pl.col("frontend").str.strip_suffix("~"))
    unmapped = pl.lit(None, pl.String)
    if "server" in have:
        special = pl.col("server").str.starts_with("<")
        added.append(pl.when(~special).then("server").alias("server"))
        unmapped = pl.when(special).then(
            pl.concat_str([pl.lit('{"server":"'), pl.col("server"), pl.lit('"}')])
        )
    return flat.with_columns(*added, unmapped.alias("unmapped"))
