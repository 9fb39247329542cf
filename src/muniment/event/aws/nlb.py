"""Access logs of Network Load Balancers: their TLS listeners, one line a connection that ended.

    type version time elb listener client:port destination:port connection_time
    tls_handshake_time received_bytes sent_bytes incoming_tls_alert chosen_cert_arn
    chosen_cert_serial tls_cipher tls_protocol_version tls_named_group domain_name
    alpn_fe_protocol alpn_be_protocol alpn_client_preference_list tls_connection_creation_time

Times are in UTC and say no zone. `listener` is the end of the listener's ARN.
"""

from __future__ import annotations

import polars as pl

from muniment.event import ocsf, stamps
from muniment.event.access import network_events, with_unmapped
from muniment.event.aws.common import (
    COUNT,
    SECONDS,
    TARGET,
    WORD,
    Field,
    endpoint,
    faulty,
    given,
    number,
    with_members,
)
from muniment.event.source import Context, merge

PRODUCT = "AWS NLB"

_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z?"
_LIST = r'(?:"[^" ]*"(?:,"[^" ]*")*|[^ "]+)'
_FIELDS = (
    Field("type", "[a-z]{1,16}"),
    Field("version", r"[0-9]+\.[0-9]+"),
    Field("time", _TIME),
    Field("elb", WORD),
    Field("listener", WORD),
    Field("client:port", TARGET),
    Field("destination:port", TARGET),
    Field("connection_time", SECONDS),
    Field("tls_handshake_time", SECONDS),
    Field("received_bytes", COUNT),
    Field("sent_bytes", COUNT),
    Field("incoming_tls_alert", WORD),
    Field("chosen_cert_arn", WORD),
    Field("chosen_cert_serial", WORD),
    Field("tls_cipher", WORD),
    Field("tls_protocol_version", WORD),
    Field("tls_named_group", WORD),
    Field("domain_name", WORD),
    Field("alpn_fe_protocol", WORD),
    Field("alpn_be_protocol", WORD),
    Field("alpn_client_preference_list", _LIST),
)
_NAMES = (
    *("type", "format", "time", "elb", "listener", "client", "destination", "connected"),
    *("handshake", "received", "sent", "alert", "certificate", "serial", "cipher", "protocol"),
    *("group", "domain", "alpn_fe", "alpn_be", "alpn_client", "created", "rest"),
)
STARTS = rf"^[a-z]{{1,16}} [0-9]+\.[0-9]+ {_TIME} "
_WHOLE = "^" + " ".join(field.pattern for field in _FIELDS) + "(?: |$)"
# Before ALPN came, a line ended with the domain name.
_BEFORE_ALPN = "^" + " ".join(field.pattern for field in _FIELDS[:18]) + "$"


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """Network Activity events of lines that match `STARTS`; those that do not fit say why."""
    fits = lines.str.contains(_WHOLE) | lines.str.contains(_BEFORE_ALPN)
    parts = []
    if fits.any():
        # No field but the last holds a space.
        pieces = lines.filter(fits).str.splitn(" ", len(_NAMES))
        raw = pieces.struct.rename_fields(_NAMES).struct.unnest()
        parts.append((fits.arg_true(), _events(raw)))
    if not fits.all():
        bad = faulty("an NLB's access log", _FIELDS, lines.filter(~fits))
        parts.append(((~fits).arg_true(), bad))
    return merge(parts, len(lines))


def _events(raw: pl.DataFrame) -> pl.DataFrame:
    # A handshake that came to nothing has no time, and no connection followed it.
    failed = pl.col("handshake") == "-"
    flat = raw.with_columns(
        *endpoint(raw["client"], "client"),
        *endpoint(raw["destination"], "server"),
        stamps.local(pl.col("time").str.strip_suffix("Z"), "%Y-%m-%dT%H:%M:%S%.f", "UTC").alias(
            "time_dt"
        ),
        pl.col("elb").alias("frontend"),
        number("connected").alias("duration"),
        pl.struct(number("handshake").alias("handshake")).alias("timings"),
        number("received").alias("bytes_out"),
        number("sent").alias("bytes_in"),
        given("cipher").alias("tls_cipher"),
        given("protocol").alias("tls_version"),
        given("domain").alias("tls_sni"),
        pl.when(failed).then(pl.lit("TLS handshake failure")).alias("status_detail"),
        pl.when(failed).then(ocsf.FAIL).otherwise(ocsf.CLOSE).alias("activity_id"),
        pl.when(failed).then(ocsf.FAILURE).otherwise(ocsf.SUCCESS).alias("status_id"),
        pl.when(failed).then(ocsf.LOW).otherwise(ocsf.INFORMATIONAL).alias("severity_id"),
    )
    members = {
        "type": pl.col("type"),
        "listener": pl.col("listener"),
        "incoming_tls_alert": given("alert"),
        "chosen_cert_arn": given("certificate"),
        "chosen_cert_serial": given("serial"),
        "tls_named_group": given("group"),
        "alpn_fe_protocol": given("alpn_fe"),
        "alpn_be_protocol": given("alpn_be"),
        "alpn_client_preference_list": given("alpn_client").str.replace_all('"', "", literal=True),
        "tls_connection_creation_time": given("created"),
        "trailing": pl.col("rest"),
    }
    events = network_events(with_unmapped(flat, members), PRODUCT)
    alert = raw["alert"].cast(pl.Int32, strict=False)
    return with_members(events, "tls", {"alert": alert})
