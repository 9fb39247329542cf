"""HTTP request lines and targets (RFC 9112 3) as columns."""

from __future__ import annotations

import polars as pl

from muniment.event.escapes import Escape, undo
from muniment.event.nulls import nulls

_METHOD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_WHOLE = rf"(?s)^{_METHOD} .+ HTTP/[0-9]\.[0-9]$"
_BARE = rf"^{_METHOD} (?:/|\*$|[A-Za-z]+://)[^ ]*$"
_ABSOLUTE = r"(?s)^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?]*)(?P<rest>.*)$"
_AUTHORITY = r"^(?P<hostname>\[[^\]]*\]|[^:@\[\]]+)(?::(?P<port>[0-9]{1,5}))?$"


def split_request(request: pl.Series, escape: Escape | None) -> pl.DataFrame:
    """`METHOD target HTTP/x.y` as the columns method, target, version and bare.

    The target may hold spaces (a server logs what it refuses). `bare` is true for a line without
    version: HTTP/0.9, or one that the logger cut, which cannot be told apart here. Columns are null
    where the text is no request line. Escapes are undone in the target.
    """
    text = pl.col("request")
    frame = pl.DataFrame({"request": request}).select(
        text,
        text.str.contains(_WHOLE).fill_null(False).alias("whole"),
        text.str.contains(_BARE).fill_null(False).alias("bare"),
    )
    head = text.str.splitn(" ", 2)
    frame = frame.select(
        pl.when(pl.col("whole") | pl.col("bare"))
        .then(head.struct.field("field_0"))
        .alias("method"),
        pl.when("whole")
        .then(head.struct.field("field_1").str.head(-len(" HTTP/1.1")))
        .when("bare")
        .then(head.struct.field("field_1"))
        .alias("target"),
        pl.when("whole").then(text.str.tail(len("1.1"))).alias("version"),
        pl.col("bare") & ~pl.col("whole"),
    )
    return frame.with_columns(undo(frame["target"], escape).alias("target"))


def url(target: pl.Series, *, cut: pl.Series | None = None) -> pl.DataFrame:
    """A request target as the columns url_string, scheme, hostname, port, path, query_string.

    Origin-form, absolute-form, authority-form (`host:port` of CONNECT) and `*` are told apart by
    their shape. Where `cut` is true the end of the target is missing: then only what certainly is
    whole is filled, the path when a query has begun.
    """
    frame = pl.DataFrame({"target": target})
    text = pl.col("target")
    origin = text.str.starts_with("/")
    frame = frame.with_columns(
        pl.lit(None, pl.String).alias("scheme"),
        pl.lit(None, pl.String).alias("authority"),
        text.alias("rest"),
    )
    if not frame.select((origin | (text == "*")).fill_null(True).all()).item():
        parts = text.str.extract_groups(_ABSOLUTE).struct
        absolute = parts.field("scheme").is_not_null()
        frame = frame.with_columns(
            parts.field("scheme").str.to_lowercase().alias("scheme"),
            pl.when(absolute)
            .then(parts.field("authority"))
            .when(~origin & (text != "*"))
            .then(text)
            .alias("authority"),
            pl.when(absolute)
            .then(parts.field("rest"))
            .when(origin | (text == "*"))
            .then(text)
            .alias("rest"),
        )
    at = pl.col("authority").str.extract_groups(_AUTHORITY).struct
    query = pl.col("rest").str.splitn("?", 2).struct
    frame = frame.select(
        text.alias("url_string"),
        "scheme",
        at.field("hostname").str.strip_chars("[]").alias("hostname"),
        at.field("port").cast(pl.Int32, strict=False).alias("port"),
        query.field("field_0").replace("", None).alias("path"),
        query.field("field_1").alias("query_string"),
    )
    if cut is None or not cut.any():
        return frame
    gone = pl.lit(cut)
    whole_path = ~gone | pl.col("query_string").is_not_null()
    return frame.with_columns(
        pl.when(whole_path).then("path").alias("path"),
        pl.when(~gone).then("url_string").alias("url_string"),
        pl.when(~gone).then("query_string").alias("query_string"),
        pl.when(~gone | pl.col("path").is_not_null()).then("hostname").alias("hostname"),
        pl.when(~gone | pl.col("path").is_not_null()).then("port").alias("port"),
    )


_PLAIN = r"^[0-9.]+:[0-9]{1,5}$"
_IP = r"^\[?([0-9A-Fa-f.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\]?$"


def address(text: pl.Series, prefix: str) -> list[pl.Series]:
    """`host:port` split at the last colon: the columns {prefix}_ip, {prefix}_port, {prefix}_name.

    The host is an IP address, with or without brackets, or else a name; text with no port at its
    end (`unix:`, `unix:/path`, `unix:3`, a bare name) is a name as a whole.
    """
    plain = text.str.contains(_PLAIN)
    if plain.fill_null(True).all():
        parts = text.str.splitn(":", 2).struct
        return [
            parts.field("field_0").alias(f"{prefix}_ip"),
            parts.field("field_1").cast(pl.Int32, strict=False).alias(f"{prefix}_port"),
            nulls(len(text), pl.String, f"{prefix}_name"),
        ]
    given = pl.col("text")
    port = given.str.extract(r":([0-9]{1,5})$")
    host = given.str.head(given.str.len_chars().cast(pl.Int64) - port.str.len_chars() - 1)
    whole = given.str.starts_with("unix:") | port.is_null()
    ip = host.str.extract(_IP)
    frame = pl.DataFrame({"text": text}).select(
        pl.when(~whole).then(ip).alias(f"{prefix}_ip"),
        pl.when(~whole).then(port.cast(pl.Int32, strict=False)).alias(f"{prefix}_port"),
        pl.when(whole).then(given).when(ip.is_null()).then(host).alias(f"{prefix}_name"),
    )
    return frame.get_columns()


_BARE_IPV4 = r"^[0-9.]+$"
_HAS_PORT = r"^(?:[0-9.]+|[^:]+|\[.*\]):[0-9]{1,5}$"


def host(text: pl.Series, prefix: str) -> list[pl.Series]:
    """A host with or without port, as `address` gives it; a bare IPv6 address keeps all of it."""
    if text.str.contains(_BARE_IPV4).fill_null(True).all():
        none = nulls(len(text), pl.Int32, f"{prefix}_port")
        return [text.alias(f"{prefix}_ip"), none, nulls(len(text), pl.String, f"{prefix}_name")]
    with_port = text.str.contains(_HAS_PORT)
    padded = pl.select(
        pl.when(with_port).then(text).otherwise(pl.concat_str([text, pl.lit(":0")]))
    ).to_series()
    ip, port, name = address(padded, prefix)
    none = nulls(len(text), pl.Int32)
    return [ip, port.zip_with(with_port.fill_null(False), none), name]
