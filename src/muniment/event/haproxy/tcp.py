"""HAProxy's TCP log, its default format, and connections that failed before a request."""

from __future__ import annotations

import polars as pl

from muniment.event import ocsf
from muniment.event.access import network_events, with_unmapped
from muniment.event.haproxy.common import (
    CONNECTIONS,
    DATE,
    PRODUCT,
    QUEUES,
    TLS_ERRORS,
    load,
    log_time,
    milliseconds,
    place,
    termination_detail,
    tls_end,
)
from muniment.event.request import address
from muniment.event.source import Context

_START = rf"^(?P<client>[^ ]+:[0-9]+) (?P<stamp>\[{DATE}\]) "

TCP = (
    rf"{_START}(?P<frontend>[^ ]+) (?P<place>[^ /]+/[^ ]+) "
    r"(?P<timers>-?[0-9]+/-?[0-9]+/\+?-?[0-9]+) (?P<bytes>\+?[0-9]+) (?P<termination>[A-Za-z-]{2}) "
    rf"(?P<connections>{CONNECTIONS}) (?P<queues>{QUEUES})$"
)
CONNECT = (
    r"^Connect from (?P<client>[^ ]+:[0-9]+) to (?P<local>[^ ]+:[0-9]+) "
    r"\((?P<frontend>[^ ()/]+)/(?P<mode>[A-Z]+)\)$"
)
ERROR = rf"(?s){_START}(?P<frontend>[^ /]+)/(?P<listener>[^ :]+): (?P<message>.+)$"
HANDSHAKE = (
    rf"{_START}(?P<frontend>[^ /]+) [0-9]+/[0-9]+ "
    rf"(?P<tls>{TLS_ERRORS} .*/[^/ ]+/[^/ ]+)$"
)


def parse_tcp(lines: pl.Series, context: Context) -> pl.DataFrame:
    """Sessions of `option tcplog`: an event when the session ends."""
    flat = lines.str.extract_groups(TCP).struct.unnest()
    timers = pl.col("timers").str.split_exact("/", 2).struct
    state = pl.col("termination")
    normal = state == "--"
    flat = flat.with_columns(
        log_time("stamp", context).alias("time_dt"),
        *address(flat["client"], "client"),
        *place(),
        milliseconds(timers.field("field_2").str.strip_prefix("+")).alias("duration"),
        pl.struct(
            milliseconds(timers.field("field_0")).alias("queue"),
            milliseconds(timers.field("field_1")).alias("connect"),
        ).alias("timings"),
        pl.col("bytes").str.strip_prefix("+").cast(pl.Int64, strict=False).alias("bytes_in"),
        load().alias("load"),
        termination_detail("termination").alias("status_detail"),
        pl.when(normal)
        .then(ocsf.CLOSE)
        .when(state == "PR")
        .then(ocsf.REFUSE)
        .when(state.str.ends_with("C") | state.str.ends_with("Q"))
        .then(ocsf.FAIL)
        .otherwise(ocsf.CLOSE)
        .alias("activity_id"),
        pl.when(normal).then(ocsf.SUCCESS).otherwise(ocsf.FAILURE).alias("status_id"),
        pl.lit(ocsf.INFORMATIONAL).alias("severity_id"),
    )
    early = pl.when(pl.col("bytes").str.starts_with("+")).then(True)
    members = {"logged_early": early, "server": pl.col("applet")}
    return network_events(with_unmapped(flat, members), PRODUCT)


def parse_connect(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """`Connect from … to …`, what HAProxy logs when no format is set."""
    flat = lines.str.extract_groups(CONNECT).struct.unnest()
    flat = flat.with_columns(
        lines.alias("message"),
        *address(flat["client"], "client"),
        *address(flat["local"], "local"),
        pl.lit(ocsf.OPEN).alias("activity_id"),
        pl.lit(ocsf.SUCCESS).alias("status_id"),
        pl.lit(ocsf.INFORMATIONAL).alias("severity_id"),
    )
    return network_events(with_unmapped(flat, {"mode": pl.col("mode")}), PRODUCT)


def parse_error(lines: pl.Series, context: Context) -> pl.DataFrame:
    """`frontend/listener: SSL handshake failure` and its like: connections that came to nothing."""
    flat = lines.str.extract_groups(ERROR).struct.unnest()
    flat = _failed(flat, context).with_columns(pl.col("message").alias("status_detail"))
    members = {"listener": pl.col("listener")}
    return network_events(with_unmapped(flat, members), PRODUCT, "error")


def parse_handshake(lines: pl.Series, context: Context) -> pl.DataFrame:
    """The `error-log-format` that HAProxy's manual gives for TLS connections that failed."""
    flat = lines.str.extract_groups(HANDSHAKE).struct.unnest()
    flat = _failed(flat, context).with_columns(
        pl.col("frontend").str.strip_suffix("~"), *tls_end("tls", flat)
    )
    flat = flat.with_columns(pl.lit("TLS handshake failure").alias("status_detail"))
    members = {"tls_error": pl.col("tls_error")}
    return network_events(with_unmapped(flat, members), PRODUCT, "error")


def _failed(flat: pl.DataFrame, context: Context) -> pl.DataFrame:
    return flat.with_columns(
        log_time("stamp", context).alias("time_dt"),
        *address(flat["client"], "client"),
        pl.lit(ocsf.FAIL).alias("activity_id"),
        pl.lit(ocsf.FAILURE).alias("status_id"),
        pl.lit(ocsf.LOW).alias("severity_id"),
    )
