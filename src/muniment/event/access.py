"""From the flat fields of an access log to events: every access log format ends here.

A flat frame has one row a line and any of the columns that `_NESTED` and `_AS_IS` name, in the
types that they have in the schema: a parser says what it has read, and leaves OCSF's nesting to
this module. `status` is the status as text, as it was logged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from muniment.event import ocsf, ocsf_columns
from muniment.event.unmapped import json_object

_NESTED: Mapping[str, object] = {
    "actor": {"user": {"name": "user"}},
    "src_endpoint": {"ip": "client_ip", "port": "client_port", "name": "client_name"},
    "dst_endpoint": {"ip": "local_ip", "port": "local_port"},
    "http_request": {
        "uid": "request_id",
        "http_method": "method",
        "url": {
            "url_string": "url_string",
            "scheme": "scheme",
            "hostname": "hostname",
            "port": "port",
            "path": "path",
            "query_string": "query_string",
        },
        "version": "version",
        "user_agent": "agent",
        "referrer": "referrer",
        "x_forwarded_for": "forwarded",
        "length": "request_length",
        "body_length": "request_body",
    },
    "http_response": {
        "code": "code",
        "length": "response_length",
        "body_length": "response_body",
        "content_type": "content_type",
    },
    "http_cookies": "cookies",
    "tls": {
        "version": "tls_version",
        "cipher": "tls_cipher",
        "sni": "tls_sni",
        "certificate": {"subject": "tls_subject", "issuer": "tls_issuer"},
    },
    "traffic": {"bytes_in": "bytes_in", "bytes_out": "bytes_out"},
    "load_balancer": {
        "name": "frontend",
        "code": "server_status",
        "status_detail": "termination",
        "error_message": "upstream_error",
        "dst_endpoint": {
            "ip": "server_ip",
            "port": "server_port",
            "name": "server",
            "svc_name": "backend",
        },
        "endpoint_connections": "attempts",
    },
}

_AS_IS = (
    "time_dt",
    "message",
    "parse_error",
    "status_detail",
    "duration",
    "timings",
    "load",
    "captures",
    "unmapped",
)


def http_events(flat: pl.DataFrame, product: str, log_name: str = "access") -> pl.DataFrame:
    """HTTP Activity (4002) events of `flat`, same height and order.

    `product` and `log_name` become metadata.product.name and metadata.log_name.
    """
    if "status" in flat.columns:
        code = pl.col("status").cast(pl.Int32, strict=False)
        flat = flat.with_columns(pl.when(code.is_between(100, 999)).then(code).alias("code"))
        outcome = [
            ocsf_columns.http_status_id("status", "code").alias("status_id"),
            ocsf_columns.http_severity_id("code").alias("severity_id"),
            pl.when(pl.col("code").is_not_null()).then("status").alias("status_code"),
        ]
    else:
        outcome = [pl.lit(ocsf.INFORMATIONAL, pl.Int32).alias("severity_id")]
    activity = ocsf_columns.method_activity("method") if "method" in flat.columns else pl.lit(0)
    return flat.select(
        pl.lit(ocsf.HTTP_ACTIVITY, pl.Int32).alias("class_uid"),
        activity.cast(pl.Int32).alias("activity_id"),
        *outcome,
        *nested(flat, product, log_name),
    )


def network_events(flat: pl.DataFrame, product: str, log_name: str = "access") -> pl.DataFrame:
    """Network Activity (4001) events; `flat` also has activity_id, status_id and severity_id."""
    return flat.select(
        pl.lit(ocsf.NETWORK_ACTIVITY, pl.Int32).alias("class_uid"),
        *(pl.col(name).cast(pl.Int32) for name in ("activity_id", "status_id", "severity_id")),
        *nested(flat, product, log_name),
    )


def nested(flat: pl.DataFrame, product: str, log_name: str) -> list[pl.Expr]:
    """The OCSF objects that the columns of `flat` can fill."""
    have = set(flat.columns)
    metadata: dict[str, object] = {"correlation_uid": "trace_id"}
    built = {name: _build(shape, have) for name, shape in _NESTED.items()}
    fixed = [
        pl.lit(ocsf.VERSION).alias("version"),
        pl.lit(log_name).alias("log_name"),
        pl.struct(pl.lit(product).alias("name")).alias("product"),
    ]
    trace = _members(metadata, have)
    return [
        *(pl.col(name) for name in _AS_IS if name in have),
        *(value.alias(name) for name, value in built.items() if value is not None),
        pl.struct([*fixed, *trace]).alias("metadata"),
    ]


def _build(shape: object, have: set[str]) -> pl.Expr | None:
    if isinstance(shape, str):
        return pl.col(shape) if shape in have else None
    assert isinstance(shape, Mapping)
    members = _members(shape, have)
    return pl.struct(members) if members else None


def _members(shape: Mapping[str, object], have: set[str]) -> list[pl.Expr]:
    built = {name: _build(inner, have) for name, inner in shape.items()}
    return [value.alias(name) for name, value in built.items() if value is not None]


def of_product(events: pl.DataFrame, product: str) -> pl.DataFrame:
    """Events with another metadata.product.name: of a product that logs as its server does."""
    named = pl.struct(pl.lit(product).alias("name")).alias("product")
    fields = events.schema["metadata"].fields  # type: ignore[attr-defined]
    kept = [pl.col("metadata").struct.field(f.name) for f in fields if f.name != "product"]
    there = pl.col("metadata").is_not_null()
    return events.with_columns(pl.when(there).then(pl.struct([*kept, named])).alias("metadata"))


def with_unmapped(flat: pl.DataFrame, members: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """`flat` with `unmapped` made of `members`; a member that is null does not appear."""
    # The row number makes literals as long as the frame.
    values = flat.with_row_index("_row").select(
        "_row", *(value.alias(name) for name, value in members.items())
    )
    # Most members are absent from most batches, and text is dear to build.
    used = [name for name in members if values[name].null_count() < values.height]
    if not used:
        return flat
    text = values.select(json_object({name: pl.col(name) for name in used}).alias("unmapped"))
    return flat.with_columns(text.to_series())


def with_missing(flat: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """`flat` with those of the text columns `names` that it lacks, as nulls."""
    return flat.with_columns(
        pl.lit(None, pl.String).alias(name) for name in names if name not in flat.columns
    )
