"""NGINX's stream log in ingress-nginx's format (`log-format-stream`): connections and datagrams.

[client] [time] protocol status bytes-sent bytes-received seconds
"""

from __future__ import annotations

import polars as pl

from muniment.event import ocsf, stamps
from muniment.event.access import network_events, with_unmapped
from muniment.event.nginx.access import PRODUCT
from muniment.event.source import Context

_TIME = r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}"
STREAM = (
    rf"^\[(?P<client>unix:|[0-9A-Fa-f.:]+)\] \[(?P<stamp>{_TIME})\] (?P<protocol>TCP|UDP) "
    r"(?P<status>[0-9]{3}) (?P<sent>[0-9]+) (?P<received>[0-9]+) (?P<seconds>[0-9]+\.[0-9]{3})"
    r"(?P<trailing> .*)?$"
)


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """Network Activity events of lines that match `STREAM`."""
    frame = lines.str.extract_groups(STREAM).struct.unnest()
    socket = pl.col("client") == "unix:"
    good = pl.col("status") == "200"
    seconds = pl.col("seconds").cast(pl.Float64, strict=False)
    flat = frame.with_columns(
        stamps.zoned(pl.col("stamp"), "%d/%b/%Y:%H:%M:%S %z").alias("time_dt"),
        pl.when(~socket).then("client").alias("client_ip"),
        pl.when(socket).then("client").alias("client_name"),
        pl.col("sent").cast(pl.Int64, strict=False).alias("bytes_in"),
        pl.col("received").cast(pl.Int64, strict=False).alias("bytes_out"),
        stamps.milliseconds(seconds).alias("duration"),
        pl.col("protocol").alias("message"),
        pl.when(good).then(ocsf.TRAFFIC).otherwise(ocsf.FAIL).alias("activity_id"),
        pl.when(good).then(ocsf.SUCCESS).otherwise(ocsf.FAILURE).alias("status_id"),
        pl.lit(ocsf.INFORMATIONAL).alias("severity_id"),
    )
    flat = with_unmapped(flat, {"trailing": pl.col("trailing").str.strip_prefix(" ")})
    return network_events(flat, PRODUCT).with_columns(
        frame["status"].alias("status_code"),
        pl.struct(frame["protocol"].str.to_lowercase().alias("protocol_name")).alias(
            "connection_info"
        ),
    )
