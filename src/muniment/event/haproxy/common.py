"""What HAProxy's log formats share: the pieces of a line and what they mean."""

from __future__ import annotations

import polars as pl

from muniment.event import stamps
from muniment.event.source import Context

PRODUCT = "HAProxy"
CUT_SHORT = "the line ends before its HAProxy log format does"

DATE = r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}"
CONNECTIONS = r"(?:[0-9]+/){4}\+?[0-9]+"
QUEUES = r"[0-9]+/[0-9]+"
TLS_ERRORS = r"[0-9]+/[0-9A-Fa-f]*/[0-9]*/[0-9]*/[0-9]*"

# Configuration manual, "Session state at disconnection": who ended it, and in which phase.
_ENDED_BY = {
    "C": "the client aborted",
    "S": "the server aborted or refused",
    "P": "the proxy stopped it",
    "L": "the proxy answered it itself",
    "R": "the proxy ran out of a resource",
    "I": "the proxy found an internal error",
    "D": "the server went down",
    "U": "a backup server went down for an active one",
    "K": "an operator killed it",
    "c": "the client timed out",
    "s": "the server timed out",
}
_PHASE = {
    "R": "waiting for the request",
    "Q": "waiting in the queue",
    "C": "connecting to the server",
    "H": "waiting for response headers",
    "D": "in the data phase",
    "L": "sending the last data to the client",
    "T": "while it was tarpitted",
}


def log_time(column: str, context: Context) -> pl.Expr:
    """`[%t]` and `[%tr]`: local time without a zone."""
    stamp = pl.col(column).str.strip_chars("[]")
    return stamps.local(stamp, "%d/%b/%Y:%H:%M:%S%.3f", context.zone)


def milliseconds(text: pl.Expr) -> pl.Expr:
    """A timer; -1 (the phase was not reached) is null."""
    number = text.cast(pl.Int64, strict=False)
    return pl.when(number >= 0).then(number)


def place() -> list[pl.Expr]:
    """`%ft %b/%s`: frontend (`~` marks TLS), backend, server.

    `<NOSRV>`, `<STATS>` and the like are no servers; they are in `applet`.
    """
    parts = pl.col("place").str.splitn("/", 2).struct
    name = parts.field("field_1")
    special = name.str.starts_with("<")
    return [
        pl.col("frontend").str.strip_suffix("~").alias("frontend"),
        parts.field("field_0").alias("backend"),
        pl.when(~special).then(name).alias("server"),
        pl.when(special).then(name).alias("applet"),
    ]


def load() -> pl.Expr:
    """`ac/fc/bc/sc/rc sq/bq`; `+` before the retries says that the server was changed."""
    counts = pl.col("connections").str.split_exact("/", 4).struct
    queues = pl.col("queues").str.split_exact("/", 1).struct
    retries = counts.field("field_4")
    return pl.struct(
        _count(counts.field("field_0")).alias("active"),
        _count(counts.field("field_1")).alias("frontend"),
        _count(counts.field("field_2")).alias("backend"),
        _count(counts.field("field_3")).alias("server"),
        _count(retries.str.strip_prefix("+")).alias("retries"),
        retries.str.starts_with("+").alias("redispatched"),
        _count(queues.field("field_0")).alias("server_queue"),
        _count(queues.field("field_1")).alias("backend_queue"),
    )


def _count(text: pl.Expr) -> pl.Expr:
    return text.cast(pl.Int32, strict=False)


def termination_detail(column: str) -> pl.Expr:
    """The termination state in words, null for a normal end (`--`)."""
    state = pl.col(column)
    who = state.str.slice(0, 1).replace_strict(_ENDED_BY, default=None, return_dtype=pl.String)
    phase = state.str.slice(1, 1).replace_strict(_PHASE, default=None, return_dtype=pl.String)
    return pl.coalesce(pl.concat_str([who, phase], separator=", "), who)


def cookie(column: str) -> pl.Expr:
    """A captured `name=value` as a list of one pair; `-` is none."""
    parts = pl.when(pl.col(column) != "-").then(pl.col(column)).str.splitn("=", 2).struct
    pair = pl.struct(parts.field("field_0").alias("name"), parts.field("field_1").alias("value"))
    none = parts.field("field_0").is_null()
    return pl.when(~none).then(pl.concat_list(pair))


def tls_end(column: str, flat: pl.DataFrame) -> list[pl.Expr]:
    """`fc_err/ssl_fc_err/ssl_c_err/ssl_c_ca_err/resumed sni/version/cipher` of HTTPS formats.

    The columns tls_version, tls_cipher, tls_sni and tls_error (null when all are zero).
    """
    names = ("tls_error", "tls_sni", "tls_version", "tls_cipher")
    if flat[column].null_count() == flat.height:
        return [pl.lit(None, pl.String).alias(name) for name in names]
    pattern = rf"^(?P<errors>{TLS_ERRORS}) (?P<sni>.*)/(?P<version>[^/]+)/(?P<cipher>[^/]+)$"
    parts = pl.col(column).str.extract_groups(pattern).struct
    errors = parts.field("errors")
    return [
        pl.when(errors.str.contains("^[0/]*/[01]$")).then(None).otherwise(errors).alias(names[0]),
        *(
            parts.field(name.removeprefix("tls_")).replace({"-": None, "(NONE)": None}).alias(name)
            for name in names[1:]
        ),
    ]
