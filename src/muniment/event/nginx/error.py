r"""NGINX's error log.

    2026/11/20 23:08:16 [error] pid#tid: *connection message, client: …, server: …, request: "…",
    upstream: "…", host: "…", referrer: "…"

The stream module ends its own with counts of bytes, Kong with the request's id. A few messages of a
connection end without any of it (`_OPENED`, `_KEPT`, `_NO_CLIENT`).

NGINX escapes nothing here and cuts a line near 2 KB. A client can write `", host: "` into its
request, so a field is read only if the whole rest of the line has the shape that NGINX gives it,
with the request and the host plausible; and client and server only if nothing else in the line
claims to name them. What remains uncertain, and the referrer, is left in the message.
"""

from __future__ import annotations

import polars as pl

from muniment.event import ocsf, ocsf_columns, stamps
from muniment.event.access import nested, with_unmapped
from muniment.event.nginx.access import PRODUCT
from muniment.event.request import address, host, split_request, url
from muniment.event.source import Context

ERROR = (
    r"(?s)^(?P<stamp>[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}) \[(?P<level>[a-z]+)\] "
    r"(?P<pid>[0-9]+)#[0-9]+: (?:\*(?P<connection>[0-9]+) )?(?P<message>.*)$"
)
_CLIENT = (
    r"(?s)^.*?, client: (?P<client>[^ ,]+)(?: using starttls)?, server: (?P<server>[^,]*)"
    r"(?P<rest>,.*)?$"
)
# ngx_stream and ngx_mail, when a client comes; ngx_http, when one that was kept alive goes; and the
# cycle, of what a worker that exits had open; and the Lua module's, outside of requests.
_OPENED = r"^(?:udp )?client (?P<client>[^ ,]+) connected to (?P<local>[^ ,]+)$"
_KEPT = r"^client ([^ ,]+) closed keepalive connection(?: \([0-9]+: [^,]*\))?$"
_NO_CLIENT = (
    r"(?s)^open socket #[0-9]+ left in connection [0-9]+$"
    r"|^.*, context: (?:ngx\.timer|[a-z_]{1,32}_by_lua\*)$"
)
_REST = (
    r'^, request: "(?P<request>[^"]* HTTP/[0-9]\.[0-9])"(?:, subrequest: "[^"]*")?'
    r'(?:, upstream: "(?P<upstream>[^"]*)")?(?:, host: "(?P<host>[^" ,]*)")?'
    r'(?:, referrer: ".*")?(?:, request_id: "(?P<request_id>[0-9a-f]{32})")?$'
)
_BYTES = "[0-9]+/[0-9]+"
_STREAM = (
    rf'^, upstream: "([^"]*)", bytes from/to client:{_BYTES}, bytes from/to upstream:{_BYTES}$'
)
# NGX_MAX_ERROR_STR is 2048, of which the start of the line takes up to about 60.
_CUT_FROM = 1950
_ACTIVITIES = (
    (r"exit|signal [0-9]+ .*received.*exiting|shutting down|gracefully", ocsf.STOP),
    (r"reconfiguring|signal process started|SIGHUP", ocsf.UPDATE),
    (r"start (?:worker|cache)|^nginx/|using the \"", ocsf.START),
)


_REQUEST = ', request: "'
_UNSURE = "the line ends before NGINX says whom it is about, or says it more than once"


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:
    """Errors about a request are HTTP Activity, about a connection Network Activity, the others
    Application Lifecycle; `metadata.log_name` is `error`, so none is taken for an access."""
    frame = lines.str.extract_groups(ERROR).struct.unnest()
    flat = _fields(frame).with_columns(
        stamps.local(pl.col("stamp"), "%Y/%m/%d %H:%M:%S", context.zone).alias("time_dt"),
        ocsf_columns.lookup("level", ocsf.SEVERITY_WORDS, None).alias("severity_id"),
    )
    flat = flat.with_columns(_class().alias("class_uid")).with_columns(
        pl.when(pl.col("class_uid").is_null()).then(pl.lit(_UNSURE)).alias("parse_error")
    )
    flat = with_unmapped(flat, {"connection": pl.col("connection")})
    kind = pl.col("class_uid")
    bad = pl.col("severity_id") >= ocsf.MEDIUM
    own = kind == ocsf.APPLICATION_LIFECYCLE
    return flat.select(
        "class_uid",
        pl.when(kind == ocsf.HTTP_ACTIVITY)
        .then(ocsf_columns.method_activity("method"))
        .when(kind == ocsf.NETWORK_ACTIVITY)
        .then(_network_activity())
        .when(own)
        .then(_own_activity())
        .alias("activity_id"),
        pl.when(bad).then(pl.lit(ocsf.FAILURE, pl.Int32)).alias("status_id"),
        "severity_id",
        pl.when(own).then(pl.struct(pl.lit("nginx").alias("name"))).alias("app"),
        *nested(flat, PRODUCT, "error"),
    )


def _class() -> pl.Expr:
    rest, message = pl.col("rest"), pl.col("message")
    # A message about a connection goes on to name its client, one about a request its request.
    cut_in_rest = pl.lit(_REQUEST).str.starts_with(rest) & (rest != _REQUEST)
    about_connection = pl.col("connection").is_not_null() | message.str.contains(r"^(?:\*[0-9]*)?$")
    return (
        pl.when(pl.col("client").is_not_null() & rest.str.starts_with(_REQUEST))
        .then(ocsf.HTTP_ACTIVITY)
        .when(pl.col("client").is_not_null() & ~cut_in_rest.fill_null(False))
        .then(ocsf.NETWORK_ACTIVITY)
        .when(pl.col("opened") | pl.col("kept"))
        .then(ocsf.NETWORK_ACTIVITY)
        .when(~about_connection | message.str.contains(_NO_CLIENT))
        .then(ocsf.APPLICATION_LIFECYCLE)
        .cast(pl.Int32)
    )


def _network_activity() -> pl.Expr:
    closed = pl.col("message").str.contains("client closed", literal=True)
    return (
        pl.when(pl.col("opened"))
        .then(ocsf.OPEN)
        .when(closed | pl.col("kept"))
        .then(ocsf.CLOSE)
        .otherwise(ocsf.FAIL)
        .cast(pl.Int32)
    )


def _own_activity() -> pl.Expr:
    activity = pl.lit(ocsf.OTHER)
    for pattern, number in reversed(_ACTIVITIES):
        found = pl.col("message").str.contains(pattern)
        activity = pl.when(found).then(pl.lit(number)).otherwise(activity)
    return activity.cast(pl.Int32)


def _fields(frame: pl.DataFrame) -> pl.DataFrame:
    message = frame["message"]
    told = message.str.extract_groups(_CLIENT).struct.unnest()
    twice = message.str.count_matches(", client: ", literal=True) > 1
    # At this length the line was cut, and what stands at its end may have lost its own.
    cut = told["rest"].is_null() & (message.str.len_bytes() >= _CUT_FROM)
    told = told.with_columns(pl.when(~cut).then("server").alias("server"))
    told = told.with_columns(
        pl.when(~twice).then(pl.col(name)).alias(name) for name in ("client", "server", "rest")
    )
    rest = told["rest"].str.extract_groups(_REST).struct.unnest()
    line = split_request(rest["request"], None).drop("bare")
    where = url(line["target"])
    name = pl.DataFrame(host(rest["host"], "host"))
    where = where.with_columns(
        where["hostname"].fill_null(name["host_name"]).fill_null(name["host_ip"]),
        where["port"].fill_null(name["host_port"]),
    )
    opened = message.str.extract_groups(_OPENED).struct.unnest()
    kept = message.str.extract(_KEPT)
    client, port, _ = address(opened["client"], "client")
    client = told["client"].fill_null(client).fill_null(kept)
    flat = frame.with_columns(*line, *where, client.alias("client"), told["server"], told["rest"])
    flat = flat.with_columns(
        rest["request_id"],
        opened["client"].is_not_null().alias("opened"),
        kept.is_not_null().alias("kept"),
        port,
        *address(opened["local"], "local"),
    )
    tried = rest["upstream"].str.extract(r"^[a-z]+://((?:unix:[^:]*)|[^/]*)")
    upstream = tried.fill_null(told["rest"].str.extract(_STREAM))
    return flat.with_columns(
        pl.when(client != "unix:").then(pl.col("client")).alias("client_ip"),
        pl.when(client == "unix:").then(pl.col("client")).alias("client_name"),
        *address(upstream, "server"),
        pl.col("server").replace("", None).alias("frontend"),
    ).with_columns(pl.col("server_name").alias("server"))
