r"""NGINX's access log as JSON, with `escape=json` or with the default escaping, which is no JSON.

Names are those of NGINX's variables or the short ones that administrators give them. With the
default escaping the values hold `\xXX`: if nothing else is escaped in the line, they are undone.
Bytes that are not UTF-8, which `escape=json` lets through, are left as `\xNN`.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from muniment.event import stamps
from muniment.event.access import http_events
from muniment.event.access_json import access, fields
from muniment.event.escapes import from_backslash
from muniment.event.nginx import upstream
from muniment.event.nginx.access import PRODUCT
from muniment.event.nulls import nulls
from muniment.event.objects import (
    Object,
    Objects,
    decode_object,
    repair_backslash_x,
    salvage,
)
from muniment.event.source import Context, merge
from muniment.event.unmapped import joined

NAMES = {
    "time": ("time_iso8601", "time_local", "time", "timestamp", "@timestamp", "datetime"),
    "epoch": ("msec",),
    "client": ("remote_addr", "the_real_ip", "client", "client_ip", "remote_ip", "ip"),
    "client_port": ("remote_port", "client_port"),
    "user": ("remote_user", "user"),
    "request": ("request", "request_line"),
    "method": ("request_method", "method"),
    "target": ("request_uri", "uri", "path", "url"),
    "query": ("args", "query_string", "request_query"),
    "protocol": ("server_protocol", "protocol", "request_proto"),
    "status": ("status", "response_code"),
    "response_body": ("body_bytes_sent", "bytes", "body_bytes"),
    "response_length": ("bytes_sent",),
    "request_length": ("request_length",),
    "seconds": ("request_time", "rt"),
    "agent": ("http_user_agent", "user_agent", "ua", "agent"),
    "referrer": ("http_referer", "http_referrer", "referer", "referrer", "ref"),
    "forwarded": ("http_x_forwarded_for", "x_forwarded_for", "xff"),
    "request_id": ("request_id", "req_id", "rid", "http_x_request_id", "x_request_id"),
    "trace_id": ("trace_id", "traceid", "opentelemetry_trace_id", "otel_trace_id"),
    "host": ("host", "http_host", "vhost"),
    "scheme": ("scheme",),
    "content_type": ("sent_http_content_type",),
    "tls_version": ("ssl_protocol", "ssl"),
    "tls_cipher": ("ssl_cipher",),
    "tls_sni": ("ssl_server_name", "sni"),
    "tls_subject": ("ssl_client_s_dn",),
    "frontend": ("server_name",),
    "backend": ("proxy_upstream_name", "upstream_name"),
    "addresses": ("upstream_addr", "upstream", "up"),
    "statuses": ("upstream_status", "ust"),
    "times": ("upstream_response_time", "urt"),
}


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """HTTP Activity events; a line that is cut yields the pairs before the cut."""
    rows: list[Object | None] = []
    errors: list[str | None] = []
    escaped: list[bool] = []
    for line in lines.to_list():
        value, error, raw = _decode(line)
        rows.append(value)
        errors.append(error)
        escaped.append(raw)
    default = pl.Series(escaped, dtype=pl.Boolean)
    faults = pl.Series("parse_error", errors, dtype=pl.String)
    parts = []
    for mask, undo in ((default, from_backslash), (~default, None)):
        if mask.any():
            chosen = [row for row, wanted in zip(rows, mask, strict=True) if wanted]
            parts.append((mask.arg_true(), _events(Objects(chosen), faults.filter(mask), undo)))
    return merge(parts, len(lines))


def _decode(line: str) -> tuple[Object | None, str | None, bool]:
    """The object, why it is not whole, and whether `\\xXX` in it is the default escaping."""
    value = decode_object(line)
    if isinstance(value, dict):
        return value, None, False
    if "\\x" in line:
        repaired = decode_object(repair_backslash_x(line))
        if isinstance(repaired, dict):
            only = line.count("\\") == line.count("\\x")
            return repaired, None, only
    return salvage(line), value, False


def _events(objects: Objects, faults: pl.Series, undo: Callable[[str], str] | None) -> pl.DataFrame:
    raw = fields(objects, NAMES, decode=undo)
    if raw.width == 0:
        raw = pl.DataFrame({"request": nulls(len(faults), pl.String)})
    flat = _nginx(access(raw, None))
    cut = pl.when(faults.is_not_null()).then(pl.lit('{"truncated":true}'))
    flat = flat.with_columns(joined(pl.lit(objects.unmapped()), cut).alias("unmapped"), faults)
    nothing = pl.Series([objects.is_missing(i) for i in range(len(faults))], dtype=pl.Boolean)
    return http_events(flat, PRODUCT).with_columns(
        pl.when(~nothing).then("class_uid").alias("class_uid")
    )


def _nginx(flat: pl.DataFrame) -> pl.DataFrame:
    have = set(flat.columns)
    none = nulls(flat.height, pl.String)
    added: list[pl.Expr | pl.Series] = []
    if "epoch" in have:
        epoch = stamps.milliseconds(pl.col("epoch").cast(pl.Float64, strict=False))
        exact = stamps.epoch_milliseconds(epoch)
        both = pl.coalesce(exact, "time_dt") if "time_dt" in have else exact
        added.append(both.alias("time_dt"))
    if "seconds" in have:
        seconds = pl.col("seconds").cast(pl.Float64, strict=False)
        added.append(stamps.milliseconds(seconds).alias("duration"))
    if "request_length" in have:
        added.append(pl.col("request_length").alias("bytes_out"))
    if "response_length" in have:
        added.append(pl.col("response_length").alias("bytes_in"))
    if have & {"addresses", "statuses", "times"}:
        lists = [flat[n] if n in have else none for n in ("addresses", "statuses", "times")]
        tried = upstream.columns(*lists)
        added += tried.drop("upstream").get_columns()
        added.append(tried.select("upstream").to_struct("timings"))
    return flat.with_columns(added)
