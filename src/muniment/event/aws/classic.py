"""Access logs of Classic Load Balancers.

    timestamp elb client:port backend:port request_processing_time backend_processing_time
    response_processing_time elb_status_code backend_status_code received_bytes sent_bytes
    "request" "user_agent" ssl_cipher ssl_protocol

A TCP or SSL listener has no request and no status (`"- - - "`): its lines are Network Activity.
The oldest lines end with the request.
"""

from __future__ import annotations

import polars as pl

from muniment.event import ocsf, stamps
from muniment.event.access import http_events, network_events, with_unmapped
from muniment.event.aws.common import (
    CLIENT,
    COUNT,
    QUOTED,
    SECONDS,
    STATUS,
    TARGET,
    TIME,
    WORD,
    Field,
    endpoint,
    faulty,
    given,
    instant,
    number,
    plain,
    seconds,
)
from muniment.event.escapes import BACKSLASH
from muniment.event.request import split_request, url
from muniment.event.source import Context, merge

PRODUCT = "AWS CLB"

_FIELDS = (
    Field("timestamp", TIME),
    Field("elb", WORD),
    Field("client:port", CLIENT),
    Field("backend:port", TARGET),
    Field("request_processing_time", SECONDS),
    Field("backend_processing_time", SECONDS),
    Field("response_processing_time", SECONDS),
    Field("elb_status_code", STATUS),
    Field("backend_status_code", STATUS),
    Field("received_bytes", COUNT),
    Field("sent_bytes", COUNT),
    Field("request", QUOTED),
    Field("user_agent", QUOTED),
    Field("ssl_cipher", WORD),
    Field("ssl_protocol", WORD),
)
_HEAD_NAMES = (
    *("time", "elb", "client", "target", "before", "upstream_time", "after"),
    *("status", "target_status", "received", "sent"),
)
_PAIRS = zip(_HEAD_NAMES, _FIELDS, strict=False)
_LINE = (
    "(?s)^" + " ".join(f"(?P<{name}>{field.pattern})" for name, field in _PAIRS) + ' "'
    # What follows the user agent holds no quote, so the last one ends it, whatever a client wrote.
    r'(?P<request>[^"]*)"(?: "(?P<agent>.*)" (?P<cipher>[^ "]+) (?P<protocol>[^ "]+)'
    r'(?: (?P<rest>[^"]*))?)?$'
)
STARTS = rf"^{TIME} [^ ]+ {CLIENT} "


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """Events of lines that match `STARTS`; those that do not fit say why."""
    raw = lines.str.extract_groups(_LINE).struct.unnest()
    fits = raw["time"].is_not_null()
    tcp = fits & raw["request"].str.contains("^(?:- - - ?)?$").fill_null(False)
    parts = []
    for mask, events in ((fits & ~tcp, _requests), (tcp, _connections)):
        if mask.any():
            parts.append((mask.arg_true(), events(_flat(raw.filter(mask)))))
    if not fits.all():
        bad = faulty("a Classic Load Balancer's access log", _FIELDS, lines.filter(~fits))
        parts.append(((~fits).arg_true(), bad))
    return merge(parts, len(lines))


def _flat(raw: pl.DataFrame) -> pl.DataFrame:
    phases = [seconds(name) for name in ("before", "upstream_time", "after")]
    flat = raw.with_columns(
        *endpoint(raw["client"], "client"),
        *endpoint(raw["target"], "server"),
        instant("time").alias("time_dt"),
        pl.col("elb").alias("frontend"),
        number("received").alias("bytes_out"),
        number("sent").alias("bytes_in"),
        given("cipher").alias("tls_cipher"),
        given("protocol").alias("tls_version"),
        stamps.milliseconds(phases[0] + phases[1] + phases[2]).alias("duration"),
        pl.struct(
            stamps.milliseconds(phase).alias(name)
            for name, phase in zip(("request", "upstream", "response"), phases, strict=True)
        ).alias("timings"),
    )
    return with_unmapped(flat, {"trailing": pl.col("rest")})


def _requests(flat: pl.DataFrame) -> pl.DataFrame:
    line = split_request(flat["request"], BACKSLASH)
    flat = flat.with_columns(
        *line.with_columns(line["method"].replace("-", None)),
        *url(line["target"]),
        plain(flat["agent"]).alias("agent"),
        plain(flat["request"]).alias("message"),
        given("status").alias("status"),
        given("target_status").cast(pl.Int32, strict=False).alias("server_status"),
        pl.col("bytes_out").alias("request_body"),
        pl.col("bytes_in").alias("response_body"),
    )
    return http_events(flat, PRODUCT)


def _connections(flat: pl.DataFrame) -> pl.DataFrame:
    refused = pl.col("server_ip").is_null()
    flat = flat.with_columns(
        pl.when(refused).then(ocsf.FAIL).otherwise(ocsf.TRAFFIC).alias("activity_id"),
        pl.when(refused).then(ocsf.FAILURE).otherwise(ocsf.SUCCESS).alias("status_id"),
        pl.lit(ocsf.INFORMATIONAL).alias("severity_id"),
    ).drop("status")
    return network_events(flat, PRODUCT)
