"""Connection logs and health check logs of Application Load Balancers.

    time client_ip client_port listener_port tls_protocol tls_cipher tls_handshake_latency
    "leaf_client_cert_subject" leaf_client_cert_validity leaf_client_cert_serial_number
    tls_verify_status conn_trace_id

    type time latency target_addr target_group_id status status_code reason_code

Connections join requests by their `conn_trace_id`, which is `connection_info.uid` in both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from muniment.event import ocsf, stamps
from muniment.event.access import network_events, with_unmapped
from muniment.event.aws.alb import PRODUCT
from muniment.event.aws.common import (
    HOST,
    QUOTED,
    SECONDS,
    STATUS,
    TIME,
    WORD,
    Field,
    faulty,
    given,
    instant,
    node,
    seconds,
    with_members,
)
from muniment.event.request import address
from muniment.event.source import Context, merge

_CONNECTION = (
    Field("timestamp", TIME),
    Field("client_ip", HOST),
    Field("client_port", "[0-9]{1,5}"),
    Field("listener_port", "[0-9]{1,5}"),
    Field("tls_protocol", WORD),
    Field("tls_cipher", WORD),
    Field("tls_handshake_latency", SECONDS),
    Field("leaf_client_cert_subject", rf"(?:{QUOTED}|-)"),
    Field("leaf_client_cert_validity", WORD),
    Field("leaf_client_cert_serial_number", WORD),
    Field("tls_verify_status", r"(?:Success|Failed:[A-Za-z]+|-)"),
)
_CONNECTION_NAMES = (
    *("time", "client_ip", "client_port", "local_port", "protocol", "cipher", "latency"),
    *("subject", "validity", "serial", "verified"),
)
_HEALTH = (
    Field("type", r"[a-z][a-z0-9]{0,15}"),
    Field("time", TIME),
    Field("latency", SECONDS),
    Field("target_addr", r"[^ \"]+"),
    Field("target_group_id", WORD),
    Field("status", r"(?:PASS|FAIL)"),
    Field("status_code", r"(?:[0-9]{1,3}|-)"),
    Field("reason_code", WORD),
)
_HEALTH_NAMES = ("type", "time", "latency", "target", "backend", "result", "answer", "why")

CONNECTION_STARTS = rf"^{TIME} {HOST} [0-9]{{1,5}} [0-9]{{1,5}} "
HEALTH_STARTS = rf"^[a-z][a-z0-9]{{0,15}} {TIME} {SECONDS} [^ ]+ [^ ]+ (?:PASS|FAIL) {STATUS} "


def _captures(names: tuple[str, ...], fields: tuple[Field, ...]) -> str:
    pairs = zip(names, fields, strict=True)
    return "^" + " ".join(f"(?P<{n}>{f.pattern})" for n, f in pairs) + "(?: (?P<rest>.*))?$"


_CONNECTION_LINE = _captures(_CONNECTION_NAMES, _CONNECTION)
_HEALTH_LINE = _captures(_HEALTH_NAMES, _HEALTH)


def parse_connection(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """Network Activity: a connection that was opened, or its handshake that failed."""
    return _apart(lines, _CONNECTION_LINE, _connections, "an ALB's connection log", _CONNECTION)


def parse_health(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """Network Activity: what the balancer found when it checked a target."""
    return _apart(lines, _HEALTH_LINE, _checks, "an ALB's health check log", _HEALTH)


def _apart(
    lines: pl.Series,
    pattern: str,
    read: Callable[[pl.DataFrame], pl.DataFrame],
    kind: str,
    fields: Sequence[Field],
) -> pl.DataFrame:
    fits = lines.str.contains(pattern)
    parts = []
    if fits.any():
        raw = lines.filter(fits).str.extract_groups(pattern).struct.unnest()
        parts.append((fits.arg_true(), read(raw)))
    if not fits.all():
        parts.append(((~fits).arg_true(), faulty(kind, fields, lines.filter(~fits))))
    return merge(parts, len(lines))


def _connections(raw: pl.DataFrame) -> pl.DataFrame:
    failed = pl.col("verified").str.starts_with("Failed:")
    subject = raw["subject"].str.strip_chars('"').replace({"-": None, "": None})
    rest = raw["rest"].str.extract_groups(r"^(?P<connection>[^ ]+)(?: (?P<trailing>.*))?$")
    flat = raw.with_columns(
        *rest.struct.unnest(),
        instant("time").alias("time_dt"),
        pl.col("client_ip").str.strip_chars("[]"),
        pl.col("client_port", "local_port").cast(pl.Int32, strict=False),
        given("protocol").alias("tls_version"),
        given("cipher").alias("tls_cipher"),
        subject.alias("tls_subject"),
        pl.struct(seconds("latency").round().cast(pl.Int64).alias("handshake")).alias("timings"),
        pl.when(failed).then(pl.col("verified").str.strip_prefix("Failed:")).alias("status_detail"),
        pl.when(failed).then(ocsf.FAIL).otherwise(ocsf.OPEN).alias("activity_id"),
        pl.when(failed)
        .then(ocsf.FAILURE)
        .when(pl.col("verified") == "Success")
        .then(ocsf.SUCCESS)
        .alias("status_id"),
        pl.when(failed).then(ocsf.LOW).otherwise(ocsf.INFORMATIONAL).alias("severity_id"),
    )
    members = {
        "leaf_client_cert_validity": given("validity"),
        "trailing": pl.col("trailing"),
    }
    events = network_events(with_unmapped(flat, members), PRODUCT, "connection")
    events = with_members(events, "connection_info", {"uid": flat["connection"].replace("-", None)})
    serial = raw["serial"].replace("-", None)
    if serial.null_count() < len(serial):
        tls = events["tls"].struct.unnest()
        certificate = with_members(tls, "certificate", {"serial_number": serial})
        events = events.with_columns(certificate.to_struct("tls"))
    named = flat["trailing"].str.extract(r"(?:^| )((?:app|net)/[^ ]+)")
    balancer = {"name": named, "ip": node(flat["trailing"])}
    return with_members(events, "load_balancer", balancer)


def _checks(raw: pl.DataFrame) -> pl.DataFrame:
    failed = pl.col("result") == "FAIL"
    place = address(raw["target"], "target")
    code = given("answer").cast(pl.Int32, strict=False)
    flat = raw.with_columns(
        instant("time").alias("time_dt"),
        stamps.milliseconds(seconds("latency")).alias("duration"),
        given("why").alias("status_detail"),
        pl.concat_str(
            pl.lit("health check of "), "target", pl.lit(" in "), "backend", pl.lit(": "), "result"
        ).alias("message"),
        pl.when(failed).then(ocsf.FAIL).otherwise(ocsf.TRAFFIC).alias("activity_id"),
        pl.when(failed).then(ocsf.FAILURE).otherwise(ocsf.SUCCESS).alias("status_id"),
        pl.when(failed).then(ocsf.LOW).otherwise(ocsf.INFORMATIONAL).alias("severity_id"),
        code.alias("server_status"),
        *(column.alias(column.name.replace("target", "server")) for column in place[:2]),
        place[2].alias("server"),
    )
    members = {"type": pl.col("type"), "trailing": pl.col("rest")}
    events = network_events(with_unmapped(flat, members), PRODUCT, "health")
    named = raw["rest"].str.extract(r"(?:^| )((?:app|net)/[^ ]+)")
    return with_members(events, "load_balancer", {"name": named, "ip": node(raw["rest"])})
