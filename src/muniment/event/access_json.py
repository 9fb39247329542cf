"""Access logs whose lines are JSON objects with names of the administrator's choice.

HAProxy and NGINX let the administrator write the format, so a source gives the names that it knows
for each field; a name that it does not know is kept in `unmapped`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import polars as pl

from muniment.event import stamps
from muniment.event.escapes import Escape
from muniment.event.nulls import nulls
from muniment.event.objects import Objects, as_int, converted, text_column
from muniment.event.request import host, split_request, url

Names = Mapping[str, Iterable[str]]

_EMPTY = {"": None, "-": None}
_NUMBERS = {
    "client_port": pl.Int32,
    "request_length": pl.Int64,
    "response_length": pl.Int64,
    "response_body": pl.Int64,
    "bytes_in": pl.Int64,
    "bytes_out": pl.Int64,
}
_TEXTS = (
    "client",
    "user",
    "request",
    "target",
    "query",
    "method",
    "protocol",
    "status",
    "agent",
    "referrer",
    "request_id",
    "trace_id",
    "host",
    "scheme",
    "content_type",
    "tls_version",
    "tls_cipher",
    "tls_sni",
    "tls_subject",
    "frontend",
    "backend",
    "server",
    "termination",
    "time",
    "forwarded",
)


def fields(objects: Objects, names: Names, *, decode: Callable[[str], str] | None) -> pl.DataFrame:
    """The raw fields, a column for each entry of `names` that occurs, texts without `-` and ``.

    `decode` undoes what escaping the texts may still have. Numbers that are none go to `unmapped`.
    """
    columns: dict[str, pl.Series] = {}
    for field, keys in names.items():
        if not objects.has(*keys):
            continue
        values = objects.first(keys)
        dtype = _NUMBERS.get(field)
        if dtype is None:
            text = text_column(values).replace(_EMPTY)
            columns[field] = text if decode is None else _map(text, decode)
        else:
            key = next(key for key in keys if objects.has(key))
            columns[field] = converted(objects, key, values, _number, dtype)
    return pl.DataFrame(columns)


def _map(text: pl.Series, decode: Callable[[str], str]) -> pl.Series:
    return pl.Series([None if t is None else decode(t) for t in text], dtype=pl.String)


def _number(value: Any) -> int | None:
    """A count; HAProxy puts a plus before one that is not final."""
    return as_int(value.removeprefix("+") if isinstance(value, str) else value)


def access(flat: pl.DataFrame, escape: Escape | None) -> pl.DataFrame:
    """The flat frame of `muniment.event.access` made from the raw fields."""
    flat = _requests(flat, escape)
    have = set(flat.columns)
    if "client" in have:
        flat = flat.with_columns(_client(flat))
    if "host" in have:
        flat = _host(flat)
    if "time" in have:
        flat = flat.with_columns(_time().alias("time_dt"))
    if "forwarded" in have:
        plain = pl.col("forwarded").str.replace_all(" ", "", literal=True)
        flat = flat.with_columns(plain.str.split(",").alias("forwarded"))
    return flat


def _client(flat: pl.DataFrame) -> list[pl.Series]:
    """`client` is an address alone or with a port; a port of its own field goes first."""
    ip, port, name = host(flat["client"], "client")
    if "client_port" in flat.columns:
        port = flat["client_port"].fill_null(port).alias("client_port")
    # `unix:` and the like are names as they stand, without what the split adds.
    name = pl.select(pl.when(pl.lit(name.is_not_null())).then(pl.lit(flat["client"]))).to_series()
    return [ip, port, name.alias("client_name")]


def _host(flat: pl.DataFrame) -> pl.DataFrame:
    ip, port, name = host(flat["host"], "host")
    return flat.with_columns(
        flat["hostname"].fill_null(name).fill_null(ip), flat["port"].fill_null(port)
    )


def _time() -> pl.Expr:
    """RFC 3339 or the common log format's time, whichever it is; both carry their zone."""
    clf = pl.col("time").str.contains("/", literal=True)
    return pl.coalesce(
        stamps.rfc3339(pl.when(~clf).then("time")),
        stamps.zoned(pl.when(clf).then("time"), "%d/%b/%Y:%H:%M:%S %z"),
    )


def _requests(flat: pl.DataFrame, escape: Escape | None) -> pl.DataFrame:
    """method, version and the parts of the URL from a request line, or from their own fields."""
    none = nulls(flat.height, pl.String)
    line = flat["request"] if "request" in flat.columns else none
    # Administrators call both the line and the target "req": the shape tells.
    target = pl.select(
        pl.when(line.str.starts_with("/") | line.str.contains("^[a-z]+://")).then(line)
    ).to_series()
    parts = split_request(pl.select(pl.when(target.is_null()).then(line)).to_series(), escape)
    given = flat["target"] if "target" in flat.columns else none
    target = parts["target"].fill_null(target).fill_null(given)
    if "query" in flat.columns:
        query = flat["query"].str.strip_prefix("?")
        whole = pl.select(pl.concat_str([target, pl.lit("?"), query])).to_series()
        target = pl.select(
            pl.when(target.str.contains("?", literal=True))
            .then(target)
            .otherwise(pl.coalesce(whole, target))
        ).to_series()
    places = url(target)
    protocol = flat["protocol"] if "protocol" in flat.columns else none
    version = protocol.str.extract(r"^(?:HTTP/)?([0-9](?:\.[0-9])?)$")
    method = flat["method"] if "method" in flat.columns else none
    scheme = flat["scheme"] if "scheme" in flat.columns else none
    return flat.with_columns(
        *places.with_columns(places["scheme"].fill_null(scheme).alias("scheme")),
        parts["method"].fill_null(method).alias("method"),
        parts["version"].fill_null(version).alias("version"),
        (line if "request" in flat.columns else none).alias("message"),
    )
