"""Envoy's access log as JSON, under the names that Istio, Envoy Gateway, Contour and Consul use.

The administrator writes the names; those in the documentation of these are known here, others go to
`unmapped`. They say the same as the operators of the text format.
"""

from __future__ import annotations

import polars as pl

from muniment.event.access_json import fields
from muniment.event.envoy_log import common
from muniment.event.nulls import nulls
from muniment.event.objects import Object, Objects, as_int, decode_object, salvage
from muniment.event.source import Context
from muniment.event.unmapped import joined

CERTAIN = (
    r'(?s)^\{.*"(?:response_flags|upstream_cluster|x-envoy-origin-path|downstream_remote_address|'
    r'x-envoy-upstream-service-time|upstream_transport_failure_reason)":.*\}$'
)
"""What only Envoy is likely to write."""

_TEXTS = {
    "start": ("start_time", "@timestamp", "timestamp", "time", "startTime"),
    "method": ("method", ":method", "req_method", "request_method", "requestMethod"),
    "target": (
        *("x-envoy-original-path", "x-envoy-origin-path", "path", ":path", "req_path"),
        *("request_path", "requestPath", "uri_path"),
    ),
    "protocol": ("protocol", "request_protocol"),
    "status": ("response_code", "status", "status_code", "responseCode"),
    "flags": ("response_flags", "responseFlags"),
    "details": ("response_code_details", "responseCodeDetails"),
    "ended": ("connection_termination_details",),
    "reason": ("upstream_transport_failure_reason",),
    "forwarded": ("x_forwarded_for", "x-forwarded-for", "forwarded_for", "xff"),
    "agent": ("user_agent", "user-agent", "userAgent"),
    "referrer": ("referer", "referrer"),
    "request_id": ("request_id", "x-request-id", "x_request_id", "requestId"),
    "trace_id": ("trace_id", "traceId", "traceID", "x-b3-traceid", "x_b3_traceid"),
    "authority": ("authority", ":authority", "host"),
    "scheme": ("scheme", ":scheme", "x-forwarded-proto", "x_forwarded_proto"),
    "upstream": ("upstream_host", "upstream_remote_address"),
    "cluster": ("upstream_cluster", "upstream_cluster_raw"),
    "local": ("downstream_local_address",),
    "remote": ("downstream_remote_address", "downstream_direct_remote_address"),
    "sni": ("requested_server_name",),
    "route": ("route_name",),
    "tls_version": ("downstream_tls_version",),
    "tls_cipher": ("downstream_tls_cipher",),
}
_NUMBERS = {
    "received": ("bytes_received", "bytesReceived"),
    "sent": ("bytes_sent", "bytesSent"),
    "duration": ("duration",),
    "upstream_time": (
        *("upstream_service_time", "x-envoy-upstream-service-time", "resp_x_envoy_upstream"),
        *("x_envoy_upstream_service_time",),
    ),
    "tries": ("upstream_request_attempt_count",),
}
_KNOWN = frozenset(key for keys in (*_TEXTS.values(), *_NUMBERS.values()) for key in keys)
_TOO_COMMON = {"status", "host", "path", "time", "timestamp", "@timestamp", "protocol", "duration"}
_SURE = _KNOWN - _TOO_COMMON
_NO_ACCESS = "none of the members of Envoy's access logs"


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """Events of objects; a line that is cut yields the pairs before the cut."""
    rows: list[Object | None] = []
    errors: list[str | None] = []
    for line in lines.to_list():
        value: Object | str | None = decode_object(line)
        fault = value if isinstance(value, str) else None
        if fault is not None:
            value = salvage(line)
        if not isinstance(value, dict) or _SURE.isdisjoint(value):
            value, fault = None, fault or _NO_ACCESS
        rows.append(value)
        errors.append(fault)
    objects = Objects(rows)
    raw = fields(objects, _TEXTS, decode=None).with_columns(_numbers(objects))
    if raw.width == 0:
        raw = pl.DataFrame({"method": nulls(len(lines), pl.String)})
    faults = pl.Series("parse_error", errors, dtype=pl.String)
    raw = raw.with_columns(faults.is_null().alias("default_format"))
    events = common.events(raw, {}, faults, _is_tcp(raw))
    unmapped = pl.select(joined(pl.lit(objects.unmapped()), pl.lit(_unmapped(events)))).to_series()
    cut = pl.when(faults.is_not_null() & unmapped.is_not_null()).then(pl.lit('{"truncated":true}'))
    there = pl.Series([row is not None for row in rows])
    return events.with_columns(
        pl.select(joined(pl.lit(unmapped), cut)).to_series().alias("unmapped"),
        pl.when(pl.lit(there)).then("class_uid").alias("class_uid"),
    )


def _numbers(objects: Objects) -> list[pl.Series]:
    columns = []
    for name, keys in _NUMBERS.items():
        if not objects.has(*keys):
            continue
        values = objects.first(keys)
        made = [as_int(value) for value in values]
        key = next(key for key in keys if objects.has(key))
        for row, (value, number) in enumerate(zip(values, made, strict=True)):
            if number is None and value not in (None, "", "-"):
                objects.refuse(key, row, value)
        columns.append(pl.Series(name, made, dtype=pl.Int64))
    return columns


def _is_tcp(raw: pl.DataFrame) -> pl.Series:
    """Which are of a connection: nothing of HTTP, no code, but bytes or an upstream."""
    have = set(raw.columns)
    none = [pl.col(n).is_null() for n in ("method", "target", "protocol") if n in have]
    some = [pl.col(n).is_not_null() for n in ("received", "sent", "upstream") if n in have]
    if not some:
        return pl.Series([False] * raw.height, dtype=pl.Boolean)
    code = pl.col("status").is_null() | (pl.col("status") == "0") if "status" in have else True
    return raw.select(pl.all_horizontal(*none, code) & pl.any_horizontal(some)).to_series()


def _unmapped(events: pl.DataFrame) -> pl.Series:
    if "unmapped" in events.columns:
        return events["unmapped"]
    return nulls(events.height, pl.String)
