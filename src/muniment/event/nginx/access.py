r"""NGINX's access logs: combined, main, ingress-nginx's upstreaminfo, a TLS variant.

    remote_addr - remote_user [time_local] "request" status body_bytes_sent "referer" "user_agent"

The name of the host, with or without a port, may stand before it (Apache's `vhost_combined`).
With the default escaping `"`, `\`, control characters and all bytes above 127 are `\xXX`, so a
quoted field ends at the next quote. `$remote_user` stands without quotes and may hold spaces and
brackets, but no quote: the last ` [time] "` before the request ends it. Formats with `escape=none`
cannot be read without guessing and are not.
"""

from __future__ import annotations

import polars as pl

from muniment.event import stamps
from muniment.event.access import http_events, with_unmapped
from muniment.event.escapes import BACKSLASH, undo
from muniment.event.nginx import upstream
from muniment.event.nulls import nulls
from muniment.event.request import host, split_request, url
from muniment.event.source import Context

PRODUCT = "NGINX"
CUT_SHORT = "the line ends before its NGINX log format does"

_TIME = r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}"
_CLIENT = r"(?P<client>unix:|[0-9A-Fa-f.:]+)"

_STARTS = rf"(?:unix:|[0-9A-Fa-f.:]+) - [^\"]* \[{_TIME}\] \""
STARTS = rf"^{_STARTS}"
_HOST = r"[A-Za-z0-9_.:\[\]-]{1,261}"
HOSTED = rf"^{_HOST} {_STARTS}"

_COMBINED = (
    rf'(?s)^{_CLIENT} - (?P<user>[^"]*) \[(?P<stamp>{_TIME})\] "(?P<request>[^"]*)"'
    r'(?: (?P<status>[0-9]{3})(?: (?P<body>[0-9]+|-)(?: "(?P<referrer>[^"]*)"'
    r'(?: "(?P<agent>[^"]*)"(?P<rest> .*)?)?)?)?)?(?P<broken>.*)$'
)
_OPEN = rf'(?s)^{_CLIENT} - (?P<user>[^"]*) \[(?P<stamp>{_TIME})\] "(?P<request>[^"]*)$'
_UPSTREAM_INFO = (
    r"^ (?P<length>[0-9]+) (?P<seconds>[0-9]+\.[0-9]+) \[(?P<backend>[^\]]*)\]"
    r" \[(?P<alternative>[^\]]*)\]"
    rf" (?P<addresses>{upstream.LIST}) (?P<lengths>{upstream.LIST}) (?P<times>{upstream.LIST})"
    rf" (?P<statuses>{upstream.LIST}) (?P<request_id>[^ ]+)$"
)
# Before 0.20 without the alternative's name, and before 0.13 without the request's id.
_OLD_ADDRESS = r"(?:\[[0-9A-Fa-f:.]+\]:[0-9]+|[^ ,\[][^ ,]*)"
_OLD_INFO = (
    r"^ (?P<length>[0-9]+) (?P<seconds>[0-9]+\.[0-9]+) \[(?P<backend>[^\]]*)\]"
    rf" (?P<addresses>{_OLD_ADDRESS}(?:(?:, | : ){_OLD_ADDRESS})*)"
    rf" (?P<lengths>{upstream.LIST}) (?P<times>{upstream.LIST})"
    r" (?P<statuses>(?:[0-9]{3}|-)(?:(?:, | : )(?:[0-9]{3}|-))*)"
    r"(?: (?P<request_id>[0-9a-f]{32}))?$"
)
_FORWARDED = r'^ "(?P<forwarded>[^"]*)"$'

TLS = (
    rf"^{_CLIENT} \[(?P<stamp>{_TIME})\] (?P<version>-|(?:TLS|SSL)v[0-9.]+)/(?P<cipher>[^/ ]*)/"
    r'(?P<sni>[^ ]*) "(?P<request>[^"]*)" (?P<status>[0-9]{3}) (?P<subject>.*)$'
)


def parse_hosted(lines: pl.Series, context: Context) -> pl.DataFrame:
    """Events of lines that match `HOSTED`: the host's name, and a line as `parse` takes it."""
    hosts = lines.str.extract(rf"^({_HOST}) ").replace({"_": None, "-": None})
    return parse(lines.str.replace(rf"^{_HOST} ", ""), context, hosts)


def parse(
    lines: pl.Series,
    context: Context,  # noqa: ARG001
    hosts: pl.Series | None = None,
) -> pl.DataFrame:
    """Events of lines that match `STARTS`; one that ends early carries a parse_error.

    `hosts` are the hosts that the requests were for, where the lines do not say it themselves.
    """
    whole = lines.str.extract_groups(_COMBINED).struct.unnest()
    opened = lines.str.extract_groups(_OPEN).struct.unnest()
    cut = opened["request"].is_not_null()
    frame = whole.with_columns(
        *(whole[name].fill_null(opened[name]) for name in opened.columns), cut.alias("cut")
    )
    frame = _complete_only(frame.with_columns(_user(frame["client"], frame["user"])))
    flat = _flat(frame)
    flat = flat.with_columns(_tail(frame["rest"]))
    if hosts is not None:
        ip, port, name = host(hosts, "host")
        flat = flat.with_columns(
            flat["hostname"].fill_null(name).fill_null(ip), flat["port"].fill_null(port)
        )
    members = {
        "trailing": pl.col("trailing"),
        "alternative_backend": pl.col("alternative"),
        "truncated": pl.when(pl.col("parse_error").is_not_null() | pl.col("unfinished")).then(True),
    }
    return http_events(with_unmapped(flat, members), PRODUCT)


def _user(client: pl.Series, user: pl.Series) -> pl.Series:
    """ingress-nginx before 0.26 writes `client - [client] - user`."""
    again = pl.concat_str(pl.lit("["), pl.col("c"), pl.lit("] - "))
    frame = pl.DataFrame({"c": client, "u": user})
    repeated = pl.col("u").str.starts_with(again)
    rest = pl.col("u").str.slice(again.str.len_chars())
    return frame.select(pl.when(repeated).then(rest).otherwise("u").alias("user")).to_series()


def _complete_only(frame: pl.DataFrame) -> pl.DataFrame:
    """A number at which the line ends may have lost digits; only the user agent ends a line."""
    ended = pl.col("broken") != ""
    unsure = pl.col("agent").is_null()
    last_number = (
        pl.col("body").is_not_null()
        & pl.col("referrer").is_null()
        & (~pl.col("broken").str.starts_with(" "))
    )
    last_status = pl.col("body").is_null() & ~pl.col("broken").str.starts_with(" ")
    return frame.with_columns(
        pl.when(~last_number).then("body").alias("body"),
        pl.when(~last_status).then("status").alias("status"),
        pl.when(unsure | ended.fill_null(False)).then(pl.lit(CUT_SHORT)).alias("parse_error"),
    )


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    line = split_request(frame["request"], BACKSLASH)
    # A 414 says that the request line was never read to its end; HTTP/0.9 has no version either.
    unfinished = frame.select(
        (pl.col("cut") | (line["bare"] & (pl.col("status") == "414"))).fill_null(False)
    ).to_series()
    client = pl.col("client")
    socket = client == "unix:"
    return frame.with_columns(
        *line, *url(line["target"], cut=unfinished), unfinished.alias("unfinished")
    ).with_columns(
        stamps.zoned(pl.col("stamp"), "%d/%b/%Y:%H:%M:%S %z").alias("time_dt"),
        undo(frame["request"], BACKSLASH).alias("message"),
        pl.when(~socket).then(client).alias("client_ip"),
        pl.when(socket).then(client).alias("client_name"),
        *(
            undo(frame[name].replace({"-": None, "": None}), BACKSLASH).alias(name)
            for name in ("user", "referrer", "agent")
            if name in frame.columns
        ),
        (
            pl.col("body").cast(pl.Int64, strict=False)
            if "body" in frame.columns
            else pl.lit(None, pl.Int64)
        ).alias("response_body"),
    )


def _tail(rest: pl.Series) -> list[pl.Series]:
    """What may follow the combined format: upstreaminfo, X-Forwarded-For, or anything else."""
    if rest.null_count() == len(rest):
        none = nulls(len(rest), pl.String)
        return [none.alias("trailing"), none.alias("alternative")]
    info = rest.str.extract_groups(_UPSTREAM_INFO).struct.unnest()
    left = info["length"].is_null() & rest.is_not_null()
    if left.any():
        old = rest.str.extract_groups(_OLD_INFO).struct.unnest()
        info = info.with_columns(info[name].fill_null(old[name]) for name in old.columns)
    forwarded = rest.str.extract(_FORWARDED)
    known = info["length"].is_not_null() | forwarded.is_not_null()
    tried = upstream.columns(info["addresses"], info["statuses"], info["times"])
    frame = pl.DataFrame(
        [
            rest.set(known, None).str.strip_prefix(" ").alias("trailing"),
            undo(forwarded.replace("-", None), BACKSLASH).str.split(", ").alias("forwarded"),
        ]
    )
    frame = pl.concat([frame, info, tried], how="horizontal")
    seconds = pl.col("seconds").cast(pl.Float64, strict=False)
    return frame.select(
        "trailing",
        "forwarded",
        "attempts",
        "server",
        "server_ip",
        "server_port",
        "server_status",
        pl.col("alternative").replace("", None),
        pl.col("backend").replace({"": None, "-": None}),
        pl.col("request_id").replace("-", None),
        pl.col("length").cast(pl.Int64, strict=False).alias("request_length"),
        pl.col("length").cast(pl.Int64, strict=False).alias("bytes_out"),
        stamps.milliseconds(seconds).alias("duration"),
        pl.struct("upstream").alias("timings"),
    ).get_columns()


def parse_tls(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """`addr [time] protocol/cipher/sni "request" status client-certificate-subject`."""
    frame = lines.str.extract_groups(TLS).struct.unnest().rename({"version": "tls_version"})
    frame = frame.with_columns(pl.lit(False).alias("cut"))
    flat = _flat(frame).with_columns(
        *(
            undo(frame[name].replace({"-": None, "": None}), BACKSLASH).alias(f"tls_{name}")
            for name in ("cipher", "sni", "subject")
        ),
        pl.col("tls_version").replace("-", None),
    )
    members = {"truncated": pl.when("unfinished").then(True)}
    return http_events(with_unmapped(flat, members), PRODUCT)
