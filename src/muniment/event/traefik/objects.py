"""Traefik's logs as JSON: the access log, under the names of Traefik's fields, and its messages.

Durations are in nanoseconds. Which fields there are is the administrator's choice (`fields.mode`,
`fields.names`, `fields.headers`), so any may be missing. Objects under OpenTelemetry's names for
HTTP, as a collector writes those that Traefik sends it, are read by those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import polars as pl

from muniment.event.access import http_events
from muniment.event.access_json import access, fields
from muniment.event.administration import with_acts
from muniment.event.nulls import nulls
from muniment.event.objects import Object, Objects, as_int, decode_object, salvage
from muniment.event.request import address
from muniment.event.semconv import http_facts
from muniment.event.source import Context, merge
from muniment.event.traefik import own
from muniment.event.traefik.api import SERVICE, acts
from muniment.event.traefik.clf import PRODUCT, leaf
from muniment.event.unmapped import joined

CERTAIN = (
    r'(?s)^\{.*"(?:Downstream(?:Status|ContentSize)|OriginDuration|RequestProtocol|StartUTC|'
    r'ServiceAddr|RouterName|entryPointName)":.*\}$'
)
"""What only Traefik writes."""

NAMES = {
    "time": ("StartUTC", "StartLocal", "time"),
    "client": ("ClientHost",),
    "peer": ("ClientAddr",),
    "client_port": ("ClientPort",),
    "user": ("ClientUsername",),
    "method": ("RequestMethod",),
    "target": ("RequestPath",),
    "protocol": ("RequestProtocol",),
    "scheme": ("RequestScheme",),
    "host": ("RequestAddr", "RequestHost"),
    "request_port": ("RequestPort",),
    "status": ("DownstreamStatus", "OriginStatus"),
    "agent": ("request_User-Agent",),
    "referrer": ("request_Referer",),
    "forwarded": ("request_X-Forwarded-For",),
    "request_id": ("request_X-Request-Id", "request_X-Request-ID"),
    "trace_id": ("TraceId", "trace_id"),
    "content_type": ("downstream_Content-Type", "origin_Content-Type"),
    "router": ("RouterName",),
    "backend": ("ServiceName",),
    "address": ("ServiceAddr",),
    "service_url": ("ServiceURL",),
    "tls_version": ("TLSVersion",),
    "tls_cipher": ("TLSCipher",),
    "tls_subject": ("TLSClientSubject",),
}
_NUMBERS = {
    "duration": "Duration",
    "upstream": "OriginDuration",
    "server_status": "OriginStatus",
    "response_body": "DownstreamContentSize",
    "request_body": "RequestContentSize",
    "retries": "RetryAttempts",
}
_NANOS = ("duration", "upstream")
_OWN_NAMES = frozenset(name for keys in NAMES.values() for name in keys) - {"time", "trace_id"}
_ACCESS = (_OWN_NAMES | set(_NUMBERS.values()) | {"RequestCount", "Overhead"}) - {"RouterName"}
_MILLION = 1_000_000
_NO_ACCESS = "none of the members of Traefik's logs"


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """Events of objects; a line that is cut yields the pairs before the cut."""
    kinds: dict[str, list[int]] = {}
    values: list[Object | None] = []
    faults: list[str | None] = []
    for row, line in enumerate(lines.to_list()):
        value: Object | str | None = decode_object(line)
        fault = value if isinstance(value, str) else None
        if fault is not None:
            value = salvage(line)
        values.append(value if isinstance(value, dict) else None)
        faults.append(fault)
        kinds.setdefault(_kind(values[-1]), []).append(row)
    parts = []
    for kind, rows in kinds.items():
        chosen = [values[row] or {} for row in rows]
        why = pl.Series("parse_error", [faults[row] for row in rows], dtype=pl.String)
        parts.append((pl.Series(rows, dtype=pl.UInt32), _PARSERS[kind](chosen, why)))
    return merge(parts, len(lines))


def _kind(value: Object | None) -> str:
    if value is None:
        return "broken"
    if not _ACCESS.isdisjoint(value):
        return "access"
    if any(name in value for name in ("http.request.method", "http.method")):
        return "semconv"
    return "own" if isinstance(value.get("msg", value.get("message")), str) else "broken"


def _access(rows: list[Object], why: pl.Series) -> pl.DataFrame:
    objects = Objects(list(rows))
    raw = fields(objects, NAMES, decode=None)
    numbers = _numbers(objects)
    if raw.width == 0:
        raw = pl.DataFrame({"request": nulls(len(rows), pl.String)})
    flat = _client(access(_url_of(raw), None)).with_columns(numbers.get_columns())
    flat = _traefik(flat)
    cut = pl.when(pl.lit(why).is_not_null()).then(pl.lit('{"truncated":true}'))
    unmapped = pl.select(joined(joined(pl.lit(objects.unmapped()), pl.lit(_chain(raw))), cut))
    flat = flat.with_columns(unmapped.to_series().alias("unmapped"), why)
    return with_acts(http_events(flat, PRODUCT), acts(flat), SERVICE)


def _numbers(objects: Objects) -> pl.DataFrame:
    columns = {}
    for name, key in _NUMBERS.items():
        if not objects.has(key):
            continue
        values = objects.values(key)
        made = [as_int(value) for value in values]
        for row, (value, number) in enumerate(zip(values, made, strict=True)):
            if number is None and value not in (None, "", "-"):
                objects.refuse(key, row, value)
            elif number is not None and name in _NANOS:
                made[row] = number // _MILLION
        small = name in ("server_status", "retries")
        series = pl.Series(name, made, dtype=pl.Int64)
        columns[name] = series.cast(pl.Int32, strict=False) if small else series
    return pl.DataFrame(columns)


def _url_of(raw: pl.DataFrame) -> pl.DataFrame:
    """`ServiceURL` is text, or an object of Go's net/url in Traefik before 2.9."""
    if "service_url" not in raw.columns:
        return raw
    text = raw["service_url"]
    objects = text.str.starts_with("{").fill_null(False)
    if objects.any():
        made = [_joined_url(one) if one and one[:1] == "{" else one for one in text.to_list()]
        text = pl.Series("service_url", made, dtype=pl.String)
    return raw.with_columns(text)


def _joined_url(text: str) -> str | None:
    value = decode_object(text)
    if isinstance(value, str):
        return None
    parts = [value.get(name) for name in ("Scheme", "Host", "Path")]
    scheme, host, path = (part if isinstance(part, str) else "" for part in parts)
    return f"{scheme}://{host}{path}" if host else None


def _client(flat: pl.DataFrame) -> pl.DataFrame:
    """`ClientHost` is the peer, or what a trusted peer forwarded: an address or a list of them.

    The port is the peer's, so it goes with the peer's address only.
    """
    if "peer" not in flat.columns:
        return flat
    ip, port, name = address(flat["peer"], "peer")
    flat = flat.with_columns(ip, port, name)
    host = pl.col("client") if "client" in flat.columns else pl.lit(None, pl.String)
    listed = host.str.contains(",", literal=True).fill_null(False)
    own_peer = (host == pl.col("peer_ip")) | host.is_null() | listed
    there = [pl.col(n) if n in flat.columns else pl.lit(None) for n in ("client_ip", "client_name")]
    given = pl.when(listed).then(host.str.replace_all(" ", "", literal=True)).str.split(",")
    forwarded = pl.col("forwarded") if "forwarded" in flat.columns else pl.lit(None)
    return flat.with_columns(
        pl.when(own_peer).then("peer_ip").otherwise(there[0]).cast(pl.String).alias("client_ip"),
        pl.when(own_peer).then("peer_port").cast(pl.Int32).alias("client_port"),
        pl.when(own_peer)
        .then("peer_name")
        .otherwise(there[1])
        .cast(pl.String)
        .alias("client_name"),
        pl.coalesce(given, forwarded).cast(pl.List(pl.String)).alias("forwarded"),
    )


def _traefik(flat: pl.DataFrame) -> pl.DataFrame:
    have = set(flat.columns)
    added: list[pl.Expr | pl.Series] = []
    text = flat["address"] if "address" in have else nulls(flat.height, pl.String)
    if "service_url" in have:
        text = text.fill_null(flat["service_url"].str.extract(r"^[a-z0-9]+://([^/?#]+)"))
    ip, port, name = address(text, "server")
    added += [ip, port, name.alias("server")]
    if "router" in have:
        added.append(leaf("router").alias("frontend"))
    if "request_port" in have:
        given = pl.col("request_port").cast(pl.Int32, strict=False)
        added.append(pl.coalesce("port", given).alias("port"))
    if "server_status" in have:
        answered = pl.col("server_status").is_between(100, 999)
        added.append(pl.when(answered).then("server_status").alias("server_status"))
    if "upstream" in have:
        added.append(pl.struct("upstream").alias("timings"))
    if "retries" in have:
        added.append(pl.struct("retries").alias("load"))
    version = pl.concat_str(pl.lit("HTTP/"), "version")
    line = pl.concat_str("method", "url_string", version, separator=" ", ignore_nulls=True)
    return flat.with_columns(added).with_columns(line.replace("", None).alias("message"))


def _chain(raw: pl.DataFrame) -> pl.Series:
    """The whole chain of routers, where there is more than the one that decided."""
    if "router" not in raw.columns:
        return nulls(raw.height, pl.String)
    made = [
        orjson.dumps({"RouterName": text}).decode() if text and " -> " in text else None
        for text in raw["router"].to_list()
    ]
    return pl.Series(made, dtype=pl.String)


def _semconv(rows: list[Object], why: pl.Series) -> pl.DataFrame:
    made, left = http_facts(rows)
    events = pl.DataFrame({"parse_error": why}) if made is None else made.with_columns(why)
    texts = [orjson.dumps(rest).decode() if rest else None for rest in left]
    return events.with_columns(pl.Series("unmapped", texts, dtype=pl.String))


def _broken(rows: list[Object], why: pl.Series) -> pl.DataFrame:
    del rows
    return pl.DataFrame({"parse_error": why.fill_null(_NO_ACCESS)})


_PARSERS: dict[str, Callable[[list[Any], pl.Series], pl.DataFrame]] = {
    "access": _access,
    "semconv": _semconv,
    "own": own.objects,
    "broken": _broken,
}
