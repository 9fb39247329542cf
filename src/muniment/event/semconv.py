"""HTTP Activity out of attributes under OpenTelemetry's names for HTTP, and under Traefik's.

Traefik sends its access log as OTLP with the names of its own fields. The stable semantic
conventions go before those that they replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from muniment.event.access import http_events
from muniment.event.objects import Object, as_int, as_text
from muniment.event.request import url
from muniment.event.source import merge

_METHOD = ("http.request.method", "http.method", "RequestMethod")
_STATUS = ("http.response.status_code", "http.status_code", "DownstreamStatus")
_TEXTS: Mapping[str, tuple[str, ...]] = {
    "method": ("http.request.method_original", *_METHOD),
    "status": _STATUS,
    "client": ("client.address", "http.client_ip", "ClientHost", "network.peer.address"),
    "scheme": ("url.scheme", "http.scheme", "RequestScheme"),
    "hostname": ("server.address", "http.host", "net.host.name", "RequestHost"),
    "version": ("network.protocol.version", "http.flavor", "RequestProtocol"),
    "agent": ("user_agent.original", "http.user_agent", "request_User-Agent"),
    "referrer": ("http.request.header.referer", "request_Referer"),
    "request_id": ("http.request.header.x-request-id", "request_X-Request-Id"),
    "user": ("enduser.id", "user.name", "ClientUsername"),
    "frontend": ("RouterName", "entryPointName"),
    "backend": ("ServiceName",),
    "server": ("ServiceAddr",),
    "tls_version": ("tls.protocol.version", "TLSVersion"),
    "tls_cipher": ("tls.cipher", "TLSCipher"),
    "tls_sni": ("tls.client.server_name",),
    "tls_subject": ("tls.client.subject", "TLSClientSubject"),
}
_NUMBERS: Mapping[str, tuple[str, ...]] = {
    "client_port": ("client.port", "ClientPort", "network.peer.port"),
    "port": ("server.port", "net.host.port", "RequestPort"),
    "request_length": ("http.request.size",),
    "request_body": (
        "http.request.body.size",
        "http.request_content_length",
        "RequestContentSize",
    ),
    "response_length": ("http.response.size",),
    "response_body": (
        "http.response.body.size",
        "http.response_content_length",
        "DownstreamContentSize",
    ),
    "server_status": ("OriginStatus",),
}
_SMALL = {"client_port", "port", "server_status"}
_WHOLE = ("url.full", "http.url")
_TARGET = ("http.target", "RequestPath")
_OURS = ("target", "duration", "message")
_NONE = ("", "-")
_MILLION = 1_000_000


def http_facts(rows: Sequence[Object]) -> tuple[pl.DataFrame | None, list[Object]]:
    """The HTTP Activity that attributes tell of, and the attributes that have no column.

    Rows whose attributes tell of none are null in the frame, which is None where no row has any.
    """
    chosen = [row for row, one in enumerate(rows) if one and _is_http(one)]
    if not chosen:
        return None, list(rows)
    left = list(rows)
    flat: dict[str, list[Any]] = {name: [] for name in (*_TEXTS, *_NUMBERS, *_OURS)}
    for row in chosen:
        rest = dict(rows[row])
        for name, keys in _TEXTS.items():
            flat[name].append(_take(rest, keys, as_text))
        router = flat["frontend"][-1]
        if router is not None and " -> " in router:  # a chain of routers: the last one decided
            rest["RouterName"] = router
            flat["frontend"][-1] = router.rpartition(" -> ")[2]
        for name, keys in _NUMBERS.items():
            flat[name].append(_take(rest, keys, _small if name in _SMALL else as_int))
        target = _target(rest)
        flat["target"].append(target)
        line = [one for one in (flat["method"][-1], target) if one]
        flat["message"].append(" ".join(line) or None)
        nanos = _take(rest, ("Duration",), as_int)
        flat["duration"].append(None if nanos is None else nanos // _MILLION)
        left[row] = rest
    events = http_events(_flat(flat), "").drop("metadata")
    placed = merge([(pl.Series(chosen, dtype=pl.UInt32), events)], len(rows))
    return placed, left


def _is_http(attributes: Object) -> bool:
    return any(attributes.get(key) not in (None, "") for key in (*_METHOD, *_STATUS))


def _take(rest: Object, keys: Sequence[str], convert: Callable[[Any], Any]) -> Any:
    """The first of `keys` that says something, out of `rest`; what is no such value stays there."""
    for key in keys:
        value = rest.get(key)
        if value is None or value in _NONE or isinstance(value, dict):
            continue
        if isinstance(value, list):  # a header has a list of values
            if len(value) != 1 or isinstance(value[0], dict | list):
                continue
            value = value[0]
        made = convert(value)
        if made is not None:
            del rest[key]
            return made
    return None


def _small(value: Any) -> int | None:
    number = as_int(value)
    return number if number is not None and 0 <= number < 2**31 else None


def _target(rest: Object) -> str | None:
    """The URL, or the path and the query."""
    whole: str | None = _take(rest, _WHOLE, as_text)
    if whole is not None:
        return whole
    path: str | None = _take(rest, _TARGET, _path)
    if path is not None:
        return path
    path = _take(rest, ("url.path",), _path)
    query = _take(rest, ("url.query",), as_text) if path is not None else None
    return path if query is None else f"{path}?{query}"


def _path(value: Any) -> str | None:
    return value if isinstance(value, str) and value.startswith(("/", "*", "http")) else None


def _flat(given: Mapping[str, list[Any]]) -> pl.DataFrame:
    columns = {}
    for name, values in given.items():
        if name == "target" or any(value is not None for value in values):
            number = name in _NUMBERS or name == "duration"
            dtype = pl.Int32 if name in _SMALL else pl.Int64 if number else pl.String
            columns[name] = pl.Series(name, values, dtype=dtype)
    frame = pl.DataFrame(columns)
    parts = url(frame["target"])
    frame = frame.drop("target").with_columns(
        parts[name].fill_null(frame[name]) if name in frame.columns else parts[name]
        for name in parts.columns
    )
    have = set(frame.columns)
    if "client" in have:
        ip = pl.col("client").str.contains(r"^[0-9A-Fa-f.:]*[.:][0-9A-Fa-f.:]*$")
        frame = frame.with_columns(
            pl.when(ip).then("client").alias("client_ip"),
            pl.when(~ip).then("client").alias("client_name"),
        )
    if "version" in have:
        frame = frame.with_columns(pl.col("version").str.strip_prefix("HTTP/"))
    return frame
