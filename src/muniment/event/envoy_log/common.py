"""From the fields of Envoy's access log formats to events, whichever format they stood in.

A raw frame has any of `TEXTS` (String, null for `-` and empty text) and of `COUNTS` (Int64).
`default_format` (Boolean) says of a line that it is whole and of a format without the client's
address.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from muniment.event import ocsf, stamps
from muniment.event.access import http_events, network_events, with_unmapped
from muniment.event.administration import with_acts
from muniment.event.envoy_log.admin import SERVICE, acts
from muniment.event.envoy_names import HARMLESS
from muniment.event.request import address, host, url
from muniment.event.source import merge

PRODUCT = "Envoy"
TEXTS = (
    *("start", "method", "target", "protocol", "status", "flags", "details", "ended", "reason"),
    *("forwarded", "agent", "request_id", "authority", "upstream", "cluster", "local", "remote"),
    *("sni", "route", "referrer", "trace_id", "scheme", "tls_version", "tls_cipher"),
)
COUNTS = ("received", "sent", "duration", "upstream_time", "tries")
_NOTHING = {"-": None, "": None}


def events(
    raw: pl.DataFrame, extra: Mapping[str, pl.Expr], faults: pl.Series, is_tcp: pl.Series
) -> pl.DataFrame:
    """Events of a raw frame; `extra` are members of `unmapped`, `faults` the parse errors."""
    missing = [pl.lit(None, pl.String).alias(n) for n in TEXTS if n not in raw.columns]
    missing += [pl.lit(None, pl.Int64).alias(n) for n in COUNTS if n not in raw.columns]
    if "default_format" not in raw.columns:
        missing.append(pl.lit(False).alias("default_format"))
    flat = _places(raw.with_columns(missing).with_columns(faults.alias("parse_error")))
    parts = []
    for mask, make in ((~is_tcp, _http), (is_tcp, _tcp)):
        if mask.all():
            return make(flat, extra)
        if mask.any():
            parts.append((mask.arg_true(), make(flat.filter(mask), extra)))
    return merge(parts, raw.height)


def nothing(texts: pl.Series) -> pl.Series:
    """Texts without those by which Envoy says that there is none."""
    return texts.replace(_NOTHING)


def _places(flat: pl.DataFrame) -> pl.DataFrame:
    """Time, addresses and what ended it; alike for HTTP and TCP."""
    remote, local = (flat[name] for name in ("remote", "local"))
    flat = flat.with_columns(
        *address(remote, "client"),
        *address(local, "local"),
        *address(flat["upstream"].str.strip_prefix("tcp://"), "server"),
        stamps.rfc3339(pl.col("start")).alias("time_dt"),
        # %RESPONSE_CODE_DETAILS% of an answer that a server gave says no more than that.
        pl.concat_str(
            pl.col("details").replace("via_upstream", None),
            "ended",
            separator=", ",
            ignore_nulls=True,
        )
        .replace("", None)
        .alias("status_detail"),
        pl.col("flags").alias("termination"),
        pl.col("reason").alias("upstream_error"),
        pl.col("cluster").alias("backend"),
        pl.col("sni").alias("tls_sni"),
        pl.struct(pl.col("upstream_time").alias("upstream")).alias("timings"),
    )
    retries = pl.when(pl.col("tries") > 0).then(pl.col("tries") - 1)
    return flat.with_columns(
        pl.col("server_name").alias("server"),
        pl.struct(retries.cast(pl.Int32, strict=False).alias("retries")).alias("load"),
        pl.when(pl.col("time_dt").is_null()).then("start").alias("start_time"),
    )


def _http(flat: pl.DataFrame, extra: Mapping[str, pl.Expr]) -> pl.DataFrame:
    places = url(flat["target"])
    ip, port, name = host(flat["authority"], "authority")
    listed = pl.col("forwarded").str.replace_all(" ", "", literal=True).str.split(",")
    # Without its own field, the client is the address that Envoy itself put last (its
    # documentation on x-forwarded-for); a port or brackets may stand around it.
    last, last_port, last_name = host(
        flat.select(
            pl.when(pl.col("remote").is_null() & pl.col("default_format")).then(listed.list.last())
        ).to_series(),
        "last",
    )
    failed = (pl.col("status") == "0") & pl.col("flags").is_null()
    version = pl.col("protocol").str.extract(r"^HTTP/([0-9](?:\.[0-9])?)$")
    flat = flat.with_columns(
        *places.with_columns(
            places["hostname"].fill_null(name).fill_null(ip),
            places["port"].fill_null(port),
            places["scheme"].fill_null(flat["scheme"]),
        ).get_columns(),
        flat["client_ip"].fill_null(last),
        flat["client_port"].fill_null(last_port),
        flat["client_name"].fill_null(last_name),
        listed.alias("forwarded"),
        version.alias("version"),
        pl.concat_str("method", "target", "protocol", separator=" ", ignore_nulls=True)
        .replace("", None)
        .alias("message"),
        pl.col("received").alias("request_body"),
        pl.col("sent").alias("response_body"),
        # No code and no flag: nothing is said of how it ended.
        pl.when(~failed.fill_null(False)).then("status").alias("status"),
    )
    made = http_events(with_unmapped(flat, _members(extra)), PRODUCT)
    return with_acts(made, acts(flat), SERVICE)


def _tcp(flat: pl.DataFrame, extra: Mapping[str, pl.Expr]) -> pl.DataFrame:
    flags = pl.col("flags").str.split(",")
    bad = flags.list.eval(~pl.element().is_in(list(HARMLESS))).list.any().fill_null(False)
    broken = flags.list.contains("UF").fill_null(False)
    to = pl.coalesce("tls_sni", "backend")
    flat = flat.with_columns(
        pl.when(broken).then(ocsf.FAIL).otherwise(ocsf.TRAFFIC).cast(pl.Int32).alias("activity_id"),
        pl.when(bad).then(ocsf.FAILURE).otherwise(ocsf.SUCCESS).cast(pl.Int32).alias("status_id"),
        pl.lit(ocsf.INFORMATIONAL, pl.Int32).alias("severity_id"),
        pl.coalesce(pl.concat_str(pl.lit("TCP to "), to), pl.lit("TCP")).alias("message"),
        pl.col("sent").alias("bytes_in"),
        pl.col("received").alias("bytes_out"),
    ).drop("status", "forwarded")
    return network_events(with_unmapped(flat, _members(extra)), PRODUCT)


def _members(extra: Mapping[str, pl.Expr]) -> dict[str, pl.Expr]:
    return {
        "route_name": pl.col("route"),
        "start_time": pl.col("start_time"),
        **extra,
    }
